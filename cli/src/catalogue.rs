//! `torpor catalogue`: the requirements, and what tests them.

use std::fmt::Write as _;

use anyhow::anyhow;
use torpor_harness::{Covered, ProvisionalCase, Suite};

use crate::exit::Exit;
use crate::report::args::{CatalogueArgs, CatalogueForm};
use crate::report::print;

/// Prints the requirements.
///
/// # Errors
/// They cannot be written as JSON.
pub fn run(args: &CatalogueArgs) -> anyhow::Result<Exit> {
    let suite = match Suite::load(args.scenarios.as_deref()) {
        Ok(suite) => suite,
        Err(errors) => return Ok(Exit::usage(&anyhow!("read the scenarios:\n{errors}"))),
    };
    let text = match args.output {
        CatalogueForm::Json => serde_json::to_string_pretty(&suite.coverage())? + "\n",
        CatalogueForm::Markdown => suite.requirements_page(),
        CatalogueForm::Text => {
            let coverage = suite.coverage();
            let covered = coverage.requirements.iter().map(|covered| one(covered, args.cases));
            let provisional = coverage.provisional.iter().filter(|_| args.cases).map(provisional);
            covered.chain(provisional).collect()
        }
    };
    print(&text)
}

fn provisional(case: &ProvisionalCase) -> String {
    let (id, from) = (&case.id, case.counts_from);
    format!("provisional until {from}: {id} ({})\n", case.requirements.join(", "))
}

fn one(covered: &Covered, with_cases: bool) -> String {
    let requirement = &covered.requirement;
    let tested = match (&requirement.untestable, covered.cases.len(), covered.judged) {
        (Some(_), _, _) => "untestable".to_owned(),
        (None, 0, false) => "no case".to_owned(),
        (None, 0, true) => "every case with Kubernetes".to_owned(),
        (None, 1, _) => "1 case".to_owned(),
        (None, count, _) => format!("{count} cases"),
    };
    let mut text = format!(
        "{:<8} {:<8} {} ({tested})\n",
        requirement.id,
        requirement.level.as_str(),
        requirement.text
    );
    if with_cases {
        for case in &covered.cases {
            let _ = writeln!(text, "                  {case}");
        }
    }
    text
}
