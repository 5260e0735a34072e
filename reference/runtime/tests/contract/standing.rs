//! What is claimed of sandboxes that have to stand, and go on, whatever clients and code are at: by the CRIU engine alone.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use libtest_mimic::{Failed, Trial};
use torpor_runtime::{CriuEngine, ExecutionEvent, Exit, ProcessEvent, ProcessSpec, SandboxError, chain};

use crate::bench::{Bench, Subject, Verdict, hold};
use crate::{LIMIT, container, criu_config, run, unless};

/// How often one looks whether a process waits.
const LOOK: Duration = Duration::from_millis(10);
/// Where files are that code has open: on an overlay a file that lost the name it was opened by has lost all, to CRIU.
const FOLDER: &str = "/run/standing";

pub(crate) fn trials(unfit: Option<&str>) -> Vec<Trial> {
    let trial = |name: &str, check: fn() -> Verdict| unless(unfit, Trial::test(format!("criu::{name}"), check));
    let mut trials = vec![
        trial(
            "a_client_that_does_not_read_keeps_nobody_from_pausing",
            || run(unread()),
        ),
        trial("executions_that_find_no_kernel_get_the_same_one", || run(one_kernel())),
        trial("a_context_that_is_restarted_while_it_stands_has_one_kernel", || {
            run(restarted_while_it_stands())
        }),
        trial("names_of_one_file_are_of_one_file_after_a_resume", || run(one_file())),
        trial("a_process_whose_first_thread_has_ended_ends_with_the_sandbox", || {
            run(first_thread())
        }),
        trial("a_context_that_is_made_while_it_stands_is_in_no_checkpoint", || {
            run(made_while_it_stands())
        }),
        trial(
            "a_sandbox_that_is_not_heard_when_it_goes_on_is_when_that_is_asked_for_again",
            || run(unheard()),
        ),
        trial("a_start_that_fails_leaves_nothing_behind", || run(failed_start())),
        trial(
            "an_init_that_is_killed_is_noticed_and_what_runs_ends_with_an_error",
            || run(init_killed()),
        ),
        trial("nothing_outlives_a_sandbox_that_begins_processes_as_it_ends", || {
            run(begun_at_the_end())
        }),
    ];
    let linked = |name: &str, check: fn() -> Verdict| trial(&format!("{}_{name}", container::LINKED), check);
    if container::may_link() {
        trials.push(linked("that_is_open_is_the_same_file_after_a_resume", || {
            run(open_and_linked())
        }));
        trials.push(linked("that_is_open_has_no_more_names_after_a_thaw", || {
            run(leaves_no_name())
        }));
    } else {
        trials.push(linked("that_cannot_be_named_is_explained_and_code_goes_on", || {
            run(explained())
        }));
    }
    trials
}

async fn start() -> Result<(Bench, Subject), Failed> {
    let bench = Bench::new(Arc::new(CriuEngine::new(criu_config())), LIMIT);
    let subject = bench.start(None).await?;
    Ok((bench, subject))
}

async fn unread() -> Verdict {
    let (bench, first) = start().await?;
    let spec = ProcessSpec {
        program: "yes".to_owned(),
        ..ProcessSpec::default()
    };
    let processes = first.sandbox.processes().ok_or("it has processes")?;
    let stream = processes.start(spec).await?;
    until_it_waits(stream.pid).await?;
    for _ in 0..2 {
        first.freeze().await?;
        first.sandbox.thaw().await?;
        let value = first.value("6 * 7").await?;
        hold(value == "42", "code runs after a thaw", value)?;
    }
    let payload = bench.pause(first, &[]).await?;
    drop(stream);
    let second = bench.restore(payload).await?;
    let value = second.value("6 * 7").await?;
    hold(value == "42", "code runs after a resume", value)?;
    second.end().await
}

/// Returns when a process has written a lot, and then nothing for a while: all that there is room for is full.
async fn until_it_waits(pid: u32) -> Verdict {
    let written = || -> Result<String, Failed> {
        let io = fs::read_to_string(format!("/proc/{pid}/io"))?;
        let line = io.lines().find(|line| line.starts_with("wchar"));
        Ok(line.unwrap_or_default().to_owned())
    };
    let (mut before, mut same) = (written()?, 0);
    while same < 10 {
        tokio::time::sleep(LOOK).await;
        let now = written()?;
        same = if now == before && now != "wchar: 0" {
            same + 1
        } else {
            0
        };
        before = now;
    }
    Ok(())
}

/// Opens a file by a name that is gone then, while another one is there.
const OPENED: &str = "import os
os.makedirs('/run/standing')
file = open('/run/standing/one', 'w+')
file.write('written')
file.flush()
os.link('/run/standing/one', '/run/standing/other')
os.unlink('/run/standing/one')";

fn names() -> Result<BTreeSet<String>, Failed> {
    let entries = fs::read_dir(FOLDER)?.flatten();
    Ok(entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect())
}

