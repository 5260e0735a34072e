//! Whether a scenario makes sense on its own: known requirements, sandboxes that exist,
//! variables that have a value.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Front, Scenario, Step, variables_in};
use crate::capability::Capability;
use crate::catalogue::Catalogue;
use crate::error::{YamlError, at};

/// Names that always have a value.
const GIVEN: [&str; 5] = ["run", "pod", "image", "template", "namespace"];

pub(super) fn faults(scenario: &Scenario, file: &str, text: &str, catalogue: &Catalogue) -> Vec<YamlError> {
    let mut faults = Faults {
        file,
        text,
        found: Vec::new(),
    };
    faults.head(scenario, catalogue);
    let mut known = Known::default();
    known.values.extend(GIVEN.map(str::to_owned));
    faults.steps(&scenario.steps, &mut known);
    faults.history(scenario, &known);
    faults.namespace(scenario);
    faults.needs(scenario);
    faults.found
}

/// What the steps so far have made.
#[derive(Clone, Default)]
struct Known {
    values: BTreeSet<String>,
    marks: BTreeSet<String>,
    /// Sandboxes that commands were recorded of.
    worked: BTreeSet<String>,
}

struct Faults<'a> {
    file: &'a str,
    text: &'a str,
    found: Vec<YamlError>,
}

