//! What `kubectl get` shows of a sandbox, and whether that tells its state.

use std::collections::BTreeMap;

use serde_json::Value;

use super::conditions::{Finding, holds};
use super::world::World;
use crate::probe::Fault;
use crate::scenario::Columns;

/// A line of `kubectl get`: the cell of each column.
type Line = BTreeMap<String, Value>;

impl World {
    /// The line of a sandbox, or why there is none.
    pub(super) async fn line_of(&self, alias: &str) -> Result<Result<Value, String>, Fault> {
        let sandbox = self.sandbox(alias)?;
        let table = self.cluster()?.table(&sandbox.name).await?;
        let line = table.as_ref().map(|table| Value::from_iter(line(table)));
        Ok(line.ok_or_else(|| format!("the custom resource {} does not exist", sandbox.name)))
    }

    pub(super) fn columns(&self, wanted: &Columns) -> Finding {
        let lines = |names: &[String]| -> Result<Vec<Line>, Fault> {
            let marked = names.iter().map(|name| self.marked_line(name));
            marked.collect()
        };
        let (running, paused) = (lines(&wanted.running)?, lines(&wanted.paused)?);
        Ok(holds(state_column(&running, &paused).is_some(), || {
            let shown = |lines: &[Line]| serde_json::to_string(lines).unwrap_or_default();
            format!(
                "no column of `kubectl get` tells whether it is paused: it showed {} while it ran and {} while it was paused",
                shown(&running),
                shown(&paused)
            )
        }))
    }

    fn marked_line(&self, name: &str) -> Result<Line, Fault> {
        let state = self.state();
        let marked = state.marks.get(name).and_then(|marked| marked.only());
        let line = marked.and_then(Value::as_object);
        let unset = || Fault::Harness(format!("no mark `{name}` of columns was set"));
        Ok(line.ok_or_else(unset)?.clone().into_iter().collect())
    }
}

/// The cells of the one line of a table that are shown without being asked for. Name and ages tell no state.
fn line(table: &Value) -> Line {
    let listed = |pointer: &str| {
        table
            .pointer(pointer)
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default()
    };
    let (columns, cells) = (listed("/columnDefinitions"), listed("/rows/0/cells"));
    let shown = columns.iter().zip(cells).filter(|(column, _)| {
        let wide = column["priority"].as_i64().unwrap_or_default() > 0;
        !wide && column["type"] != "date" && column["format"] != "name"
    });
    shown
        .map(|(column, cell)| (column["name"].as_str().unwrap_or_default().to_owned(), cell))
        .collect()
}

/// A column that says one thing whenever it runs and another whenever it is paused.
fn state_column<'l>(running: &'l [Line], paused: &[Line]) -> Option<&'l str> {
    let first = running.first()?;
    let same = |lines: &[Line], column: &str| -> Option<Value> {
        let cell = lines.first()?.get(column)?.clone();
        lines.iter().all(|line| line.get(column) == Some(&cell)).then_some(cell)
    };
    let tells = |column: &str| {
        let cells = same(running, column).zip(same(paused, column));
        cells.is_some_and(|(running, paused)| running != paused)
    };
    first.keys().map(String::as_str).find(|column| tells(column))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn table(cells: &Value) -> Line {
        let column = |name: &str, kind: &str, format: &str, priority: i64| json!({"name": name, "type": kind, "format": format, "priority": priority});
        line(&json!({
            "columnDefinitions": [
                column("Name", "string", "name", 0), column("Status", "string", "", 0),
                column("Age", "date", "", 0), column("Message", "string", "", 1),
            ],
            "rows": [{"cells": cells}],
        }))
    }

    #[test]
    fn only_what_is_shown_without_being_asked_for_tells_a_state() {
        let line = table(&json!(["a", "Running", "3s", "all is well"]));
        assert_eq!(line, BTreeMap::from([("Status".to_owned(), json!("Running"))]));
    }

    #[test]
    fn a_column_tells_the_state_by_saying_one_thing_of_each() {
        let of = |status: &str| table(&json!(["a", status, "3s", ""]));
        let told =
            |running: [&str; 2], paused: [&str; 2]| state_column(&running.map(of), &paused.map(of)).map(str::to_owned);
        let status = Some("Status".to_owned());
        assert_eq!(told(["Running", "Running"], ["Paused", "Paused"]), status);
        assert_eq!(told(["Running", "Running"], ["Running", "Running"]), None);
        assert_eq!(told(["1", "2"], ["1", "2"]), None, "a count is no state");
        assert_eq!(state_column(&[], &[]), None);
    }
}
