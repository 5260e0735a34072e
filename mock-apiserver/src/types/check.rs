//! JSON bodies of built-in kinds against their types, in the words of Go's decoder.

use super::canonical::canonicalise;
use super::encoded::illegal_byte;
use super::special::{Special, special};
use super::table::{Field, Kind, Message, Multiplicity, message};
use serde_json::{Map, Value};

/// Where the decoder is, as a chain back to the whole object.
#[derive(Debug, Clone, Copy)]
enum Place<'a> {
    Root,
    Member(&'a Self, &'a str),
    Index(&'a Self, usize),
    Key(&'a Self, &'a str),
}

impl Place<'_> {
    /// The names on the way without indices (`metadata.labels`), as errors of the decoder show it.
    fn members(&self) -> String {
        match self {
            Self::Root => String::new(),
            Self::Member(Self::Root, name) => (*name).to_owned(),
            Self::Member(above, name) => format!("{}.{name}", above.members()),
            Self::Index(above, _) | Self::Key(above, _) => above.members(),
        }
    }

    /// The names with the indices (`spec.containers[0]`), as unknown fields are named.
    fn exact(&self) -> String {
        match self {
            Self::Root => String::new(),
            Self::Member(Self::Root, name) => (*name).to_owned(),
            Self::Member(above, name) | Self::Key(above, name) => format!("{}.{name}", above.exact()),
            Self::Index(above, index) => format!("{}[{index}]", above.exact()),
        }
    }
}

/// A field where it was met: the struct that holds it gives its name to errors.
#[derive(Clone, Copy)]
struct Met<'a> {
    holder: &'static str,
    field: &'static Field,
    place: &'a Place<'a>,
}

/// Removes the fields that a type does not have and returns their paths; the error is of the first value of another type.
pub(crate) fn check(message: &'static Message, object: &mut Value) -> Result<Vec<String>, String> {
    let mut unknown = Vec::new();
    if let Value::Object(map) = object {
        members(message, map, &Place::Root, &mut unknown)?;
    }
    Ok(unknown)
}

fn members(
    message: &'static Message,
    map: &mut Map<String, Value>,
    place: &Place<'_>,
    unknown: &mut Vec<String>,
) -> Result<(), String> {
    let at_root = matches!(place, Place::Root);
    map.retain(|name, _| {
        let known = message.member(name).is_some() || (at_root && matches!(name.as_str(), "apiVersion" | "kind"));
        if !known {
            unknown.push(Place::Member(place, name).exact());
        }
        known
    });
    for (name, value) in map.iter_mut() {
        let Some(field) = message.member(name) else { continue };
        let place = Place::Member(place, name);
        let met = Met {
            holder: short(message.name),
            field,
            place: &place,
        };
        whole(met, value, unknown)?;
    }
    Ok(())
}

/// A field's value: single, a list or a map.
fn whole(met: Met<'_>, value: &mut Value, unknown: &mut Vec<String>) -> Result<(), String> {
    match (met.field.multiplicity, value) {
        (_, Value::Null) => Ok(()),
        (Multiplicity::Single, value) => one(met, value, unknown),
        (Multiplicity::Repeated, Value::Array(items)) => {
            for (index, item) in items.iter_mut().enumerate() {
                let place = Place::Index(met.place, index);
                one(Met { place: &place, ..met }, item, unknown)?;
            }
            Ok(())
        }
        (Multiplicity::Map, Value::Object(map)) => {
            for (key, item) in map {
                let place = Place::Key(met.place, key);
                one(Met { place: &place, ..met }, item, unknown)?;
            }
            Ok(())
        }
        (Multiplicity::Repeated | Multiplicity::Map, other) => Err(mismatch(met, other, &type_of(met.field))),
    }
}

/// One value of a field's kind. Null stands for the empty value in a list or a map of Go.
fn one(met: Met<'_>, value: &mut Value, unknown: &mut Vec<String>) -> Result<(), String> {
    if value.is_null() {
        *value = nothing(met.field.kind);
        return Ok(());
    }
    if let (Kind::Bytes, Value::String(text)) = (met.field.kind, &mut *value) {
        return bytes(text);
    }
    let fits = match (met.field.kind, &*value) {
        (Kind::String, value) => value.is_string(),
        (Kind::Bytes, _) => false,
        (Kind::Bool, value) => value.is_boolean(),
        (Kind::Int32, value) => value.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
        (Kind::Int64, value) => value.is_i64(),
        (Kind::Double, value) => value.is_number(),
        (Kind::Message(name), _) => return message_value(met, name, value, unknown),
    };
    if fits {
        Ok(())
    } else {
        Err(mismatch(met, value, &item_type(met.field)))
    }
}

