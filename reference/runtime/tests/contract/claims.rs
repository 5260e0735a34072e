//! What is claimed of every engine.

use std::collections::BTreeMap;
use std::time::Duration;

use torpor_runtime::{ExecutionEvent, SandboxError};

use crate::bench::{Bench, Claim, Verdict, claim, hold, sink};

pub(crate) const CLAIMS: &[Claim] = &[
    claim!(variables_survive, "variables_functions_and_contexts_survive", [Memory], several: false),
    claim!(files_survive, "files_survive_with_their_mode", [Files], several: false),
    claim!(program_goes_on, "a_program_goes_on_without_gap_or_repetition", [Memory, Timers], several: false),
    claim!(sleep_ends_once, "a_sleep_that_was_interrupted_by_a_pause_ends_once", [Timers], several: false),
    claim!(nothing_runs_frozen, "nothing_runs_between_freeze_and_thaw", [], several: false),
    claim!(checkpoint_is_of_the_freeze, "a_checkpoint_holds_nothing_later_than_the_freeze", [Memory], several: false),
    claim!(accepted_code_runs, "code_that_was_accepted_before_a_pause_runs_after_it", [Memory, Files, Timers], several: false),
    claim!(checkpoint_changes_nothing, "a_checkpoint_changes_nothing", [], several: false),
    claim!(needs_a_freeze, "a_sandbox_that_runs_is_not_written_down", [], several: false),
    claim!(repeated_calls, "a_repeated_call_changes_nothing", [], several: false),
    claim!(nothing_after_stop, "nothing_runs_after_a_stop", [], several: false),
    claim!(damage_is_refused, "a_damaged_payload_is_refused", [], several: false),
    claim!(interrupted, "an_interrupted_execution_ends_and_the_context_goes_on", [], several: false),
    claim!(contexts_are_apart, "contexts_have_variables_of_their_own", [], several: false),
    claim!(usage_grows, "cpu_time_never_goes_back", [], several: false),
    claim!(sandboxes_are_apart, "two_sandboxes_do_not_see_each_other", [], several: true),
    claim!(environment_survives, "the_environment_survives", [Memory], several: false),
];

/// Counts for ever, a line each time.
const COUNTER: &str =
    "from time import sleep\nn = 0\nwhile True:\n    n += 1\n    print('count', n, flush=True)\n    sleep(0.01)";

async fn variables_survive(bench: Bench) -> Verdict {
    let first = bench.start(None).await?;
    first
        .run(None, "import math\nx = 41\ndef double(n):\n    return 2 * n")
        .await?;
    let other = first.sandbox.interpreter().create_context(None).await?.id;
    first.run(Some(&other), "y = 'elsewhere'").await?;
    let payload = bench.pause(first, &[]).await?;

    let second = bench.restore(payload).await?;
    let value = second.value("double(x + 1), math.floor(2.5)").await?;
    hold(value == "(84, 2)", "variables, functions and imports are there", value)?;
    let events = second.run(Some(&other), "y").await?;
    let kept = events.first() == Some(&ExecutionEvent::Result("'elsewhere'".to_owned()));
    hold(kept, "a second context is there", &events)?;
    let counted = events.last() == Some(&ExecutionEvent::Ended { executions: 2 });
    hold(counted, "executions go on being counted", &events)?;
    second.end().await
}

async fn files_survive(bench: Bench) -> Verdict {
    let first = bench.start(None).await?;
    first
        .run(None, "with open('/home/user/note.txt', 'w') as f:\n    f.write('kept')")
        .await?;
    let path = first.root().join("home/user/note.txt");
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o640))?;
    let payload = bench.pause(first, &["/home/user/note.txt"]).await?;

    let second = bench.restore(payload).await?;
    let content = second.value("open('/home/user/note.txt').read()").await?;
    hold(content == "'kept'", "the file is there", content)?;
    let meta = std::fs::metadata(second.root().join("home/user/note.txt"))?;
    let mode = std::os::unix::fs::PermissionsExt::mode(&meta.permissions()) & 0o777;
    hold(mode == 0o640, "it has its mode", format!("{mode:o}"))?;
    second.end().await
}

async fn program_goes_on(bench: Bench) -> Verdict {
    let mut first = bench.start(Some(COUNTER)).await?;
    let mut lines = vec![first.line().await?, first.line().await?];
    first.freeze().await?;
    let payload = first.written().await?;
    lines.extend(first.printed());
    first.sandbox.stop().await;

    let mut second = bench.restore(payload).await?;
    let until = lines.len() + 5;
    while lines.len() < until {
        lines.push(second.line().await?);
    }
    let expected: Vec<String> = (1..=lines.len()).map(|n| format!("count {n}")).collect();
    hold(lines == expected, "every number comes once and in order", &lines)?;
    second.end().await
}

