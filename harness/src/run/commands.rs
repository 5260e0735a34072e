//! The step that runs a command line in a sandbox, and what becomes of it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::world::World;
use crate::probe::{Address, Body, Fault, ProcessDecoder, ProcessEvent};
use crate::scenario::{Command, Method, Plane};

/// What came of a command.
#[derive(Debug, Default, PartialEq, Eq)]
struct Ended {
    output: Vec<u8>,
    errors: Vec<u8>,
    exit: Option<i64>,
}

impl World {
    pub(super) async fn command(&self, step: &Command) -> Result<(), Fault> {
        let output = self.output_of(step).await?;
        if let Some(name) = &step.save {
            self.save(name, output);
        }
        Ok(())
    }

    /// What a command prints that does what it should.
    pub(super) async fn output_of(&self, step: &Command) -> Result<String, Fault> {
        let address = self.sandbox(&step.sandbox)?.address;
        let ended = self.run_command(step, &address).await?;
        judge(step, &ended).map_err(Fault::Claim)
    }

    async fn run_command(&self, step: &Command, address: &Address) -> Result<Ended, Fault> {
        let mut answer = self.e2b()?.start_process(address, &request(step)).await?;
        let deadline = self.pulse.deadline(self.target.limits().change.duration());
        let (mut decoder, mut ended) = (ProcessDecoder::default(), Ended::default());
        loop {
            let piece = deadline.within(answer.chunk()).await;
            let piece =
                piece.map_err(|late| late.fault(|within| format!("{:?} did not end {within}", step.command)))?;
            // A stream that breaks off is the target's doing: the command was started.
            let piece = piece.map_err(|error| Fault::Claim(format!("{:?} broke off: {error}", step.command)))?;
            let Some(piece) = piece else {
                return Err(Fault::Claim(format!("{:?} stopped without an end", step.command)));
            };
            for event in decoder.push(&piece).map_err(Fault::Claim)? {
                match event {
                    ProcessEvent::Started { pid } => self.type_in(step, address, pid).await?,
                    ProcessEvent::Output(bytes) => ended.output.extend(bytes),
                    ProcessEvent::Errors(bytes) => ended.errors.extend(bytes),
                    ProcessEvent::Ended { exit } => ended.exit = Some(exit),
                    ProcessEvent::Closed(None) => return Ok(ended),
                    ProcessEvent::Closed(Some(why)) => {
                        return Err(Fault::Claim(format!("{:?} was refused: {why}", step.command)));
                    }
                }
            }
        }
    }

    async fn type_in(&self, step: &Command, address: &Address, pid: u64) -> Result<(), Fault> {
        let Some(input) = &step.input else { return Ok(()) };
        let field = if step.terminal { "pty" } else { "stdin" };
        let mut body = json!({"process": {"pid": pid}});
        body["input"][field] = json!(STANDARD.encode(input));
        let answer = self
            .e2b()?
            .inside(
                Plane::Envd,
                address,
                Method::Post,
                "/process.Process/SendInput",
                Body::Json(body),
            )
            .await?;
        answer.must_be(&[200], "SendInput").map(drop)
    }
}

fn request(step: &Command) -> Value {
    let mut request = json!({"process": {"cmd": "/bin/bash", "args": ["-l", "-c", step.command]}});
    if step.terminal {
        request["pty"] = json!({"size": {"cols": 80, "rows": 24}});
    } else if step.input.is_some() {
        request["stdin"] = json!(true);
    }
    request
}

/// The output without spaces at its ends, if the command did what it should.
fn judge(step: &Command, ended: &Ended) -> Result<String, String> {
    let (command, output) = (&step.command, String::from_utf8_lossy(&ended.output));
    let errors = String::from_utf8_lossy(&ended.errors);
    let exit = ended
        .exit
        .ok_or_else(|| format!("{command:?} stopped and told no exit code"))?;
    if exit != i64::from(step.exit) {
        return Err(format!(
            "{command:?} ended with {exit} instead of {}: {}",
            step.exit,
            errors.trim_end()
        ));
    }
    if let Some(expected) = &step.stdout
        && output.trim_end() != expected.trim_end()
    {
        return Err(format!("{command:?} printed {output:?} instead of {expected:?}"));
    }
    if let Some(expected) = step.contains.as_ref().filter(|text| !output.contains(text.as_str())) {
        return Err(format!("{command:?} printed {output:?} without {expected:?}"));
    }
    Ok(output.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(text: &str) -> Command {
        crate::error::from_yaml("step.yaml", text).unwrap()
    }

    fn ended(output: &str, exit: Option<i64>) -> Ended {
        Ended {
            output: output.into(),
            errors: b"not found\n".to_vec(),
            exit,
        }
    }

    #[test]
    fn a_command_is_judged_by_its_exit_code_and_its_output() {
        let echo = step("{command: echo 1, stdout: \"1\", contains: \"1\"}");
        assert_eq!(judge(&echo, &ended("1\n", Some(0))), Ok("1".to_owned()));
        assert!(judge(&echo, &ended("2\n", Some(0))).unwrap_err().contains("instead of"));
        let failed = judge(&echo, &ended("1\n", Some(127))).unwrap_err();
        assert!(failed.contains("127") && failed.ends_with("not found"), "{failed}");
        assert!(judge(&echo, &ended("1\n", None)).unwrap_err().contains("no exit code"));
        let wrong = step("{command: \"false\", exit: 1, contains: x}");
        assert!(judge(&wrong, &ended("y", Some(1))).unwrap_err().contains("without"));
    }

    #[test]
    fn a_command_has_a_terminal_or_an_open_input_only_where_it_is_asked_for() {
        assert!(request(&step("{command: ls}")).get("stdin").is_none());
        assert_eq!(request(&step("{command: cat, input: x}"))["stdin"], true);
        let typed = request(&step("{command: tty, terminal: true, input: x}"));
        assert!(typed["pty"]["size"]["cols"].is_u64() && typed.get("stdin").is_none());
    }
}