fn message_value(met: Met<'_>, name: &'static str, value: &mut Value, unknown: &mut Vec<String>) -> Result<(), String> {
    let of = |go_type: &str| mismatch(met, value, go_type);
    match special(name) {
        Some(Special::Any | Special::OneOf) => Ok(()),
        Some(Special::Quantity) => quantity(value),
        Some(Special::IntOrString) if value.is_string() || value.as_i64().is_some_and(|n| i32::try_from(n).is_ok()) => {
            Ok(())
        }
        Some(Special::IntOrString) => Err(of("int32")),
        Some(Special::Strings) => match value.as_array() {
            Some(items) if items.iter().all(Value::is_string) => Ok(()),
            Some(_) | None => Err(of("[]string")),
        },
        Some(Special::Time | Special::MicroTime) => match value.as_str() {
            Some(text) if text.parse::<jiff::Timestamp>().is_ok() => Ok(()),
            Some(text) => Err(format!(
                "parsing time {text:?} as \"2006-01-02T15:04:05Z07:00\": cannot parse {text:?} as \"2006\""
            )),
            None => Err(of("string")),
        },
        Some(Special::Duration) if value.is_string() => Ok(()),
        Some(Special::Duration) => Err(of("string")),
        None => match (message(name), value) {
            (Some(inner), Value::Object(map)) => members(inner, map, met.place, unknown),
            (_, other) => Err(mismatch(met, other, &item_type(met.field))),
        },
    }
}

fn nothing(kind: Kind) -> Value {
    match kind {
        Kind::String | Kind::Bytes => "".into(),
        Kind::Bool => false.into(),
        Kind::Int32 | Kind::Int64 | Kind::Double => 0.into(),
        Kind::Message(_) => Value::Null,
    }
}

/// Bytes are kept in one line, whatever way they were sent.
fn bytes(text: &mut String) -> Result<(), String> {
    if let Some(at) = illegal_byte(text) {
        return Err(format!("illegal base64 data at input byte {at}"));
    }
    text.retain(|c| !matches!(c, '\r' | '\n'));
    Ok(())
}

fn quantity(value: &Value) -> Result<(), String> {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    if is_quantity(&text) {
        return Ok(());
    }
    Err("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'".to_owned())
}

fn is_quantity(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let end = unsigned
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(unsigned.len());
    let (digits, suffix) = unsigned.split_at(end);
    let exponent = suffix
        .strip_prefix(['e', 'E'])
        .is_some_and(|power| power.parse::<i8>().is_ok());
    let known = matches!(
        suffix,
        "" | "n" | "u" | "m" | "k" | "M" | "G" | "T" | "P" | "E" | "Ki" | "Mi" | "Gi" | "Ti" | "Pi" | "Ei"
    );
    digits.parse::<f64>().is_ok() && (known || exponent)
}

/// The name of a message without its package.
fn short(message: &'static str) -> &'static str {
    message.rsplit('.').next().unwrap_or(message)
}

/// The Go type of a value of the field: of an item, if the field is a list or a map.
fn item_type(field: &Field) -> String {
    match (field.kind, field.go_type) {
        (Kind::Message(name), _) => format!("v1.{}", short(name)),
        (_, Some(go_type)) if go_type.starts_with("types.") => go_type.to_owned(),
        (_, Some(go_type)) => format!("v1.{}", short(go_type)),
        (Kind::String, None) => "string".to_owned(),
        (Kind::Bool, None) => "bool".to_owned(),
        (Kind::Int32, None) => "int32".to_owned(),
        (Kind::Int64, None) => "int64".to_owned(),
        (Kind::Double, None) => "float64".to_owned(),
        (Kind::Bytes, None) => "[]uint8".to_owned(),
    }
}

/// The Go type of the whole field.
fn type_of(field: &Field) -> String {
    match (field.multiplicity, field.go_type) {
        (Multiplicity::Single, _) => item_type(field),
        (Multiplicity::Repeated, _) => format!("[]{}", item_type(field)),
        (Multiplicity::Map, Some(go_type)) => format!("v1.{}", short(go_type)),
        (Multiplicity::Map, None) => format!("map[string]{}", item_type(field)),
    }
}

fn mismatch(met: Met<'_>, value: &Value, go_type: &str) -> String {
    let found = match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "bool".to_owned(),
        Value::Number(number) if go_type.contains("int") => format!("number {number}"),
        Value::Number(_) => "number".to_owned(),
        Value::String(_) => "string".to_owned(),
        Value::Array(_) => "array".to_owned(),
        Value::Object(_) => "object".to_owned(),
    };
    let Met { holder, place, .. } = met;
    format!(
        "json: cannot unmarshal {found} into Go struct field {holder}.{} of type {go_type}",
        place.members()
    )
}

