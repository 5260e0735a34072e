//! What becomes of a definition once it is stored: its names are held against those of its group, then it is established.
//!
//! ```text
//!   stored --> names accepted (NamesAccepted) --> Established
//!          \-> a name is in use: waits until it is free
//! ```
//! Each step is one status, as the naming and the establishing controller of a real server write them.

use crate::api::meta::strings;
use serde_json::{Value, json};

/// The next status of a definition, if anything is to be done; `group` are the other definitions of its group.
pub(crate) fn next_status<'a>(
    definition: &Value,
    group: impl Iterator<Item = &'a Value>,
    now: &Value,
) -> Option<Value> {
    let status = &definition["status"];
    let mut next = status.clone();
    let wanted = &definition["spec"]["names"];
    if !same_names(wanted, &status["acceptedNames"]) {
        let (accepted, condition) = accept(wanted, &status["acceptedNames"], group);
        next["acceptedNames"] = accepted;
        let good = condition.status == "True";
        set_condition(&mut next, &condition, now);
        if !is_true(status, "Established") {
            let (reason, message) = if good {
                ("Installing", "the initial names have been accepted")
            } else {
                ("NotAccepted", "not all names are accepted")
            };
            set_condition(&mut next, &Condition::new("Established", "False", reason, message), now);
        }
    } else if is_true(status, "NamesAccepted") && !is_true(status, "Established") {
        let message = "the initial names have been accepted";
        let condition = Condition::new("Established", "True", "InitialNamesAccepted", message);
        set_condition(&mut next, &condition, now);
    }
    (next != *status).then_some(next)
}

/// Whether a definition is served: it was established once.
pub(crate) fn is_established(definition: &Value) -> bool {
    is_true(&definition["status"], "Established")
}

/// The status of a definition that is being deleted.
pub(crate) fn terminating(status: &Value, now: &Value) -> Value {
    let mut next = status.clone();
    let message = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon";
    let condition = Condition::new("Terminating", "True", "InstanceDeletionPending", message);
    set_condition(&mut next, &condition, now);
    next
}

struct Condition {
    name: &'static str,
    status: &'static str,
    reason: &'static str,
    message: String,
}

impl Condition {
    fn new(name: &'static str, status: &'static str, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            name,
            status,
            reason,
            message: message.into(),
        }
    }
}

fn is_true(status: &Value, name: &str) -> bool {
    let mut conditions = status["conditions"].as_array().into_iter().flatten();
    conditions.any(|condition| condition["type"] == name && condition["status"] == "True")
}

fn set_condition(status: &mut Value, condition: &Condition, now: &Value) {
    let mut conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    let known = conditions.iter().position(|known| known["type"] == condition.name);
    let since = known
        .map(|index| &conditions[index])
        .filter(|known| known["status"] == condition.status)
        .map_or_else(|| now.clone(), |known| known["lastTransitionTime"].clone());
    let shown = json!({
        "type": condition.name, "status": condition.status, "reason": condition.reason,
        "message": condition.message, "lastTransitionTime": since,
    });
    match known {
        Some(index) => conditions[index] = shown,
        None => conditions.push(shown),
    }
    status["conditions"] = conditions.into();
}

/// Members that say the same, where an empty one is an absent one.
fn same_names(one: &Value, other: &Value) -> bool {
    let texts = ["plural", "singular", "kind", "listKind"].iter();
    let lists = ["shortNames", "categories"].iter();
    texts.into_iter().all(|member| text(one, member) == text(other, member))
        && lists
            .into_iter()
            .all(|member| strings(&one[member]) == strings(&other[member]))
}

fn text<'a>(names: &'a Value, member: &str) -> &'a str {
    names[member].as_str().unwrap_or_default()
}

/// The names that a definition gets, and whether these are all that it wants.
fn accept<'a>(wanted: &Value, accepted: &Value, group: impl Iterator<Item = &'a Value>) -> (Value, Condition) {
    let (mut resources, mut kinds) = (Vec::new(), Vec::new());
    for other in group {
        let names = &other["status"]["acceptedNames"];
        resources.extend([text(names, "plural"), text(names, "singular")]);
        resources.extend(strings(&names["shortNames"]));
        kinds.extend([text(names, "kind"), text(names, "listKind")]);
    }
    let taken = |used: &[&str], name: &str| used.contains(&name).then(|| format!("{name:?} is already in use"));
    let mut condition = Condition::new("NamesAccepted", "True", "NoConflicts", "no conflicts found");
    let mut conflict = |reason, message| condition = Condition::new("NamesAccepted", "False", reason, message);
    let mut next = accepted.clone();
    for (member, reason) in [("plural", "PluralConflict"), ("singular", "SingularConflict")] {
        match taken(&resources, text(wanted, member)).filter(|_| text(wanted, member) != text(accepted, member)) {
            Some(message) => conflict(reason, message),
            None => next[member] = wanted[member].clone(),
        }
    }
    let own = strings(&accepted["shortNames"]);
    let short = strings(&wanted["shortNames"])
        .into_iter()
        .filter(|name| !own.contains(name));
    let conflicts: Vec<String> = short.filter_map(|name| taken(&resources, name)).collect();
    match conflicts.as_slice() {
        [] => set_list(&mut next, wanted, "shortNames"),
        [one] => conflict("ShortNamesConflict", one.clone()),
        many => conflict("ShortNamesConflict", format!("[{}]", many.join(", "))),
    }
    for (member, reason) in [("kind", "KindConflict"), ("listKind", "ListKindConflict")] {
        match taken(&kinds, text(wanted, member)).filter(|_| text(wanted, member) != text(accepted, member)) {
            Some(message) => conflict(reason, message),
            None => next[member] = wanted[member].clone(),
        }
    }
    set_list(&mut next, wanted, "categories");
    (next, condition)
}

fn set_list(names: &mut Value, wanted: &Value, member: &str) {
    let Some(names) = names.as_object_mut() else { return };
    match wanted.get(member).filter(|list| !strings(list).is_empty()) {
        Some(list) => names.insert(member.to_owned(), list.clone()),
        None => names.remove(member),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(plural: &str, kind: &str) -> Value {
        json!({
            "spec": {"names": {"plural": plural, "kind": kind, "singular": plural, "listKind": format!("{kind}List")}},
            "status": {"acceptedNames": {"kind": "", "plural": ""}, "conditions": null, "storedVersions": ["v1"]},
        })
    }

    fn settle(definition: &mut Value, others: &[Value]) -> usize {
        let mut steps = 0;
        while let Some(status) = next_status(definition, others.iter(), &json!("now")) {
            definition["status"] = status;
            steps += 1;
        }
        steps
    }

    #[test]
    fn names_are_accepted_first_and_established_then() {
        let mut one = definition("ones", "One");
        assert_eq!(settle(&mut one, &[]), 2);
        assert!(is_established(&one));
        assert_eq!(one["status"]["acceptedNames"]["listKind"], "OneList");
    }

    #[test]
    fn a_name_in_use_keeps_a_definition_waiting_until_it_is_free() {
        let mut one = definition("ones", "One");
        settle(&mut one, &[]);
        let mut other = definition("others", "One");
        settle(&mut other, &[one]);
        assert!(!is_established(&other));
        assert_eq!(
            other["status"]["conditions"][0]["message"],
            "\"OneList\" is already in use"
        );
        assert_eq!(other["status"]["acceptedNames"]["plural"], "others");
        settle(&mut other, &[]);
        assert!(is_established(&other));
    }
}
