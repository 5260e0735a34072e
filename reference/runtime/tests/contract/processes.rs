//! What is claimed of engines that keep processes and sockets.

use libtest_mimic::Failed;
use torpor_runtime::{Exit, ProcessEvent, ProcessSpec, ProcessStream, Processes, SandboxError, TerminalSize};

use crate::bench::{Bench, Claim, Subject, Verdict, claim, hold};

pub(crate) const CLAIMS: &[Claim] = &[
    claim!(processes_go_on, "a_process_goes_on_with_its_pid_and_streams", [Processes], several: false),
    claim!(descriptors_survive, "pipes_unlinked_files_and_positions_survive", [Processes, Memory], several: false),
    claim!(server_listens, "a_listening_server_answers_again", [Sockets], several: false),
    claim!(output_and_exit, "output_is_whole_and_the_exit_is_told", [Processes], several: false),
    claim!(no_input, "a_process_without_an_input_finds_its_end_whenever_a_pause_comes", [Processes], several: false),
    claim!(killed, "a_process_that_was_killed_is_no_longer_listed", [Processes], several: false),
    claim!(terminal, "a_terminal_survives", [Processes], several: false),
    claim!(orphans, "a_process_that_left_its_parent_belongs_to_the_sandbox", [Processes], several: false),
];

fn processes(subject: &Subject) -> Result<&dyn Processes, Failed> {
    subject
        .sandbox
        .processes()
        .ok_or_else(|| "the engine has no processes".into())
}

fn bash(script: &str) -> ProcessSpec {
    ProcessSpec {
        program: "bash".to_owned(),
        args: vec!["-c".to_owned(), script.to_owned()],
        ..ProcessSpec::default()
    }
}

/// What a process writes until `enough`, or until it ends.
async fn read(
    bench: &Bench,
    stream: &mut ProcessStream,
    enough: impl Fn(&str) -> bool,
) -> Result<(String, Option<Exit>), Failed> {
    let mut text = String::new();
    while !enough(&text) {
        match tokio::time::timeout(bench.limit, stream.events.recv()).await? {
            Some(ProcessEvent::Stdout(bytes) | ProcessEvent::Stderr(bytes) | ProcessEvent::Terminal(bytes)) => {
                text.push_str(&String::from_utf8_lossy(&bytes));
            }
            Some(ProcessEvent::Exited(exit)) => return Ok((text, Some(exit))),
            None => return Err(format!("the stream ended after {text:?}").into()),
        }
    }
    Ok((text, None))
}

async fn processes_go_on(bench: Bench) -> Verdict {
    let first = bench.start(None).await?;
    let script = "while read line; do n=$((n+1)); echo $n $line; done";
    let mut stream = processes(&first)?.start(bash(script)).await?;
    let pid = stream.pid;
    processes(&first)?.send_input(pid, b"one\n".to_vec()).await?;
    let (said, _) = read(&bench, &mut stream, |text| text.contains('\n')).await?;
    hold(said == "1 one\n", "it answers", said)?;
    let payload = bench.pause(first, &[]).await?;

    let second = bench.restore(payload).await?;
    let listed = processes(&second)?.list().await?;
    hold(
        listed.len() == 1 && listed[0].pid == pid,
        "it is listed with its pid",
        &listed,
    )?;
    let mut stream = processes(&second)?.connect(pid).await?;
    processes(&second)?.send_input(pid, b"two\n".to_vec()).await?;
    let (said, _) = read(&bench, &mut stream, |text| text.contains('\n')).await?;
    hold(said == "2 two\n", "its counter goes on", said)?;
    processes(&second)?.close_stdin(pid).await?;
    let (_, exit) = read(&bench, &mut stream, |_| false).await?;
    hold(exit == Some(Exit::Code(0)), "it ends by itself", exit)?;
    second.end().await
}

