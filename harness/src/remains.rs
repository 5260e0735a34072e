//! What is left of a sandbox in the world: the difference between a world without it and the one that is found.
//!
//! Decides which objects are a sandbox's, by the edges of ownership and, where an object has no owner, by its name and
//! labels. Pure; the census is taken elsewhere. An object that names an owner is judged by its owners alone: what a
//! sandbox of the same name owns that was made later is not this one's.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

/// A sandbox that should be gone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Departed<'a> {
    /// Its `metadata.name`.
    pub(crate) name: &'a str,
    /// What its Pod is called.
    pub(crate) pod: &'a str,
    /// Its id of E2B; empty when it has none.
    pub(crate) id: &'a str,
    /// Its `metadata.uid`; empty when it was never learned.
    pub(crate) uid: &'a str,
}

/// An object that is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remnant {
    kind: String,
    name: String,
    uid: String,
    /// Kind and name of its owners.
    owners: Vec<(String, String)>,
}

impl fmt::Display for Remnant {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "+ {} {} (uid {})", self.kind, self.name, self.uid)?;
        match self.owners.as_slice() {
            [] => write!(out, " owned by nobody"),
            owners => {
                let named: Vec<String> = owners.iter().map(|(kind, name)| format!("{kind} {name}")).collect();
                write!(out, " owned by {}", named.join(" and "))
            }
        }
    }
}

/// The objects of a census that are the departed's.
pub(crate) fn remnants(census: &[Value], departed: Departed<'_>) -> Vec<Remnant> {
    let mut known: BTreeSet<&str> = [departed.uid].into_iter().filter(|uid| !uid.is_empty()).collect();
    // Ownership is followed as far as it goes, in whatever order the objects came.
    loop {
        let before = known.len();
        let found = census.iter().filter(|object| is_of(object, departed, &known));
        let found: Vec<&str> = found.map(|object| text(object, "/metadata/uid")).collect();
        known.extend(found);
        if known.len() == before {
            break;
        }
    }
    let left = census
        .iter()
        .filter(|object| known.contains(text(object, "/metadata/uid")));
    left.map(remnant).collect()
}

fn is_of(object: &Value, departed: Departed<'_>, known: &BTreeSet<&str>) -> bool {
    let uid = text(object, "/metadata/uid");
    let mut owners = owners(object).peekable();
    if owners.peek().is_some() {
        return owners.any(|owner| known.contains(text(owner, "/uid")));
    }
    known.contains(uid) || bears_its_name(object, departed)
}

/// Whether an object without owners is the departed's by name or label; one of its own kind and name was made anew.
fn bears_its_name(object: &Value, departed: Departed<'_>) -> bool {
    if departed.name.is_empty() || text(object, "/kind") == "Sandbox" {
        return false;
    }
    let name = text(object, "/metadata/name");
    let labels = object.pointer("/metadata/labels").and_then(Value::as_object);
    let labelled = labels.is_some_and(|labels| {
        labels
            .values()
            .any(|value| value == departed.name || (value == departed.id && !departed.id.is_empty()))
    });
    let named = name.strip_prefix(departed.name);
    let is_its_pod = text(object, "/kind") == "Pod" && name == departed.pod;
    labelled || is_its_pod || named.is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '.']))
}

fn remnant(object: &Value) -> Remnant {
    let pair = |owner: &Value| (text(owner, "/kind").to_owned(), text(owner, "/name").to_owned());
    Remnant {
        kind: text(object, "/kind").to_owned(),
        name: text(object, "/metadata/name").to_owned(),
        uid: text(object, "/metadata/uid").to_owned(),
        owners: owners(object).map(pair).collect(),
    }
}

fn owners(object: &Value) -> impl Iterator<Item = &Value> {
    let owners = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    owners.into_iter().flatten()
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const GONE: Departed<'static> = Departed {
        name: "a",
        pod: "box-a",
        id: "team--a",
        uid: "u",
    };

    fn object(kind: &str, name: &str, uid: &str, owner: Option<&str>) -> Value {
        let mut object = json!({"kind": kind, "metadata": {"name": name, "uid": uid}});
        if let Some(owner) = owner {
            object["metadata"]["ownerReferences"] = json!([{"kind": "Thing", "name": owner, "uid": owner}]);
        }
        object
    }

    fn left(census: &[Value]) -> Vec<String> {
        remnants(census, GONE).into_iter().map(|left| left.uid).collect()
    }

    #[test]
    fn what_it_owns_is_left_however_far_down_and_in_whatever_order() {
        let census = [
            object("Leaf", "x", "3", Some("2")),
            object("Middle", "y", "2", Some("u")),
            object("Other", "z", "4", Some("elsewhere")),
        ];
        assert_eq!(left(&census), ["3", "2"]);
    }

    #[test]
    fn what_nobody_owns_is_left_by_its_name_or_its_label() {
        let mut labelled = object("ConfigMap", "settings", "3", None);
        labelled["metadata"]["labels"] = json!({"of": "a"});
        let mut by_id = object("Secret", "tokens", "5", None);
        by_id["metadata"]["labels"] = json!({"sandbox-id": "team--a"});
        let census = [
            object("Secret", "a-token", "1", None),
            object("Secret", "ab", "2", None),
            labelled,
            object("Service", "a", "4", None),
            by_id,
            object("Pod", "box-a", "6", None),
            object("Service", "box-a", "7", None),
        ];
        assert_eq!(left(&census), ["1", "3", "4", "5", "6"]);
        let shown = remnants(&census, GONE).first().map(ToString::to_string);
        assert_eq!(shown.as_deref(), Some("+ Secret a-token (uid 1) owned by nobody"));
    }

    #[test]
    fn a_sandbox_of_the_same_name_and_what_it_owns_are_another_ones() {
        let census = [
            object("Sandbox", "a", "later", None),
            object("Pod", "a", "p", Some("later")),
        ];
        assert_eq!(left(&census), Vec::<String>::new());
        let census = [object("Sandbox", "a", "u", None), object("Pod", "a", "p", Some("u"))];
        assert_eq!(left(&census), ["u", "p"]);
    }

    proptest! {
        /// The model climbs from each object to the root; what is tested goes down from the root.
        #[test]
        fn exactly_what_leads_up_to_it_is_left(parents in proptest::collection::vec(0usize..12, 1..12)) {
            // Object n is owned by parents[n]: 0 is the departed, what is above all objects is a stranger.
            let uid = |number: usize| if number == 0 { "u".to_owned() } else { format!("o{number}") };
            let census: Vec<Value> = parents
                .iter()
                .enumerate()
                .map(|(index, parent)| object("Thing", "x", &uid(index + 1), Some(&uid(*parent))))
                .collect();
            let leads_up = |start: usize| {
                let mut at = start;
                for _ in 0..=parents.len() {
                    if at == 0 { return true; }
                    match parents.get(at - 1) { Some(parent) => at = *parent, None => return false }
                }
                false
            };
            let expected: Vec<String> = (1..=parents.len()).filter(|number| leads_up(*number)).map(uid).collect();
            prop_assert_eq!(left(&census), expected);
        }
    }
}
