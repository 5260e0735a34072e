//! An object of which nothing is said, with the parts that Go writes in any case.

use super::special::special;
use super::table::{Field, Kind, Message, Multiplicity, message};
use serde_json::{Map, Value};

/// The zero value of a type: the structs that are no pointers, and null for lists and maps that are always written. Nobody
/// comes to own a part that is there before anything is said.
pub(crate) fn zero(message: &'static Message) -> Value {
    let members = message.members().into_iter();
    let written = members.filter_map(|field| Some((field.name?.to_owned(), zero_of(field)?)));
    Value::Object(written.collect::<Map<_, _>>())
}

fn zero_of(field: &'static Field) -> Option<Value> {
    match field.multiplicity {
        Multiplicity::Single => match field.kind {
            Kind::Message(name) if field.always_written && special(name).is_none() => message(name).map(zero),
            Kind::Message(_) | Kind::String | Kind::Bool | Kind::Int32 | Kind::Int64 | Kind::Double | Kind::Bytes => {
                None
            }
        },
        Multiplicity::Repeated | Multiplicity::Map => field.always_written.then_some(Value::Null),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn structs_are_there_and_pointers_are_not() {
        let pod = zero(message("core.v1.Pod").unwrap());
        assert_eq!(pod, json!({"metadata": {}, "spec": {"containers": null}, "status": {}}));
        let deployment = zero(message("apps.v1.Deployment").unwrap());
        assert_eq!(
            deployment["spec"],
            json!({"strategy": {}, "template": {"metadata": {}, "spec": {"containers": null}}})
        );
    }
}
