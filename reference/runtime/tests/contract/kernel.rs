//! What is claimed of the kernels of the CRIU engine: what IPython imports and few sandboxes use is in no checkpoint, and
//! is there for who uses it.

use std::sync::Arc;

use libtest_mimic::Trial;
use torpor_runtime::{CriuEngine, ExecutionEvent};

use crate::bench::{Bench, Verdict, hold};
use crate::{LIMIT, criu_config, run, unless};

pub(crate) fn trials(unfit: Option<&str>) -> Vec<Trial> {
    let name = "criu::what_few_kernels_use_is_in_none_and_works_when_it_is_used";
    vec![unless(unfit, Trial::test(name, || run(used_late())))]
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
