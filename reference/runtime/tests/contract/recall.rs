//! What is claimed of what the CRIU engine knows of CRIU: that it is found out once a boot, not at every resume.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use libtest_mimic::{Failed, Trial};
use torpor_runtime::{CriuConfig, CriuEngine, Engine};

use crate::bench::{Bench, Verdict, hold};
use crate::{LIMIT, criu_config, run, unless};

/// Beside the socket of init, where no file is the sandbox's.
const ASKED: &str = "/run/torpor/asked";
/// Notes what CRIU is asked, and asks it.
const SCRIPT: &str = "#!/bin/sh\necho \"$1\" >>/run/torpor/asked\nexec criu \"$@\"\n";

pub(crate) fn trials(unfit: Option<&str>) -> Vec<Trial> {
    let name = "criu::a_restore_on_the_same_boot_asks_nothing_that_the_checkpoint_knows";
    vec![unless(unfit, Trial::test(name, || run(recalled())))]
}

async fn recalled() -> Verdict {
    let directory = tempfile::tempdir()?;
    let program = directory.path().join("criu");
    fs::write(&program, SCRIPT)?;
    fs::set_permissions(&program, PermissionsExt::from_mode(0o755))?;
    fs::create_dir_all("/run/torpor")?;
    let engine = || -> Arc<dyn Engine> {
        Arc::new(CriuEngine::new(CriuConfig {
            criu: program.clone(),
            ..criu_config()
        }))
    };
    let first = Bench::new(engine(), LIMIT);
    let subject = first.start(None).await?;
    subject.run(None, "x = 41").await?;
    hold(
        asked()?.contains("check"),
        "a first start asks what CRIU can do",
        asked()?,
    )?;
    let payload = first.pause(subject, &[]).await?;

    // As a new agent in a new container.
    fs::remove_file("/run/criu.kdat")?;
    fs::write(ASKED, "")?;
    let again = Bench::new(engine(), LIMIT).restore(payload).await?;
    let asked = asked()?;
    hold(
        !asked.contains("check") && !asked.contains("version"),
        "a resume does not",
        &asked,
    )?;
    hold(asked.contains("restore"), "it restores", &asked)?;
    let value = again.value("x + 1").await?;
    hold(value == "42", "the sandbox is as it was", value)?;
    again.end().await
}

fn asked() -> Result<String, Failed> {
    Ok(fs::read_to_string(ASKED)?)
}
