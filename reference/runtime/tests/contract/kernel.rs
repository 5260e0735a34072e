//! What is claimed of the kernels of the CRIU engine: what IPython imports and few sandboxes use is in no checkpoint, and
//! is there for who uses it. An interrupt is for the code that runs, and for nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;

use libtest_mimic::{Failed, Trial};
use torpor_runtime::{CriuEngine, ExecutionEvent};

use crate::bench::{Bench, Subject, Verdict, hold, sink};
use crate::{LIMIT, criu_config, run, unless};

pub(crate) fn trials(unfit: Option<&str>) -> Vec<Trial> {
    let trial = |name: &str, check: fn() -> Verdict| unless(unfit, Trial::test(format!("criu::{name}"), check));
    vec![
        trial("what_few_kernels_use_is_in_none_and_works_when_it_is_used", || {
            run(used_late())
        }),
        trial("an_interrupt_that_comes_after_the_code_leaves_its_variables", || {
            run(interrupted_late())
        }),
        trial("code_that_waits_is_interrupted_by_what_it_has_for_it", || {
            run(interrupted_waiting())
        }),
    ]
}

async fn start() -> Result<Subject, Failed> {
    Bench::new(Arc::new(CriuEngine::new(criu_config())), LIMIT)
        .start(None)
        .await
}

/// What an empty kernel has of them.
const PRESENT: &str = "import sys
sorted({'IPython.terminal', 'asyncio', 'hashlib', 'html', 'importlib.metadata', 'jedi', 'logging.config', 'prompt_toolkit',
        'pydoc', 'ssl', 'urllib.request'} & set(sys.modules))";

/// Uses all of them, as code of its own and through IPython.
const USES: [(&str, &str); 4] = [
    ("import asyncio\nawait asyncio.sleep(0, 'awaited')", "'awaited'"),
    (
        "async def late():\n    try:\n        await asyncio.wait_for(asyncio.sleep(60), 0.01)\n    \
         except asyncio.TimeoutError:\n        return 'in time'\nawait late()",
        "'in time'",
    ),
    (
        "get_ipython().run_cell_magic('bash', '--out said', 'echo by asyncio')\nsaid",
        "'by asyncio\\n'",
    ),
    (
        "import hashlib, html, importlib.metadata, jedi, logging.config, pydoc, types, urllib.request\nimport IPython\n\
         from IPython.terminal.embed import InteractiveShellEmbed\n\
         modules = hashlib, html, importlib.metadata, jedi, logging.config, pydoc, urllib.request, asyncio.exceptions\n\
         ([type(module) for module in modules] == [types.ModuleType] * 8, html.escape('<'), callable(IPython.embed))",
        "(True, '&lt;', True)",
    ),
];

async fn used_late() -> Verdict {
    let bench = Bench::new(Arc::new(CriuEngine::new(criu_config())), LIMIT);
    let first = bench.start(None).await?;
    let present = first.value(PRESENT).await?;
    hold(present == "[]", "an empty kernel has none of it", present)?;
    let payload = bench.pause(first, &[]).await?;

    let second = bench.restore(payload).await?;
    for (code, expected) in USES {
        let value = second.value(code).await?;
        hold(value == expected, "it works after a resume", value)?;
    }
    let events = second.run(None, "def half(n):\n    return n / 0\nhalf(1)").await?;
    let told = events.iter().any(|event| match event {
        ExecutionEvent::Error { name, traceback, .. } => {
            name == "ZeroDivisionError"
                && traceback.contains("line 2, in half(n)")
                && traceback.contains("return n / 0")
        }
        _ => false,
    });
    hold(told, "a traceback shows the code of its cell", &events)?;
    second.end().await
}

/// Is interrupted when what it has printed is told, and so when it has ended.
const LATE: &str = "import os, signal
held = 'variables'
kernel = type(get_ipython())._showtraceback.__globals__
flush = kernel['flush']
def late():
    kernel['flush'] = flush
    os.kill(os.getpid(), signal.SIGINT)
kernel['flush'] = late";

async fn interrupted_late() -> Verdict {
    let subject = start().await?;
    let events = subject.run(None, LATE).await?;
    let only_ends = matches!(events[..], [ExecutionEvent::Ended { executions: 1 }]);
    hold(only_ends, "it ends as if nothing had come", &events)?;
    let value = subject.value("held").await?;
    hold(value == "'variables'", "its variables are there", value)?;
    subject.end().await
}

/// Each waits in another way.
const WAITS: [&str; 3] = [
    "import time\nprint('waits')\ntime.sleep(1000)",
    "import asyncio\nprint('waits')\nawait asyncio.sleep(1000)",
    "import asyncio\nprint('waits')\nasyncio.run(asyncio.sleep(1000))",
];

async fn interrupted_waiting() -> Verdict {
    let subject = start().await?;
    for code in WAITS {
        let (sink, mut events) = sink();
        let interrupt = sink.interrupt.clone();
        let interpreter = subject.sandbox.interpreter();
        interpreter
            .execute(None, code.to_owned(), BTreeMap::new(), sink)
            .await?;
        let waits = tokio::time::timeout(LIMIT, events.recv()).await?;
        let has_begun = waits == Some(ExecutionEvent::Stdout("waits\n".to_owned()));
        hold(has_begun, "it has begun", waits)?;
        interrupt.cancel();
        let rest = subject.to_the_end(events).await?;
        let raised = matches!(&rest[0], ExecutionEvent::Error { name, .. } if name == "KeyboardInterrupt");
        hold(raised, "it ends with KeyboardInterrupt", (code, &rest))?;
    }
    let own = "import os, signal\nheard = []\nsignal.signal(signal.SIGINT, lambda number, frame: heard.append(number))";
    subject.run(None, own).await?;
    let value = subject.value("os.kill(os.getpid(), signal.SIGINT)\nheard").await?;
    hold(value == "[2]", "what code has set is there for the next", value)?;
    subject.end().await
}