async fn sleep_ends_once(bench: Bench) -> Verdict {
    let code = "from time import sleep\nprint('before', flush=True)\nsleep(0.2)\nprint('after', flush=True)";
    let mut first = bench.start(Some(code)).await?;
    let before = first.line().await?;
    hold(before == "before", "the program starts", before)?;
    first.freeze().await?;
    let payload = first.written().await?;
    let early = first.printed();
    hold(early.is_empty(), "it sleeps when it is frozen", early)?;
    first.sandbox.stop().await;

    let mut second = bench.restore(payload).await?;
    let after = second.line().await?;
    hold(after == "after", "the sleep ends after the restore", after)?;
    let more = second.printed();
    hold(more.is_empty(), "nothing is done twice", more)?;
    second.end().await
}

async fn nothing_runs_frozen(bench: Bench) -> Verdict {
    let mut subject = bench.start(Some(COUNTER)).await?;
    subject.line().await?;
    subject.freeze().await?;
    subject.printed();
    let quiet = tokio::time::timeout(Duration::from_millis(200), subject.output.recv()).await;
    hold(quiet.is_err(), "a frozen program prints nothing", quiet)?;
    subject.sandbox.thaw().await?;
    subject.line().await?;
    subject.end().await
}

async fn checkpoint_is_of_the_freeze(bench: Bench) -> Verdict {
    let first = bench.start(None).await?;
    first.run(None, "x = 1").await?;
    let payload = first.checkpoint().await?;
    first.sandbox.thaw().await?;
    first.run(None, "x = 2").await?;
    first.sandbox.stop().await;

    let second = bench.restore(payload).await?;
    let value = second.value("x").await?;
    hold(value == "1", "the variable is as it was at the freeze", value)?;
    second.end().await
}

async fn accepted_code_runs(bench: Bench) -> Verdict {
    let first = bench.start(None).await?;
    let (sleeper, mut events) = sink();
    let (waiting, _nobody) = sink();
    let sleeps = "from time import sleep\nprint('sleeps', flush=True)\nsleep(0.2)\ndone = ['first']";
    let interpreter = first.sandbox.interpreter();
    interpreter
        .execute(None, sleeps.to_owned(), BTreeMap::new(), sleeper)
        .await?;
    let begun = tokio::time::timeout(bench.limit, events.recv()).await?;
    let begins = begun == Some(ExecutionEvent::Stdout("sleeps\n".to_owned()));
    hold(begins, "it sleeps", begun)?;
    let env = BTreeMap::from([("WORD".to_owned(), "second".to_owned())]);
    let follows = "import os\ndone.append(os.getenv('WORD'))";
    interpreter.execute(None, follows.to_owned(), env, waiting).await?;
    let payload = bench.pause(first, &[]).await?;

    let second = bench.restore(payload).await?;
    // Executions of a context come one after the other: this one after all that was accepted before.
    let value = second.value("done").await?;
    hold(
        value == "['first', 'second']",
        "what waited has run, in its order",
        value,
    )?;
    second.end().await
}

async fn checkpoint_changes_nothing(bench: Bench) -> Verdict {
    let mut subject = bench.start(Some(COUNTER)).await?;
    subject.run(None, "x = 41").await?;
    let mut lines = vec![subject.line().await?];
    subject.checkpoint().await?;
    subject.sandbox.thaw().await?;
    let value = subject.value("x + 1").await?;
    hold(value == "42", "variables are there after the thaw", value)?;
    for _ in 0..5 {
        lines.push(subject.line().await?);
    }
    let expected: Vec<String> = (1..=lines.len()).map(|n| format!("count {n}")).collect();
    hold(
        lines == expected,
        "the program goes on without gap or repetition",
        &lines,
    )?;
    subject.end().await
}

async fn needs_a_freeze(bench: Bench) -> Verdict {
    let subject = bench.start(None).await?;
    let refused = subject.sandbox.checkpoint().await;
    let named = matches!(refused, Err(SandboxError::NotFrozen));
    hold(
        named,
        "it is refused by its reason",
        refused.map(|payload| payload.len()),
    )?;
    subject.end().await
}

async fn repeated_calls(bench: Bench) -> Verdict {
    let mut subject = bench.start(Some(COUNTER)).await?;
    subject.line().await?;
    subject.freeze().await?;
    subject.freeze().await?;
    subject.sandbox.thaw().await?;
    subject.sandbox.thaw().await?;
    subject.printed();
    subject.line().await?;
    let value = subject.value("1 + 1").await?;
    hold(value == "2", "it runs code", value)?;
    subject.sandbox.stop().await;
    subject.sandbox.stop().await;
    Ok(())
}