async fn open_and_linked() -> Verdict {
    let (bench, first) = start().await?;
    first.run(None, OPENED).await?;
    let payload = bench.pause(first, &[]).await?;
    fs::remove_dir_all(FOLDER)?;

    let second = bench.restore(payload).await?;
    let code = "file.write(' on')\nfile.flush()\nopen('/run/standing/other').read()";
    let value = second.value(code).await?;
    hold(value == "'written on'", "it is one file still", value)?;
    let names = names()?;
    hold(
        names == BTreeSet::from(["other".to_owned()]),
        "it has the one name that it had",
        names,
    )?;
    fs::remove_dir_all(FOLDER)?;
    second.end().await
}

async fn leaves_no_name() -> Verdict {
    let (_, subject) = start().await?;
    subject.run(None, OPENED).await?;
    let before = names()?;
    for _ in 0..3 {
        subject.freeze().await?;
        subject.sandbox.thaw().await?;
        let left = names()?;
        hold(left == before, "the folder is as it was", left)?;
    }
    fs::remove_dir_all(FOLDER)?;
    subject.end().await
}

async fn explained() -> Verdict {
    let (_, subject) = start().await?;
    subject.run(None, OPENED).await?;
    let refused = subject.sandbox.freeze(LIMIT).await;
    let said = refused.as_ref().err().map(|error| chain(error)).unwrap_or_default();
    hold(said.contains("hard link"), "the error says what is in the way", &said)?;
    let value = subject.value("file.close()\nfile.closed").await?;
    hold(value == "True", "code goes on", value)?;
    subject.freeze().await?;
    subject.sandbox.thaw().await?;
    fs::remove_dir_all(FOLDER)?;
    subject.end().await
}

async fn one_file() -> Verdict {
    let (bench, first) = start().await?;
    let code = "import os\nos.makedirs('/home/user/linked')\nopen('/home/user/linked/one', 'w').write('x' * 5_000_000)\n\
                os.link('/home/user/linked/one', '/home/user/linked/other')";
    first.run(None, code).await?;
    let payload = bench.pause(first, &[]).await?;
    fs::remove_dir_all("/home/user/linked")?;

    let second = bench.restore(payload).await?;
    let code = "open('/home/user/linked/one', 'a').write('y')\nopen('/home/user/linked/other').read().endswith('xy')";
    let value = second.value(code).await?;
    hold(
        value == "True",
        "what is written by one name is read by the other",
        value,
    )?;
    fs::remove_dir_all("/home/user/linked")?;
    second.end().await
}

/// The command lines of everything that runs.
fn commands() -> Result<impl Iterator<Item = String>, Failed> {
    let pids = fs::read_dir("/proc")?.flatten();
    Ok(pids.filter_map(|entry| fs::read_to_string(entry.path().join("cmdline")).ok()))
}

/// Interpreters that run kernels.
fn kernels() -> Result<usize, Failed> {
    Ok(commands()?
        .filter(|command| command.contains("python3") && command.contains("kernel"))
        .count())
}

async fn one_kernel() -> Verdict {
    let (_, subject) = start().await?;
    hold(kernels()? == 1, "it begins with one", kernels()?)?;
    subject.run(None, "import os\nos._exit(1)").await?;
    let (one, other) = tokio::join!(subject.value("x = 1\nx"), subject.value("1 + 1"));
    hold(one? == "1" && other? == "2", "each of them has an answer", ())?;
    let value = subject.value("x").await?;
    hold(value == "1", "what one has made is there for the next", value)?;
    hold(kernels()? == 1, "there is one", kernels()?)?;
    subject.end().await
}

async fn restarted_while_it_stands() -> Verdict {
    let (bench, first) = start().await?;
    let context = first.sandbox.interpreter().contexts().await?.remove(0).id;
    first.run(None, "import threading\nx = 1").await?;
    first.freeze().await?;
    let mut restarting = first.sandbox.interpreter().restart_context(context);
    let waits = futures::poll!(&mut restarting).is_pending();
    hold(waits, "it waits for the sandbox to go on", ())?;
    let payload = first.written().await?;
    first.sandbox.stop().await;
    drop(restarting);

    let second = bench.restore(payload).await?;
    let value = second.value("x").await?;
    hold(value == "1", "what was not restarted is as it was", value)?;
    hold(kernels()? == 1, "nothing runs that nobody reaches", kernels()?)?;
    second.end().await
}

/// Begins a process of which a thread runs when the first one has ended.
const FIRST_THREAD_ENDS: &str = "import subprocess, time
code = 'import ctypes, threading, time; threading.Thread(target=time.sleep, args=(1000,)).start(); ' \
    'ctypes.CDLL(None).pthread_exit(None)'
process = subprocess.Popen(['python3', '-c', code])
while ') Z ' not in open(f'/proc/{process.pid}/stat').read():
    time.sleep(0.01)
process.pid";

