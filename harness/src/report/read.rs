//! Reads a report back, from JSON or YAML.

use std::path::Path;

use serde::Deserialize as _;
use serde_json::Value;

use super::{Report, SCHEMA_VERSION};

/// A report as it was found: what it says, and the data that says it.
#[derive(Clone, Debug)]
pub struct FoundReport {
    /// What it says.
    pub report: Report,
    /// The data, with whatever else is in it.
    pub data: Value,
}

/// Why something is no report that this version can read.
#[derive(Debug, thiserror::Error)]
pub enum ReadReportError {
    /// The file cannot be read.
    #[error("read {file}")]
    File {
        /// The file.
        file: String,
        /// Why.
        source: std::io::Error,
    },
    /// It is not JSON or YAML.
    #[error("{file}:{line}:{column}: {message}")]
    Syntax {
        /// The file.
        file: String,
        /// Line, from 1.
        line: u64,
        /// Column, from 1.
        column: u64,
        /// What is wrong there.
        message: String,
    },
    /// It does not say that it is a report.
    #[error("{file}: no `schemaVersion`, so it is no report of a conformance run")]
    NoReport {
        /// The file.
        file: String,
    },
    /// It was written by another version.
    #[error(
        "{file}: its layout is version {found}, and this torpor reads {SCHEMA_VERSION}; use the torpor that wrote it"
    )]
    Version {
        /// The file.
        file: String,
        /// Version of its layout.
        found: Value,
    },
    /// A field is missing or not what it should be.
    #[error("{file}: {path}: {message}")]
    Field {
        /// The file.
        file: String,
        /// Where, e.g. `cases[3].result`.
        path: String,
        /// What is wrong there.
        message: String,
    },
}

impl FoundReport {
    /// Reads a file, or `report.json` of a folder. What ends in `.yaml` or `.yml` is YAML.
    ///
    /// # Errors
    /// It is missing, no JSON or YAML, or no report of this version.
    pub fn read(path: &Path) -> Result<Self, ReadReportError> {
        let file = if path.is_dir() {
            path.join("report.json")
        } else {
            path.to_owned()
        };
        let name = file.display().to_string();
        let text = std::fs::read_to_string(&file).map_err(|source| ReadReportError::File {
            file: name.clone(),
            source,
        })?;
        let yaml = file.extension().is_some_and(|end| end == "yaml" || end == "yml");
        let data = if yaml {
            from_yaml(&name, &text)?
        } else {
            from_json(&name, &text)?
        };
        Self::of(&name, data)
    }

    /// Takes data for a report.
    ///
    /// # Errors
    /// It is no report of this version.
    pub fn of(name: &str, data: Value) -> Result<Self, ReadReportError> {
        let file = name.to_owned();
        match data.get("schemaVersion") {
            None => return Err(ReadReportError::NoReport { file }),
            Some(found) if found.as_u64() != Some(u64::from(SCHEMA_VERSION)) => {
                let found = found.clone();
                return Err(ReadReportError::Version { file, found });
            }
            Some(_) => {}
        }
        let mut track = serde_path_to_error::Track::new();
        let read = Report::deserialize(serde_path_to_error::Deserializer::new(&data, &mut track));
        match read {
            Ok(report) => Ok(Self { report, data }),
            Err(error) => Err(ReadReportError::Field {
                file,
                path: track.path().to_string(),
                message: error.to_string(),
            }),
        }
    }
}

fn from_json(file: &str, text: &str) -> Result<Value, ReadReportError> {
    serde_json::from_str(text).map_err(|error| {
        let full = error.to_string();
        let message = full.split(" at line ").next().unwrap_or(&full).to_owned();
        ReadReportError::Syntax {
            file: file.to_owned(),
            line: error.line() as u64,
            column: error.column() as u64,
            message,
        }
    })
}

fn from_yaml(file: &str, text: &str) -> Result<Value, ReadReportError> {
    crate::error::from_yaml(file, text).map_err(|error| ReadReportError::Syntax {
        file: error.file,
        line: error.line,
        column: error.column,
        message: error.message,
    })
}
