//! Errors of the files that the suite reads.

use serde::de::DeserializeOwned;

/// A file that does not say what it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct YamlError {
    /// The file, as it was named to the suite.
    pub file: String,
    /// Line, from 1; 0 when the fault is the file as a whole.
    pub line: u64,
    /// Column, from 1; 0 when the fault is the file as a whole.
    pub column: u64,
    /// What is wrong there and what is allowed.
    pub message: String,
}

impl std::fmt::Display for YamlError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            file,
            line,
            column,
            message,
        } = self;
        match line {
            0 => write!(out, "{file}: {message}"),
            _ => write!(out, "{file}:{line}:{column}: {message}"),
        }
    }
}

impl std::error::Error for YamlError {}

/// Everything that is wrong with a set of scenario files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioErrors(pub Vec<YamlError>);

impl std::fmt::Display for ScenarioErrors {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                out.write_str("\n")?;
            }
            error.fmt(out)?;
        }
        Ok(())
    }
}

impl std::error::Error for ScenarioErrors {}

pub(crate) fn from_yaml<T: DeserializeOwned>(file: &str, text: &str) -> Result<T, YamlError> {
    serde_saphyr::from_str(text).map_err(|error| {
        let (line, column) = error.location().map_or((0, 0), |place| (place.line(), place.column()));
        let plain = error.without_snippet().to_string();
        // Where it is, stands before it.
        let line_of_it = plain.lines().next().unwrap_or_default();
        let message = line_of_it.split(" at line ").next().unwrap_or(line_of_it).to_owned();
        YamlError {
            file: file.to_owned(),
            line,
            column,
            message,
        }
    })
}

/// Places an error at the first spot of `text` where `needle` stands.
pub(crate) fn at(file: &str, text: &str, needle: &str, message: String) -> YamlError {
    let found = text.lines().enumerate().find_map(|(line, content)| {
        let column = content
            .split(needle)
            .next()
            .filter(|before| before.len() < content.len())?
            .chars()
            .count();
        Some((line as u64 + 1, column as u64 + 1))
    });
    let (line, column) = found.unwrap_or((0, 0));
    YamlError {
        file: file.to_owned(),
        line,
        column,
        message,
    }
}