/// Leaves out what Go leaves out when it writes an object (nulls, and empty values of optional fields), and puts quantities and
/// times into the form in which it writes them.
pub(crate) fn settle(message: &'static Message, object: &mut Value) {
    let Value::Object(map) = object else { return };
    map.retain(|name, value| {
        let Some(field) = message.member(name) else { return true };
        if let Kind::Message(inner) = field.kind {
            match (special(inner), self::message(inner)) {
                (Some(special), _) => each(field, value, |value| canonicalise(special, value)),
                (None, Some(inner)) => each(field, value, |value| settle(inner, value)),
                (None, None) => {}
            }
        }
        !is_left_out(field, value)
    });
}

/// The value of a field, or each in its list or map.
fn each(field: &Field, value: &mut Value, mut see: impl FnMut(&mut Value)) {
    match (field.multiplicity, value) {
        (Multiplicity::Single, value) => see(value),
        (Multiplicity::Repeated, Value::Array(items)) => items.iter_mut().for_each(see),
        (Multiplicity::Map, Value::Object(items)) => items.values_mut().for_each(see),
        (Multiplicity::Repeated | Multiplicity::Map, _) => {}
    }
}

fn is_left_out(field: &Field, value: &Value) -> bool {
    let optional = !field.required;
    match value {
        Value::Null => true,
        Value::Bool(set) => field.omit_zero && !set,
        Value::Number(number) => field.omit_zero && number.as_f64() == Some(0.0),
        Value::String(text) => field.omit_zero && text.is_empty(),
        Value::Array(items) => optional && items.is_empty(),
        Value::Object(map) => optional && field.multiplicity == Multiplicity::Map && map.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod() -> &'static Message {
        message("core.v1.Pod").unwrap()
    }

    #[test]
    fn unknown_fields_are_removed_and_named_with_their_indices() {
        let mut object = json!({
            "metadata": {"name": "a", "lables": {}, "labels": {"any": "x"}},
            "spec": {"containers": [{"name": "a"}, {"name": "b", "imagee": "x"}]}, "specs": {},
        });
        let unknown = check(pod(), &mut object).unwrap();
        assert_eq!(unknown, ["specs", "metadata.lables", "spec.containers[1].imagee"]);
        assert_eq!(object["spec"]["containers"][1], json!({"name": "b"}));
    }

    #[test]
    fn values_of_another_type_are_refused_in_the_words_of_the_decoder() {
        let deployment = message("apps.v1.Deployment").unwrap();
        let port = |value: Value| json!({"spec": {"template": {"spec": {"containers": [{"ports": [value]}]}}}});
        for (mut object, expected) in [
            (
                json!({"spec": {"replicas": "3"}}),
                "string into Go struct field DeploymentSpec.spec.replicas of type int32",
            ),
            (
                json!({"spec": {"replicas": 1.5}}),
                "number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32",
            ),
            (
                json!({"metadata": {"labels": {"a": 1}}}),
                "number into Go struct field ObjectMeta.metadata.labels of type string",
            ),
            (
                json!({"spec": {"template": {"spec": {"containers": {}}}}}),
                "object into Go struct field PodSpec.spec.template.spec.containers of type []v1.Container",
            ),
            (
                port(json!({"containerPort": "80"})),
                "string into Go struct field ContainerPort.spec.template.spec.containers.ports.containerPort of type int32",
            ),
            (
                port(json!({"protocol": 6})),
                "number into Go struct field ContainerPort.spec.template.spec.containers.ports.protocol of type v1.Protocol",
            ),
            (
                json!({"spec": []}),
                "array into Go struct field Deployment.spec of type v1.DeploymentSpec",
            ),
        ] {
            let refused = check(deployment, &mut object).unwrap_err();
            assert_eq!(refused, format!("json: cannot unmarshal {expected}"));
        }
    }

    #[test]
    fn quantities_may_be_numbers_and_must_have_a_known_suffix() {
        let pod_with = |amount: Value| json!({"spec": {"containers": [{"resources": {"limits": {"cpu": amount}}}]}});
        for fine in [
            json!(1),
            json!(0.5),
            json!("100m"),
            json!("1e3"),
            json!("2Gi"),
            json!("-1.5k"),
        ] {
            check(pod(), &mut pod_with(fine)).unwrap();
        }
        for wrong in [json!("1GB"), json!("x"), json!(true), json!("")] {
            check(pod(), &mut pod_with(wrong)).unwrap_err();
        }
    }

    #[test]
    fn empty_values_of_optional_fields_are_left_out() {
        let mut object = json!({
            "metadata": {"name": "a", "labels": {}, "creationTimestamp": null},
            "spec": {"hostNetwork": false, "volumes": [{"name": "v", "emptyDir": {}}], "tolerations": [], "containers": [],
                "terminationGracePeriodSeconds": 0},
        });
        settle(pod(), &mut object);
        assert_eq!(
            object,
            json!({
                "metadata": {"name": "a"},
                "spec": {"volumes": [{"name": "v", "emptyDir": {}}], "containers": [], "terminationGracePeriodSeconds": 0},
            })
        );
    }
}