async fn first_thread() -> Verdict {
    let (_, subject) = start().await?;
    let pid = subject.value(FIRST_THREAD_ENDS).await?;
    let threads = fs::read_dir(format!("/proc/{pid}/task"))?.count();
    hold(threads == 2, "its other thread runs", threads)?;
    tokio::time::timeout(LIMIT, subject.sandbox.stop()).await?;
    let gone = !fs::exists(format!("/proc/{pid}"))?;
    hold(gone, "nothing of it is left", pid)
}

/// Of each process only its child is left.
const HOPS: &str = "import os, time\nwhile True:\n    if os.fork():\n        os._exit(0)\n    time.sleep(0.001)";

async fn begun_at_the_end() -> Verdict {
    let (_, subject) = start().await?;
    let spec = ProcessSpec {
        program: "python3".to_owned(),
        args: vec!["-c".to_owned(), HOPS.to_owned()],
        ..ProcessSpec::default()
    };
    let processes = subject.sandbox.processes().ok_or("it has processes")?;
    let mut stream = processes.start(spec).await?;
    let begun = tokio::time::timeout(LIMIT, stream.events.recv()).await?;
    hold(
        begun == Some(ProcessEvent::Exited(Exit::Code(0))),
        "only its child is left",
        begun,
    )?;
    subject.sandbox.stop().await;
    let left = commands()?.filter(|command| command.contains("os.fork")).count();
    hold(left == 0, "nothing is left", left)
}

async fn init_killed() -> Verdict {
    let (_, subject) = start().await?;
    let mut lost = subject.sandbox.lost();
    hold(futures::poll!(&mut lost).is_pending(), "it runs", ())?;
    let runs = subject.run(None, "import os, time\nos.kill(os.getppid(), 9)\ntime.sleep(1000)");
    let (events, lost) = tokio::join!(runs, tokio::time::timeout(LIMIT, lost));
    let (events, lost) = (events?, lost?);
    hold(
        !matches!(lost, SandboxError::Ended),
        "nobody has ended it",
        chain(&lost),
    )?;
    let died = matches!(&events[0], ExecutionEvent::Error { name, .. } if name == "KernelDied");
    hold(died, "it is told why the code does not go on", &events)?;
    let ended = subject.sandbox.lost();
    subject.sandbox.stop().await;
    let ended = tokio::time::timeout(LIMIT, ended).await?;
    hold(matches!(ended, SandboxError::Ended), "now somebody has", chain(&ended))?;
    // The code would sleep on.
    container::end_all_others()
}

/// Before the pids of sandboxes.
const LAST_PID_OF_AGENT: u32 = 9_999;

/// What there is of sandboxes, and of what the engine began when they were there.
fn pids() -> Result<BTreeSet<u32>, Failed> {
    let pids = fs::read_dir("/proc")?.flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    Ok(pids.filter(|pid| *pid > LAST_PID_OF_AGENT).collect())
}

async fn failed_start() -> Verdict {
    let bench = Bench::new(Arc::new(CriuEngine::new(criu_config())), LIMIT);
    let before = pids()?;
    let refused = bench.start_command(vec!["/nowhere".to_owned()]).await.err();
    let said = refused
        .and_then(|failed| failed.message().map(str::to_owned))
        .unwrap_or_default();
    hold(said.contains("/nowhere"), "it says what is missing", &said)?;
    let gone = async {
        // What the engine began for the next dump ends in a moment.
        while !pids()?.is_subset(&before) {
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    };
    tokio::time::timeout(LIMIT, gone).await?
}

async fn made_while_it_stands() -> Verdict {
    let (bench, first) = start().await?;
    first.freeze().await?;
    let mut making = first.sandbox.interpreter().create_context(None);
    let waits = futures::poll!(&mut making).is_pending();
    hold(waits, "it waits for the sandbox to go on", ())?;
    let payload = first.written().await?;
    drop(making);
    first.sandbox.stop().await;

    let second = bench.restore(payload).await?;
    let contexts = second.sandbox.interpreter().contexts().await?;
    hold(contexts.len() == 1, "there is none that nobody was given", contexts)?;
    second.end().await
}

async fn unheard() -> Verdict {
    let (_, subject) = start().await?;
    let socket = criu_config().socket;
    let elsewhere = socket.with_extension("elsewhere");
    subject.freeze().await?;
    fs::rename(&socket, &elsewhere)?;
    for _ in 0..2 {
        let thawed = subject.sandbox.thaw().await;
        hold(thawed.is_err(), "nobody says that it is as it was", ())?;
    }
    fs::rename(&elsewhere, &socket)?;
    for _ in 0..2 {
        subject.sandbox.thaw().await?;
    }
    let events = subject.run(None, "print('heard')").await?;
    let heard = [
        ExecutionEvent::Stdout("heard\n".to_owned()),
        ExecutionEvent::Ended { executions: 1 },
    ];
    hold(events == heard, "it is heard, and once", events)?;
    subject.end().await
}
