//! The forms that a report is written in. All of them are made from the same data.

use std::path::Path;

use super::{Report, badge, html, junit, markdown, text};

/// Why a report cannot be written down.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// Not as JSON.
    #[error("write the report as JSON")]
    Json(#[from] serde_json::Error),
    /// Not as YAML.
    #[error("write the report as YAML: {0}")]
    Yaml(String),
}

/// A form of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// For a terminal.
    Text,
    /// Everything, for programs; what all other forms are made from.
    Json,
    /// The same as JSON.
    Yaml,
    /// For CI systems that show tests.
    Junit,
    /// A page that needs no network.
    Html,
    /// For the summary of a CI run.
    Markdown,
    /// What shields.io draws a badge from.
    BadgeData,
    /// A badge.
    Badge,
}

impl Form {
    /// What every run writes.
    pub const USUAL: [Self; 6] = [
        Self::Json,
        Self::Junit,
        Self::Html,
        Self::Markdown,
        Self::BadgeData,
        Self::Badge,
    ];

    /// The name of its file.
    #[must_use]
    pub const fn file_name(self) -> &'static str {
        match self {
            Self::Text => "report.txt",
            Self::Json => "report.json",
            Self::Yaml => "report.yaml",
            Self::Junit => "junit.xml",
            Self::Html => "report.html",
            Self::Markdown => "summary.md",
            Self::BadgeData => "badge.json",
            Self::Badge => "badge.svg",
        }
    }
}

/// The JSON schema of `report.json`, for editors and for programs that read reports.
#[must_use]
pub fn report_schema() -> serde_json::Value {
    schemars::schema_for!(Report).to_value()
}

impl Report {
    /// The report in one of its forms.
    ///
    /// # Errors
    /// It cannot be written as YAML; no value of this type is such.
    pub fn render(&self, form: Form) -> Result<String, RenderError> {
        Ok(match form {
            Form::Text => text::render(self),
            Form::Json => serde_json::to_string_pretty(self)? + "\n",
            Form::Yaml => serde_saphyr::to_string(self).map_err(|error| RenderError::Yaml(error.to_string()))?,
            Form::Junit => junit::render(self),
            Form::Html => html::render(self),
            Form::Markdown => markdown::render(self),
            Form::BadgeData => badge::data(self),
            Form::Badge => badge::drawing(self),
        })
    }

    /// Writes the usual forms ([`Form::USUAL`]) into a folder, which is made if needed.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, folder: &Path) -> std::io::Result<()> {
        self.write_as(folder, &Form::USUAL)
    }

    /// Writes forms into a folder, which is made if needed, each under its own name.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write_as(&self, folder: &Path, forms: &[Form]) -> std::io::Result<()> {
        std::fs::create_dir_all(folder)?;
        for form in forms {
            let text = self.render(*form).map_err(std::io::Error::other)?;
            std::fs::write(folder.join(form.file_name()), text)?;
        }
        Ok(())
    }
}
