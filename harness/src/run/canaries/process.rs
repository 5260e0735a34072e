//! Commands to a program that was started inside by a command line, and is spoken to at the port that it listens at.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::Carried;
use crate::probe::Fault;
use crate::run::world::World;
use crate::scenario::{Command, Work, WriteFile};
use crate::workload::{COUNT, Operation, Register, TIMERS};

/// The program: a server, and with arguments its client.
const PROGRAM: &str = include_str!("canary.py");
const PATH: &str = "/home/user/torpor-canary.py";

impl World {
    pub(super) async fn prepare_process(&self, alias: &str) -> Result<(), Fault> {
        self.write_file(&WriteFile {
            sandbox: alias.to_owned(),
            path: PATH.to_owned(),
            content: PROGRAM.to_owned(),
        })
        .await?;
        let start = format!("setsid nohup python3 {PATH} </dev/null >/home/user/torpor-canary.log 2>&1 &");
        self.command(&command(alias, start)).await?;
        // Waits until it listens.
        self.told_by_process(alias, &json!({"register": COUNT, "add": 0}))
            .await
            .map(drop)
    }

    pub(super) async fn in_process(
        &self,
        step: &Work,
        register: Register,
        operation: &Operation,
    ) -> Result<Carried, Fault> {
        let mut asked = json!({"register": register.name});
        match operation {
            Operation::Add(more) => asked["add"] = json!(more),
            Operation::Append(text) => asked["append"] = json!(text),
            Operation::Put(_) | Operation::Remove | Operation::Read => {}
        }
        match self.told_by_process(&step.sandbox, &asked).await {
            // A timer that was set has not fired.
            Ok(_) if register.name == TIMERS && *operation != Operation::Read => Ok(Carried::Out(None)),
            Ok(content) => Ok(Carried::Out(Some(Some(content)))),
            Err(fault) => Ok(Carried::Cut(fault)),
        }
    }

    async fn told_by_process(&self, alias: &str, asked: &Value) -> Result<String, Fault> {
        let argument = STANDARD.encode(asked.to_string());
        let output = self
            .output_of(&command(alias, format!("python3 {PATH} {argument}")))
            .await?;
        let answer: Value = serde_json::from_str(&output)
            .map_err(|error| Fault::Claim(format!("the program inside answered {output:?}: {error}")))?;
        let content = answer["content"].as_str().map(str::to_owned);
        content.ok_or_else(|| Fault::Claim(format!("the program inside answered {output}")))
    }
}

fn command(alias: &str, line: String) -> Command {
    Command {
        sandbox: alias.to_owned(),
        command: line,
        terminal: false,
        input: None,
        stdout: None,
        contains: None,
        exit: 0,
        save: None,
    }
}
