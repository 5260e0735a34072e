//! The JSON schema of scenario files, for editors.

use serde_json::Value;

use super::Scenario;

/// The JSON schema of a scenario file.
#[must_use]
pub fn scenario_schema() -> Value {
    schemars::schema_for!(Scenario).to_value()
}