async fn descriptors_survive(bench: Bench) -> Verdict {
    let first = bench.start(None).await?;
    let code = "import os\nr, w = os.pipe()\nos.write(w, b'in the pipe')\n\
                gone = open('/tmp/gone', 'w+')\ngone.write('unlinked')\ngone.flush()\nos.unlink('/tmp/gone')\n\
                log = open('/tmp/log', 'a')\nlog.write('one ')\nlog.flush()\nos.chdir('/tmp')\n\
                import threading\nthread = threading.Thread(target=threading.Event().wait, daemon=True)\nthread.start()";
    first.run(None, code).await?;
    let payload = bench.pause(first, &["/tmp/log"]).await?;

    let second = bench.restore(payload).await?;
    let code = "log.write('two')\nlog.flush()\ngone.seek(0)\n\
                [os.read(r, 20), gone.read(), open('/tmp/log').read(), os.getcwd(), thread.is_alive()]";
    let value = second.value(code).await?;
    let expected = "[b'in the pipe', 'unlinked', 'one two', '/tmp', True]";
    hold(
        value == expected,
        "everything that was open is open, and threads are there",
        value,
    )?;
    second.run(None, "os.remove('/tmp/log')").await?;
    second.end().await
}

async fn server_listens(bench: Bench) -> Verdict {
    let first = bench.start(None).await?;
    let code = "import socket, threading\nserver = socket.create_server(('0.0.0.0', 18080))\nasked = 0\n\
                def serve():\n    global asked\n    while True:\n        connection, _ = server.accept()\n        \
                asked += 1\n        connection.sendall(str(asked).encode())\n        connection.close()\n\
                threading.Thread(target=serve, daemon=True).start()";
    first.run(None, code).await?;
    let answer = ask_server().await?;
    hold(answer == "1", "it answers", answer)?;
    let payload = bench.pause(first, &[]).await?;
    hold(ask_server().await.is_err(), "nobody listens while it is paused", ())?;

    let second = bench.restore(payload).await?;
    let answer = ask_server().await?;
    hold(answer == "2", "it answers again", answer)?;
    second.end().await
}

async fn ask_server() -> std::io::Result<String> {
    let mut connection = tokio::net::TcpStream::connect("127.0.0.1:18080").await?;
    let mut answer = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut connection, &mut answer).await?;
    Ok(answer)
}

async fn output_and_exit(bench: Bench) -> Verdict {
    let subject = bench.start(None).await?;
    let mut stream = processes(&subject)?
        .start(bash("seq 1 100000; echo done >&2; exit 3"))
        .await?;
    let (said, exit) = read(&bench, &mut stream, |_| false).await?;
    hold(exit == Some(Exit::Code(3)), "the exit code is told", exit)?;
    hold(said.len() == 588_895 + 5, "every byte comes", said.len())?;
    let mut stream = processes(&subject)?.start(bash("env")).await?;
    let (said, _) = read(&bench, &mut stream, |_| false).await?;
    hold(
        said.contains("GREETING=hello\n") && !said.contains("MIMALLOC"),
        "it has the environment of the sandbox, and not of what keeps it",
        said,
    )?;
    let mut stream = processes(&subject)?.start(bash("sleep 1000")).await?;
    processes(&subject)?.signal(stream.pid, 9).await?;
    let (_, exit) = read(&bench, &mut stream, |_| false).await?;
    hold(exit == Some(Exit::Signal(9)), "the signal is told", exit)?;
    let refused = processes(&subject)?.start(ProcessSpec {
        program: "/no/such/program".to_owned(),
        ..ProcessSpec::default()
    });
    let refused = refused.await.err().map(|error| error.to_string()).unwrap_or_default();
    hold(
        refused.contains("/no/such/program"),
        "a program that is missing is named",
        refused,
    )?;
    let refused = processes(&subject)?.connect(1).await.map(|stream| stream.pid);
    hold(
        matches!(refused, Err(SandboxError::NoProcess(1))),
        "pids of others are not found",
        refused,
    )?;
    subject.end().await
}

async fn killed(bench: Bench) -> Verdict {
    let subject = bench.start(None).await?;
    // Its memory is given back while it ends, which takes longer than to ask for a list.
    let script = "import time; held = bytearray(b'1') * (128 << 20); print('ready', flush=True); time.sleep(1000)";
    let spec = ProcessSpec {
        program: "python3".to_owned(),
        args: vec!["-c".to_owned(), script.to_owned()],
        ..ProcessSpec::default()
    };
    let mut stream = processes(&subject)?.start(spec).await?;
    read(&bench, &mut stream, |text| text.contains("ready")).await?;
    processes(&subject)?.signal(stream.pid, 9).await?;
    let listed = processes(&subject)?.list().await?;
    hold(listed.is_empty(), "what was killed does not run", &listed)?;
    let again = processes(&subject)?.signal(stream.pid, 9).await;
    hold(
        matches!(again, Err(SandboxError::NoProcess(_))),
        "what has ended takes no signals",
        again,
    )?;
    let (_, exit) = read(&bench, &mut stream, |_| false).await?;
    hold(exit == Some(Exit::Signal(9)), "how it ended is told", exit)?;
    subject.end().await
}