impl Faults<'_> {
    fn add(&mut self, needle: &str, message: String) {
        self.found.push(at(self.file, self.text, needle, message));
    }

    fn head(&mut self, scenario: &Scenario, catalogue: &Catalogue) {
        let id = &scenario.id;
        if !is_words(id) {
            self.add(id, format!("`id: {id}` must be lower-case words joined by `-`"));
        }
        let stem = self
            .file
            .rsplit('/')
            .next()
            .unwrap_or(self.file)
            .trim_end_matches(".yaml");
        if stem != id {
            self.add("id:", format!("`id: {id}` must be the file's name, `{stem}`"));
        }
        for requirement in &scenario.requirements {
            if catalogue.get(requirement).is_none() {
                let group = requirement.split('-').next().unwrap_or_default();
                let known: Vec<_> = catalogue
                    .requirements
                    .iter()
                    .filter(|known| known.group() == group)
                    .map(|known| &*known.id)
                    .collect();
                let hint = if known.is_empty() {
                    "see docs/requirements.md".to_owned()
                } else {
                    known.join(", ")
                };
                self.add(
                    requirement,
                    format!("unknown requirement `{requirement}`, expected one of: {hint}"),
                );
            }
        }
        for label in &scenario.labels {
            if !is_words(label) {
                self.add(label, format!("label `{label}` must be lower-case words joined by `-`"));
            }
        }
        for (field, empty) in [
            ("requirements", scenario.requirements.is_empty()),
            ("via", scenario.via.is_empty()),
            ("steps", scenario.steps.is_empty()),
        ] {
            if empty {
                self.add(field, format!("`{field}` must name at least one"));
            }
        }
    }

    fn history(&mut self, scenario: &Scenario, known: &Known) {
        for property in &scenario.history {
            let sandbox = property.sandbox();
            if !known.values.contains(sandbox) {
                self.add("history:", format!("no step creates a sandbox `{sandbox}`"));
            }
        }
        let recorded = |front: &Front| *front == Front::Kubernetes || scenario.needs.contains(&Capability::Kubernetes);
        if !scenario.history.is_empty() && !scenario.via.iter().all(recorded) {
            self.add("history:", "`history` takes `kubernetes`: add it to `needs`".to_owned());
        }
    }

    /// A namespace that is not the case's alone must never be deleted.
    fn namespace(&mut self, scenario: &Scenario) {
        let deletes = super::needs::of(&scenario.steps, Front::Kubernetes)
            .iter()
            .any(|(_, capability)| *capability == Capability::Namespaces);
        if deletes && !scenario.own_namespace {
            let message = "`delete-namespace` takes a namespace that was made for the case: `own-namespace: true`";
            self.add("delete-namespace", message.to_owned());
        }
        if scenario.own_namespace && scenario.via.contains(&Front::E2b) {
            let message =
                "E2B makes sandboxes in a namespace of its own choice: `own-namespace` goes with `via: [kubernetes]`";
            self.add("own-namespace", message.to_owned());
        }
        if scenario.own_namespace && !scenario.needs.contains(&Capability::Namespaces) {
            let message = "`own-namespace` takes `namespaces`: add it to `needs`";
            self.add("own-namespace", message.to_owned());
        }
    }

    fn needs(&mut self, scenario: &Scenario) {
        for front in &scenario.via {
            let mut named = scenario.needs.clone();
            named.push(front.capability());
            for (key, capability) in super::needs::of(&scenario.steps, *front) {
                if !named.contains(&capability) {
                    let name = capability.as_str();
                    self.add(
                        key,
                        format!("`{key}` through {} takes `{name}`: add it to `needs`", front.as_str()),
                    );
                    named.push(capability);
                }
            }
        }
    }

    fn steps(&mut self, steps: &[Step], known: &mut Known) {
        for step in steps {
            match step {
                Step::Repeat(repeat) => {
                    known.values.insert("i".to_owned());
                    self.steps(&repeat.steps, known);
                }
                Step::Race(race) => {
                    self.one_writer(&race.branches);
                    let before = known.clone();
                    for branch in &race.branches {
                        let mut inside = before.clone();
                        self.steps(branch, &mut inside);
                        known.values.extend(inside.values);
                        known.marks.extend(inside.marks);
                        known.worked.extend(inside.worked);
                    }
                }
                Step::Create(create) => {
                    self.reads(&serde_json::to_value(create).unwrap_or_default(), known, true);
                    known.values.insert(create.sandbox.clone());
                }
                other => self.leaf(other, known),
            }
        }
    }

    fn leaf(&mut self, step: &Step, known: &mut Known) {
        let plain = serde_json::to_value(step).unwrap_or_default();
        let control = matches!(step, Step::Http(http) if http.plane == super::Plane::Control);
        self.reads(&plain, known, control);
        match step {
            Step::Run(run) => known.values.extend(run.save.clone()),
            Step::Command(command) => known.values.extend(command.save.clone()),
            Step::StatFile(stat) => known.values.extend(stat.save.clone()),
            Step::Http(http) => known.values.extend(http.save.keys().cloned()),
            Step::Remember(remember) => {
                known.values.insert(remember.name.clone());
            }
            Step::FindNode(_) => known.values.extend(["node", "share"].map(str::to_owned)),
            Step::Mark(mark) => {
                known.marks.insert(mark.name.clone());
            }
            Step::MarkSeries(mark) => {
                known.marks.insert(mark.name.clone());
            }
            Step::Work(work) => {
                known.worked.insert(work.sandbox.clone());
            }
            Step::Recall(recall) if !known.worked.contains(&recall.sandbox) => {
                let sandbox = &recall.sandbox;
                self.add("recall", format!("no `work` step before this one is about `{sandbox}`"));
            }
            _ => {}
        }
    }

    /// What is judged by its commands is told by one branch at a time.
    fn one_writer(&mut self, branches: &[Vec<Step>]) {
        let mut seen = BTreeSet::new();
        for sandbox in branches.iter().flat_map(|branch| recorded(branch)) {
            if !seen.insert(sandbox.clone()) {
                let message = format!("two branches of a race record commands of `{sandbox}`: only one may");
                self.add("race", message);
            }
        }
    }

    fn reads(&mut self, step: &Value, known: &Known, without_sandbox: bool) {
        for name in variables_in(step) {
            if !known.values.contains(&name) {
                self.add(
                    &format!("${{{name}}}"),
                    format!("`${{{name}}}` has no value at this step"),
                );
            }
        }
        if !without_sandbox {
            for name in texts_at(step, "sandbox") {
                if !known.values.contains(&name) {
                    self.add(&name, format!("no step before this one creates a sandbox `{name}`"));
                }
            }
        }
        for name in texts_at(step, "since") {
            if !known.marks.contains(&name) {
                self.add(&name, format!("no step before this one sets a mark `{name}`"));
            }
        }
    }
}

/// Whether it is lower-case words joined by `-`.
fn is_words(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.bytes().all(plain)
}

/// The sandboxes whose commands steps record.
fn recorded(steps: &[Step]) -> BTreeSet<String> {
    let of = |step: &Step| match step {
        Step::Work(work) => BTreeSet::from([work.sandbox.clone()]),
        Step::Recall(recall) => BTreeSet::from([recall.sandbox.clone()]),
        Step::Repeat(repeat) => recorded(&repeat.steps),
        Step::Race(race) => race.branches.iter().flat_map(|branch| recorded(branch)).collect(),
        _ => BTreeSet::new(),
    };
    steps.iter().flat_map(of).collect()
}

