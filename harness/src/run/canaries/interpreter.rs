//! Commands in the memory of a code interpreter, and in files that it and envd write.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::Carried;
use crate::probe::{Answer, Body, Execution, Fault};
use crate::run::world::World;
use crate::scenario::{Canary, Method, Plane, Work};
use crate::workload::{Content, Operation, Register};

/// One dictionary under two names.
const HEAP: &str = "import time\ntorpor_kept = {}\ntorpor_again = torpor_kept";
const COUNTER: &str = "import time\ntorpor_count = 0";
/// Stands before a text that is printed, so that an empty one is not nothing.
const THERE: &str = "=";

impl World {
    pub(super) async fn prepare_interpreter(&self, alias: &str, canary: Canary) -> Result<(), Fault> {
        let code = if canary == Canary::Counter { COUNTER } else { HEAP };
        match self.execute_for(alias, code.to_owned()).await? {
            Carried::Out(_) => Ok(()),
            Carried::Cut(fault) => Err(fault),
        }
    }

    pub(super) async fn in_memory(
        &self,
        step: &Work,
        register: Register,
        operation: &Operation,
    ) -> Result<Carried, Fault> {
        let code = if register.canary == Canary::Counter {
            counting(operation)
        } else {
            keeping(register.name, operation)
        };
        self.execute_for(&step.sandbox, lasting(step, &code)).await
    }

    pub(super) async fn in_files(
        &self,
        step: &Work,
        register: Register,
        operation: &Operation,
    ) -> Result<Carried, Fault> {
        let path = format!("/home/user/torpor-{}.txt", register.name);
        let query = format!("/files?path={}", utf8_percent_encode(&path, NON_ALPHANUMERIC));
        let (method, target, body) = match operation {
            Operation::Append(text) => {
                let code = format!(
                    "with open({}, 'a') as file:\n    file.write({})",
                    json!(path),
                    json!(text)
                );
                let carried = self.execute_for(&step.sandbox, lasting(step, &code)).await?;
                return Ok(carried.untold());
            }
            Operation::Put(text) => (Method::Post, query, Body::File(text.clone())),
            Operation::Remove => {
                let body = Body::Json(json!({"path": path}));
                (Method::Post, "/filesystem.Filesystem/Remove".to_owned(), body)
            }
            Operation::Read | Operation::Add(_) => (Method::Get, query, Body::None),
        };
        let address = self.sandbox(&step.sandbox)?.address;
        let answer = self.e2b()?.inside(Plane::Envd, &address, method, &target, body).await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(fault) => return Ok(Carried::Cut(fault)),
        };
        Ok(match (operation, answer.status) {
            (Operation::Read, 200) => Carried::Out(Some(Some(answer.text))),
            (Operation::Read | Operation::Remove, 404) => Carried::Out(Some(None)),
            (Operation::Put(_) | Operation::Append(_) | Operation::Add(_) | Operation::Remove, 200) => {
                Carried::Out(None)
            }
            (_, _) => Carried::Cut(unclear(&answer, &format!("{operation} of {path}"))),
        })
    }

    /// Executes code that prints the content after it.
    async fn execute_for(&self, alias: &str, code: String) -> Result<Carried, Fault> {
        let address = self.sandbox(alias)?.address;
        let body = Body::Json(json!({"code": code, "context_id": null, "language": null, "env_vars": null}));
        let plane = Plane::CodeInterpreter;
        let answer = match self
            .e2b()?
            .inside(plane, &address, Method::Post, "/execute", body)
            .await
        {
            Ok(answer) => answer,
            Err(fault) => return Ok(Carried::Cut(fault)),
        };
        if answer.status != 200 {
            return Ok(Carried::Cut(unclear(&answer, "execute")));
        }
        // An answer that breaks off in the middle of a line is one that did not come.
        let execution = match Execution::parse(&answer.text) {
            Ok(execution) => execution,
            Err(why) => return Ok(Carried::Cut(Fault::Claim(why))),
        };
        Ok(match &execution.error {
            // What the commands are about is no longer there.
            Some(error) if error.name == "NameError" => {
                return Err(Fault::Claim(format!(
                    "a command ended with {}: {}",
                    error.name, error.value
                )));
            }
            Some(error) => Carried::Cut(Fault::Claim(format!(
                "a command ended with {}: {}",
                error.name, error.value
            ))),
            None if !execution.ended => Carried::Cut(Fault::Claim("the answer broke off".to_owned())),
            None => Carried::Out(Some(printed(&execution.stdout))),
        })
    }
}

impl Carried {
    /// The same, of an answer that says nothing of the content.
    fn untold(self) -> Self {
        match self {
            Self::Out(_) => Self::Out(None),
            cut @ Self::Cut(_) => cut,
        }
    }
}

fn unclear(answer: &Answer, what: &str) -> Fault {
    let judged = answer.must_be(&[200], what);
    judged
        .err()
        .unwrap_or_else(|| Fault::Claim(format!("{what} answered {}", answer.status)))
}

/// Code that takes as long as the step says before it does anything.
fn lasting(step: &Work, code: &str) -> String {
    step.lasting.map_or_else(
        || code.to_owned(),
        |span| format!("import time\ntime.sleep({})\n{code}", span.duration().as_secs_f64()),
    )
}

/// Code that changes the number and prints it.
fn counting(operation: &Operation) -> String {
    let change = match operation {
        Operation::Add(more) => format!("torpor_count = torpor_count + {more}\n"),
        Operation::Put(_) | Operation::Append(_) | Operation::Remove | Operation::Read => String::new(),
    };
    format!("{change}print('{THERE}' + str(torpor_count))")
}

/// Code that changes a text by one name and prints it by the other. A text of JSON is one of Python.
fn keeping(key: &str, operation: &Operation) -> String {
    let (key, text) = (json!(key), |text: &str| Value::from(text));
    let change = match operation {
        Operation::Put(new) => format!("torpor_kept[{key}] = {}\n", text(new)),
        Operation::Append(more) => format!("torpor_kept[{key}] = torpor_kept.get({key}, '') + {}\n", text(more)),
        Operation::Remove => format!("torpor_kept.pop({key}, None)\n"),
        Operation::Read | Operation::Add(_) => String::new(),
    };
    format!("{change}print('{THERE}' + torpor_again[{key}] if {key} in torpor_again else '')")
}

fn printed(stdout: &str) -> Content {
    let line = stdout.strip_suffix('\n').unwrap_or(stdout);
    line.strip_prefix(THERE).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_tells_an_empty_text_from_none() {
        assert_eq!(printed("=\n"), Some(String::new()));
        assert_eq!(printed("=a\nb\n\n"), Some("a\nb\n".to_owned()));
        assert_eq!(printed("\n"), None);
    }

    #[test]
    fn texts_stand_in_the_code_as_python_reads_them() {
        let code = keeping("a", &Operation::Put("1\n'\"\\;".to_owned()));
        assert!(code.starts_with(r#"torpor_kept["a"] = "1\n'\"\\;""#), "{code}");
        assert!(counting(&Operation::Read).starts_with("print("));
    }
}
