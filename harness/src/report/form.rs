//! The forms that a report is written in. All of them are made from the same data.

use std::io;
use std::path::{Path, PathBuf};

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

/// Why the files of a report are not as they should be.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The report has no such form.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// The file system does not do what it is asked.
    #[error("{what} {}", .path.display())]
    File {
        /// What was attempted.
        what: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl WriteError {
    fn of<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + use<'a> {
        move |source| Self::File {
            what,
            path: path.to_owned(),
            source,
        }
    }
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
    pub fn write(&self, folder: &Path) -> Result<(), WriteError> {
        self.write_as(folder, &Form::USUAL)
    }

    /// Writes forms into a folder, which is made if needed, each under its own name. No file is there half: all are written
    /// under other names first. `report.json` is the last to get its own, so that with it the others are there, too.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write_as(&self, folder: &Path, forms: &[Form]) -> Result<(), WriteError> {
        std::fs::create_dir_all(folder).map_err(WriteError::of("make the directory", folder))?;
        let mut forms = forms.to_vec();
        forms.sort_by_key(|form| *form == Form::Json);
        let written = self.stage(folder, &forms).and_then(|()| publish(folder, &forms));
        if written.is_err() {
            // On a full disk they would be in the way of the next attempt.
            for form in forms {
                let _ = std::fs::remove_file(staged(folder, form));
            }
        }
        written
    }

    fn stage(&self, folder: &Path, forms: &[Form]) -> Result<(), WriteError> {
        for form in forms {
            let text = self.render(*form)?;
            let path = folder.join(form.file_name());
            std::fs::write(staged(folder, *form), text).map_err(WriteError::of("write", &path))?;
        }
        Ok(())
    }
}

fn publish(folder: &Path, forms: &[Form]) -> Result<(), WriteError> {
    for form in forms {
        let path = folder.join(form.file_name());
        std::fs::rename(staged(folder, *form), &path).map_err(WriteError::of("write", &path))?;
    }
    Ok(())
}

/// Where the file of a form is until all of it is written.
fn staged(folder: &Path, form: Form) -> PathBuf {
    folder.join(format!(".{}.new", form.file_name()))
}

/// Removes what an earlier run has written into a folder, so that nobody takes it for what came of one that wrote nothing.
///
/// # Errors
/// When a file cannot be removed.
pub fn remove_reports(folder: &Path) -> Result<(), WriteError> {
    for form in Form::USUAL.into_iter().chain([Form::Yaml]) {
        let path = folder.join(form.file_name());
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(WriteError::of("remove", &path)(error));
            }
            Err(_) | Ok(()) => {}
        }
    }
    Ok(())
}