/// Every text that stands under `key`, at any depth.
fn texts_at(value: &Value, key: &str) -> BTreeSet<String> {
    match value {
        Value::Array(items) => items.iter().flat_map(|item| texts_at(item, key)).collect(),
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(name, field)| match field {
                Value::String(text) if name == key => BTreeSet::from([text.clone()]),
                other => texts_at(other, key),
            })
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => BTreeSet::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(text: &str) -> Vec<String> {
        let catalogue = Catalogue::load().unwrap();
        Scenario::parse("a.yaml", text, &catalogue)
            .unwrap_err()
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    const HEAD: &str = "id: a\ntitle: A claim\nrequirements: [CTX-01]\nvia: [e2b]\n";

    #[test]
    fn an_unknown_step_is_reported_with_its_place_and_the_steps_there_are() {
        let error = errors(&format!("{HEAD}steps:\n  - create: {{}}\n  - puase: {{}}\n")).remove(0);
        assert!(error.starts_with("a.yaml:7:"), "{error}");
        assert!(error.contains("puase") && error.contains("pause"), "{error}");
    }

    #[test]
    fn an_unknown_field_is_reported_with_its_place_and_the_fields_there_are() {
        let error = errors(&format!("{HEAD}steps:\n  - create:\n      tiemout: 3\n")).remove(0);
        assert!(error.starts_with("a.yaml:7:"), "{error}");
        assert!(error.contains("tiemout") && error.contains("timeout"), "{error}");
    }

    #[test]
    fn an_unknown_requirement_is_reported_with_those_of_its_group() {
        let error = errors(
            &HEAD
                .replace("CTX-01", "DEL-99")
                .replace("via", "steps: [create: {}]\nvia"),
        )
        .remove(0);
        assert!(error.starts_with("a.yaml:3:16"), "{error}");
        assert!(error.contains("DEL-01"), "{error}");
    }

    #[test]
    fn a_variable_a_sandbox_or_a_mark_that_no_earlier_step_makes_is_reported() {
        let found = errors(&format!(
            "{HEAD}steps:\n  - create: {{}}\n  - run: {{code: \"${{later}}\", save: later}}\n  - pause: {{sandbox: other}}\n  - expect:\n      - unchanged: {{since: start}}\n"
        ));
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].starts_with("a.yaml:7:"), "{}", found[0]);
        assert!(found[1].contains("`other`") && found[2].contains("`start`"));
    }

    #[test]
    fn a_step_that_takes_more_than_the_scenario_names_is_reported() {
        let found = errors(&format!(
            "{HEAD}steps:\n  - create: {{}}\n  - repeat:\n      times: 2\n      steps:\n        - expect:\n            - pods: {{count: 1}}\n"
        ));
        assert_eq!(
            found,
            ["a.yaml:11:15: `pods` through e2b takes `kubernetes`: add it to `needs`"]
        );
    }

    #[test]
    fn commands_are_recorded_by_one_branch_at_a_time_and_recalled_after_they_were_given() {
        let work = "work: {canaries: [counter], commands: 1}";
        let head = HEAD.replace("via", "needs: [memory]\nvia");
        let found = errors(&format!(
            "{head}steps:\n  - create: {{}}\n  - recall: {{}}\n  - race:\n      branches:\n        - - {work}\n        - - {work}\n"
        ));
        assert_eq!(
            found,
            [
                "a.yaml:8:5: no `work` step before this one is about `sandbox`",
                "a.yaml:9:5: two branches of a race record commands of `sandbox`: only one may"
            ]
        );
    }

    #[test]
    fn a_property_of_a_history_that_nobody_records_or_of_no_sandbox_is_reported() {
        let found = errors(&format!(
            "{HEAD}steps:\n  - create: {{}}\nhistory:\n  - pods-made: {{sandbox: other, at-most: 1}}\n"
        ));
        assert_eq!(
            found,
            [
                "a.yaml:7:1: no step creates a sandbox `other`",
                "a.yaml:7:1: `history` takes `kubernetes`: add it to `needs`"
            ]
        );
    }

    #[test]
    fn no_namespace_is_deleted_but_one_that_was_made_for_the_case() {
        let head = HEAD.replace("[e2b]", "[kubernetes]\nneeds: [namespaces]");
        let steps = "steps:\n  - create: {}\n  - delete-namespace: {}\n";
        let found = errors(&format!("{head}{steps}"));
        assert!(
            found[0].starts_with("a.yaml:8:5") && found[0].contains("own-namespace"),
            "{found:?}"
        );
        let found = errors(&format!("{HEAD}own-namespace: true\n{steps}").replace("[e2b]", "[e2b, kubernetes]"));
        assert!(
            found.iter().any(|error| error.contains("via: [kubernetes]")),
            "{found:?}"
        );
        assert!(
            found.iter().any(|error| error.contains("takes `namespaces`")),
            "{found:?}"
        );
    }

    #[test]
    fn a_file_that_is_not_yaml_is_refused_without_a_panic() {
        for text in ["", "[", "a: b: c", "\u{0}", "- 1", "steps: 7"] {
            assert!(!errors(text).is_empty());
        }
    }
}