async fn terminal(bench: Bench) -> Verdict {
    let first = bench.start(None).await?;
    let spec = ProcessSpec {
        terminal: Some(TerminalSize { columns: 80, rows: 24 }),
        ..bash("while read line; do echo \"<$line>\" $(stty size); done")
    };
    let mut stream = processes(&first)?.start(spec).await?;
    let pid = stream.pid;
    processes(&first)?.send_input(pid, b"one\n".to_vec()).await?;
    let (said, _) = read(&bench, &mut stream, |text| text.contains("> ") && text.ends_with('\n')).await?;
    hold(said.contains("<one> 24 80"), "it has its size", said)?;
    let payload = bench.pause(first, &[]).await?;

    let second = bench.restore(payload).await?;
    let mut stream = processes(&second)?.connect(pid).await?;
    processes(&second)?
        .resize(pid, TerminalSize { columns: 100, rows: 30 })
        .await?;
    processes(&second)?.send_input(pid, b"two\n".to_vec()).await?;
    let (said, _) = read(&bench, &mut stream, |text| text.contains("> ") && text.ends_with('\n')).await?;
    hold(
        said.contains("<two> 30 100"),
        "it goes on, and takes another size",
        said,
    )?;
    second.end().await
}

/// Whether the process of this `stat` runs: one that ended is there until its parent has taken note.
fn runs(stat: &str) -> bool {
    let read = std::fs::read_to_string(stat).unwrap_or_default();
    let state = read.rsplit(") ").next().and_then(|rest| rest.chars().next());
    state.is_some_and(|state| !"ZX".contains(state))
}

async fn orphans(bench: Bench) -> Verdict {
    let first = bench.start(None).await?;
    let script = "rm -f /tmp/orphan; setsid bash -c 'echo $$ > /tmp/orphan; exec sleep 1000' >/dev/null 2>&1 </dev/null & \
                  until [ -s /tmp/orphan ]; do sleep 0.01; done; cat /tmp/orphan";
    let mut stream = processes(&first)?.start(bash(script)).await?;
    let (said, _) = read(&bench, &mut stream, |_| false).await?;
    let orphan = format!("/proc/{}/stat", said.trim());
    hold(runs(&orphan), "it runs", &orphan)?;
    let payload = bench.pause(first, &[]).await?;
    hold(
        !std::path::Path::new(&orphan).exists(),
        "it ends with the sandbox",
        &orphan,
    )?;
    let second = bench.restore(payload).await?;
    hold(runs(&orphan), "it is back with its pid", &orphan)?;
    second.end().await?;
    hold(
        !std::path::Path::new(&orphan).exists(),
        "it ends with the sandbox again",
        &orphan,
    )
}

async fn no_input(bench: Bench) -> Verdict {
    let first = bench.start(None).await?;
    let spec = ProcessSpec {
        no_input: true,
        ..bash("until [ -e /tmp/reads ]; do sleep 0.01; done; cat; exit 3")
    };
    let pid = processes(&first)?.start(spec).await?.pid;
    let refused = processes(&first)?.send_input(pid, b"said".to_vec()).await;
    let has_none = matches!(refused, Err(SandboxError::NoSuchStream { .. }));
    hold(has_none, "it takes none", refused)?;
    let payload = bench.pause(first, &[]).await?;

    let second = bench.restore(payload).await?;
    let mut stream = processes(&second)?.connect(pid).await?;
    let reads = second.root().join("tmp/reads");
    std::fs::write(&reads, "")?;
    let (said, exit) = read(&bench, &mut stream, |_| false).await?;
    std::fs::remove_file(reads)?;
    hold(exit == Some(Exit::Code(3)), "it reads to the end", (said, exit))?;
    second.end().await
}
