//! The command line of reports and of the catalogue.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Subcommand, ValueEnum};

use crate::args::Output;

/// What a run tells, and where to.
#[derive(Debug, clap::Args)]
pub struct ReportingArgs {
    /// Write report.json, junit.xml, report.html, summary.md and a badge here
    #[arg(long, value_name = "DIR")]
    pub report: Option<PathBuf>,
    /// Write report.yaml, too, which says the same as report.json
    #[arg(long, requires = "report")]
    pub report_yaml: bool,
    /// Print only what does not pass, and the verdict
    #[arg(long, short)]
    pub quiet: bool,
    /// What the report calls the target, e.g. `Acme Sandboxes 2.1`
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// What else the report should say of the target, e.g. `engine=criu 4.1.1`; may be given several times
    #[arg(long, value_name = "NAME=VALUE")]
    pub fact: Vec<Fact>,
}

/// Something that is known of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    pub name: String,
    pub value: String,
}

impl FromStr for Fact {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((name, value)) if !name.trim().is_empty() => Ok(Self {
                name: name.trim().to_owned(),
                value: value.trim().to_owned(),
            }),
            Some(_) | None => Err("expected NAME=VALUE, such as engine=criu 4.1.1".to_owned()),
        }
    }
}

/// Options of `catalogue`.
#[derive(Debug, clap::Args)]
pub struct CatalogueArgs {
    /// How to print it
    #[arg(long, value_enum, default_value_t, value_name = "FORM")]
    pub output: CatalogueForm,
    /// Print the cases of each requirement, too; JSON and Markdown always have them
    #[arg(long)]
    pub cases: bool,
    /// Directory with further scenarios
    #[arg(long, value_name = "DIR")]
    pub scenarios: Option<PathBuf>,
}

/// The form of the catalogue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum CatalogueForm {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
    /// The page `docs/requirements.md`
    Markdown,
}

/// Options of `report`.
#[derive(Debug, clap::Args)]
pub struct ReportArgs {
    #[command(subcommand)]
    pub command: ReportCommand,
}

/// What to do with reports. A FILE is `report.json`, `report.yaml` or the folder of one.
#[derive(Debug, Subcommand)]
pub enum ReportCommand {
    /// Show a report in one of its forms
    Show {
        /// The report
        file: PathBuf,
        /// In which form
        #[arg(long, value_enum, default_value_t, value_name = "FORM")]
        output: ReportForm,
    },
    /// Check that a report is complete, consistent and unchanged since it was written
    ///
    /// Counts, verdict, requirements and cases are derived again and compared, and so is the digest. The digest
    /// is no signature. Exit codes: 0 nothing is wrong with it, 1 it is rejected, 3 it is no report.
    Verify(VerifyArgs),
    /// Compare two reports
    ///
    /// Exit codes: 0 nothing got worse, 1 something did, 3 one of them is no report.
    Diff {
        /// The report of before
        old: PathBuf,
        /// The report of now
        new: PathBuf,
        /// How to print the result
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
}

/// Options of `report verify`.
#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    /// The report
    pub file: PathBuf,
    /// Directory with further scenarios, when it was made with some
    #[arg(long, value_name = "DIR")]
    pub scenarios: Option<PathBuf>,
    /// Accept a report of selected cases, which says nothing of the others
    #[arg(long)]
    pub allow_partial: bool,
    /// Reject a report that does not say conformant
    #[arg(long)]
    pub require_conformant: bool,
    /// How to print the result
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

/// The form of a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ReportForm {
    /// Requirement by requirement, for a terminal
    #[default]
    Text,
    /// Everything, for programs
    Json,
    /// The same as JSON
    Yaml,
    /// For the summary of a CI run
    Markdown,
    /// For CI systems that show tests
    Junit,
    /// One page, for a browser
    Html,
    /// What shields.io draws a badge from
    BadgeData,
    /// A badge, as SVG
    Badge,
}