async fn nothing_after_stop(bench: Bench) -> Verdict {
    let mut subject = bench.start(Some(COUNTER)).await?;
    subject.line().await?;
    subject.sandbox.stop().await;
    subject.printed();
    let quiet = tokio::time::timeout(Duration::from_millis(200), subject.output.recv()).await;
    let ended = !matches!(quiet, Ok(Some(ExecutionEvent::Stdout(_))));
    hold(ended, "a stopped program prints nothing", quiet)?;
    let refused = subject.sandbox.interpreter();
    let (sink, events) = sink();
    let refused = refused.execute(None, "1".to_owned(), BTreeMap::new(), sink).await;
    drop(events);
    hold(refused.is_err(), "it runs no code", refused)
}

async fn damage_is_refused(bench: Bench) -> Verdict {
    let first = bench.start(None).await?;
    first.run(None, "x = 41").await?;
    let mut payload = bench.pause(first, &[]).await?;
    payload.truncate(payload.len() / 2);
    match bench.restore(payload).await {
        Err(_) => Ok(()),
        Ok(subject) => {
            subject.sandbox.stop().await;
            Err("half a payload was restored".into())
        }
    }
}

async fn interrupted(bench: Bench) -> Verdict {
    let subject = bench.start(None).await?;
    subject.run(None, "x = 41").await?;
    let (sink, mut events) = sink();
    let interrupt = sink.interrupt.clone();
    let code = "print('busy')\nwhile True:\n    pass".to_owned();
    subject
        .sandbox
        .interpreter()
        .execute(None, code, BTreeMap::new(), sink)
        .await?;
    let busy = tokio::time::timeout(bench.limit, events.recv()).await?;
    hold(
        busy == Some(ExecutionEvent::Stdout("busy\n".to_owned())),
        "it runs",
        busy,
    )?;
    interrupt.cancel();
    let rest = subject.to_the_end(events).await?;
    let raised = matches!(&rest[0], ExecutionEvent::Error { name, .. } if name == "KeyboardInterrupt");
    hold(raised, "it ends with KeyboardInterrupt", &rest)?;
    let value = subject.value("x + 1").await?;
    hold(value == "42", "its variables are there", value)?;
    subject.end().await
}

async fn contexts_are_apart(bench: Bench) -> Verdict {
    let subject = bench.start(None).await?;
    let interpreter = subject.sandbox.interpreter();
    let other = interpreter.create_context(None).await?.id;
    subject.run(None, "x = 1").await?;
    subject.run(Some(&other), "x = 2").await?;
    let value = subject.value("x").await?;
    hold(value == "1", "an assignment elsewhere is not seen", value)?;
    let listed = interpreter.contexts().await?;
    hold(listed.len() == 2 && listed[1].id == other, "both are listed", &listed)?;
    interpreter.restart_context(other.clone()).await?;
    let events = subject.run(Some(&other), "x").await?;
    let empty = matches!(&events[0], ExecutionEvent::Error { name, .. } if name == "NameError");
    hold(empty, "a context that was started again is empty", &events)?;
    interpreter.remove_context(other.clone()).await?;
    let (sink, _events) = sink();
    let refused = interpreter
        .execute(Some(other), "1".to_owned(), BTreeMap::new(), sink)
        .await;
    let named = matches!(refused, Err(SandboxError::NoContext(_)));
    hold(named, "a context that was removed is not found", refused)?;
    subject.end().await
}

async fn usage_grows(bench: Bench) -> Verdict {
    let subject = bench.start(None).await?;
    let before = subject.sandbox.usage().await?;
    let code = "n = 0\nfor i in range(300000):\n    n += i";
    subject.run(None, code).await?;
    subject.run(None, code).await?;
    let after = subject.sandbox.usage().await?;
    hold(after.cpu > before.cpu, "work takes CPU time", (before, after))?;
    hold(after.memory_bytes > 0, "a sandbox that runs has memory", after)?;
    subject.end().await
}

async fn sandboxes_are_apart(bench: Bench) -> Verdict {
    let one = bench.start(None).await?;
    let two = bench.start(None).await?;
    one.run(
        None,
        "secret = 1\nwith open('/home/user/secret', 'w') as f:\n    f.write('1')",
    )
    .await?;
    let events = two.run(None, "secret").await?;
    let unseen = matches!(&events[0], ExecutionEvent::Error { name, .. } if name == "NameError");
    hold(unseen, "a variable is not seen by the other", &events)?;
    let events = two.run(None, "open('/home/user/secret').read()").await?;
    let unseen = matches!(&events[0], ExecutionEvent::Error { name, .. } if name == "FileNotFoundError");
    hold(unseen, "a file is not seen by the other", &events)?;
    one.end().await?;
    two.end().await
}

async fn environment_survives(bench: Bench) -> Verdict {
    let first = bench.start(None).await?;
    let payload = bench.pause(first, &[]).await?;
    let second = bench.restore(payload).await?;
    let value = second.value("import os\nos.getenv('GREETING')").await?;
    hold(value == "'hello'", "code sees the variable", value)?;
    let env = second.sandbox.env().await?;
    hold(
        env.get("GREETING").is_some_and(|value| value == "hello"),
        "clients see it",
        env,
    )?;
    second.end().await
}
