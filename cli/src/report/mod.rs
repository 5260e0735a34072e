//! `torpor report`: show, check and compare the reports of conformance runs.

pub mod args;

use std::io::Write as _;

use anyhow::anyhow;
use serde_json::json;
use torpor_harness::{Difference, Form, FoundReport, Report, Suite, Verdict, for_terminal, verify as verify_report};

use crate::args::Output;
use crate::exit::Exit;
use args::{ReportArgs, ReportCommand, ReportForm, VerifyArgs};

/// Runs one of the commands.
///
/// # Errors
/// The result cannot be written.
pub fn run(args: &ReportArgs) -> anyhow::Result<Exit> {
    match &args.command {
        ReportCommand::Show { file, output } => match FoundReport::read(file) {
            Ok(found) => print(&found.report.render(form(*output))?),
            Err(error) => Ok(Exit::usage(&anyhow!(error))),
        },
        ReportCommand::Verify(args) => Ok(verify(args)),
        ReportCommand::Diff { old, new, output } => match (FoundReport::read(old), FoundReport::read(new)) {
            (Ok(old), Ok(new)) => diff(&Difference::between(&old.report, &new.report), *output),
            (Err(error), _) | (_, Err(error)) => Ok(Exit::usage(&anyhow!(error))),
        },
    }
}

const fn form(form: ReportForm) -> Form {
    match form {
        ReportForm::Text => Form::Text,
        ReportForm::Json => Form::Json,
        ReportForm::Yaml => Form::Yaml,
        ReportForm::Markdown => Form::Markdown,
        ReportForm::Junit => Form::Junit,
        ReportForm::Html => Form::Html,
        ReportForm::BadgeData => Form::BadgeData,
        ReportForm::Badge => Form::Badge,
    }
}

/// Prints a text. A reader that has seen enough and went away, such as `head`, is no error.
///
/// # Errors
/// It cannot be written for any other reason.
pub fn print(text: &str) -> anyhow::Result<Exit> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        Err(_) | Ok(()) => Ok(Exit::Success),
    }
}

fn diff(difference: &Difference, output: Output) -> anyhow::Result<Exit> {
    match output {
        Output::Text => print(&difference.to_text())?,
        Output::Json => print(&(serde_json::to_string_pretty(difference)? + "\n"))?,
    };
    Ok(if difference.is_regression() {
        Exit::NotConformant
    } else {
        Exit::Success
    })
}

fn verify(args: &VerifyArgs) -> Exit {
    let suite = match Suite::load(args.scenarios.as_deref()) {
        Ok(suite) => suite,
        Err(errors) => return Exit::usage(&anyhow!("read the scenarios:\n{errors}")),
    };
    let found = match FoundReport::read(&args.file) {
        Ok(found) => found,
        Err(error) => return Exit::usage(&anyhow!(error)),
    };
    let mut verification = verify_report(&found, &suite);
    if args.allow_partial {
        verification.findings.retain(|finding| !finding.is_partial());
    }
    let report = &found.report;
    let unfit = args.require_conformant && report.verdict() != Verdict::Conformant;
    let accepted = verification.findings.is_empty() && !unfit;
    match args.output {
        Output::Json => println!(
            "{:#}",
            json!({
                "accepted": accepted,
                "verdict": report.verdict(),
                "partial": report.partial,
                "findings": verification.findings.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "notes": verification.notes,
            })
        ),
        Output::Text => {
            for finding in &verification.findings {
                println!("wrong: {}", for_terminal(&finding.to_string(), 7));
            }
            for note in &verification.notes {
                println!("note: {}", for_terminal(note, 6));
            }
            println!("{}", conclusion(report, verification.findings.len(), unfit));
        }
    }
    if accepted { Exit::Success } else { Exit::NotConformant }
}

fn conclusion(report: &Report, findings: usize, unfit: bool) -> String {
    let selected = if report.partial { " in what was selected" } else { "" };
    let of = format!(
        "{}: {}{selected} (profile {}, {})",
        for_terminal(&report.target, 0),
        report.verdict().as_str(),
        for_terminal(&report.profile, 0),
        report.ended_at.strftime("%Y-%m-%d")
    );
    if findings > 0 {
        let things = if findings == 1 { "thing" } else { "things" };
        return format!("rejected: {findings} {things} in it cannot be so; it says {of}");
    }
    if unfit {
        return format!("rejected: it does not say conformant; it says {of}");
    }
    format!(
        "consistent and unchanged since it was written: {of}\n\
         That is no signature: whoever changes a report knowingly can make it consistent again."
    )
}
