//! Mistakes of a controller in how it is installed: in the definitions of its custom resources.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

use super::{Fault, Hooks, controller};

pub(super) const FAULTS: &[Fault] = &[controller(
    "state-in-no-column",
    "is installed with definitions whose columns tell no state",
    || Hooks {
        definitions: Some(without_columns_of_the_status),
        ..Hooks::default()
    },
)
.breaks(&["OBS-01"], &["kubectl-shows-the-state"])
.spares(&["pause-and-resume-reach-their-state", "steps-are-reported-as-events"])];

fn without_columns_of_the_status(definition: &mut CustomResourceDefinition) {
    for version in &mut definition.spec.versions {
        let columns = version.additional_printer_columns.iter_mut().flatten();
        // A column that is shown only when it is asked for is one that few people see.
        for column in columns.filter(|column| column.json_path.starts_with(".status.")) {
            column.priority = Some(1);
        }
    }
}
