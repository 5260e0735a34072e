//! What is claimed of the CRIU engine in a new container: what is known of CRIU is found out once a boot, not at every
//! resume, and what a sandbox starts while it comes back is not in the way of the next agent.

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
    let ids = "criu::what_is_started_while_a_sandbox_comes_back_has_an_id_that_no_agent_has";
    vec![
        unless(unfit, Trial::test(name, || run(recalled()))),
        unless(unfit, Trial::test(ids, || run(ids_of_its_own()))),
    ]
}

/// Starts one process after the other, and keeps their ids.
const STARTS: &str = "import os, threading, time, warnings
warnings.simplefilter('ignore')
ids = []
def start():
    while True:
        id = os.fork()
        if id == 0:
            os._exit(0)
        os.waitpid(id, 0)
        ids.append(id)
threading.Thread(target=start, daemon=True).start()";

async fn ids_of_its_own() -> Verdict {
    let bench = Bench::new(Arc::new(CriuEngine::new(criu_config())), LIMIT);
    let subject = bench.start(None).await?;
    subject.run(None, STARTS).await?;
    let payload = bench.pause(subject, &[]).await?;
    // As in a new container, where few ids were given.
    fs::write("/proc/sys/kernel/ns_last_pid", "300")?;
    let again = bench.restore(payload).await?;
    let lowest = "more = len(ids) + 9\nwhile len(ids) < more: time.sleep(0.01)\nmin(ids)";
    let lowest = again.value(lowest).await?;
    hold(lowest.parse::<u32>()? >= 10_000, "it is beyond those of agents", lowest)?;
    again.end().await
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
