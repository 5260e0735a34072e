//! Steps that speak to what runs inside a sandbox, and requests of any kind.

use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::steps::POLL;
use super::world::World;
use crate::probe::{Answer, Body, Call, Execution, Fault};
use crate::scenario::{
    DeleteFile, FileKind, Http, HungUp, ListFiles, Method, Plane, ReadFile, Run, Span, StatFile, WriteFile,
};

impl World {
    pub(super) async fn run_code(&self, step: &Run) -> Result<(), Fault> {
        let body = json!({"code": step.code, "context_id": step.context, "language": null, "env_vars": null});
        if !step.wait {
            return self.start_code(step, body).await;
        }
        let answer = self
            .inside(
                &step.sandbox,
                Plane::CodeInterpreter,
                Method::Post,
                "/execute",
                Body::Json(body),
            )
            .await?;
        answer.must_be(&[200], "execute")?;
        let execution = Execution::parse(&answer.text).map_err(Fault::Claim)?;
        judge_execution(step, &execution).map_err(Fault::Claim)?;
        if let Some(name) = &step.save {
            self.save(name, execution.text.unwrap_or_default());
        }
        Ok(())
    }

    /// Starts code and goes on at its first output.
    async fn start_code(&self, step: &Run, body: Value) -> Result<(), Fault> {
        let address = self.sandbox(&step.sandbox)?.address;
        let mut stream = self.e2b()?.execute(&address, body).await?;
        stream.until("\"stdout\"").await?;
        self.state().unheard.spawn(stream.read_to_end());
        Ok(())
    }

    pub(super) fn hang_up(&self) -> Result<(), Fault> {
        self.left_open().map(drop)
    }

    /// What reads the connections of `run` steps that did not wait; dropped, it closes them.
    fn left_open(&self) -> Result<tokio::task::JoinSet<()>, Fault> {
        let open = std::mem::take(&mut self.state().unheard);
        if open.is_empty() {
            return Err(Fault::Harness("no `run` step left a connection open".to_owned()));
        }
        Ok(open)
    }

    /// Every connection must be ended by the target, whether its code came to an end or not.
    pub(super) async fn hung_up(&self, step: &HungUp) -> Result<(), Fault> {
        let mut open = self.left_open()?;
        let all_ended = async { while open.join_next().await.is_some() {} };
        let ended = tokio::time::timeout(step.within.duration(), all_ended).await;
        ended.map_err(|_| {
            let hang = open.len();
            Fault::Claim(format!("{hang} connections still hang after {}", step.within))
        })
    }

    pub(super) async fn write_file(&self, step: &WriteFile) -> Result<(), Fault> {
        let path = files_path(&step.path);
        let body = Body::File(step.content.clone());
        self.inside(&step.sandbox, Plane::Envd, Method::Post, &path, body)
            .await?
            .must_be(&[200], "write file")
            .map(drop)
    }

    pub(super) async fn read_file(&self, step: &ReadFile) -> Result<(), Fault> {
        let path = files_path(&step.path);
        let answer = self
            .inside(&step.sandbox, Plane::Envd, Method::Get, &path, Body::None)
            .await?;
        if step.missing {
            return answer.must_be(&[404], "read of a missing file").map(drop);
        }
        answer.must_be(&[200], "read file")?;
        match &step.content {
            Some(content) if *content != answer.text => Err(Fault::Claim(format!(
                "{} holds {:?} instead of {content:?}",
                step.path, answer.text
            ))),
            Some(_) | None => Ok(()),
        }
    }

    pub(super) async fn list_files(&self, step: &ListFiles) -> Result<(), Fault> {
        let answer = self
            .files(&step.sandbox, "ListDir", json!({"path": step.path, "depth": 1}))
            .await?;
        let answer = answer.must_be(&[200], "ListDir")?.json();
        let entries = answer["entries"].as_array().cloned().unwrap_or_default();
        let names: Vec<_> = entries.iter().filter_map(|entry| entry["name"].as_str()).collect();
        if let Some(name) = step.has.iter().find(|name| !names.contains(&name.as_str())) {
            return Err(Fault::Claim(format!(
                "{} lacks {name}; it has {}",
                step.path,
                names.join(", ")
            )));
        }
        if let Some(name) = step.lacks.iter().find(|name| names.contains(&name.as_str())) {
            return Err(Fault::Claim(format!("{} still has {name}", step.path)));
        }
        Ok(())
    }

    pub(super) async fn stat_file(&self, step: &StatFile) -> Result<(), Fault> {
        let answer = self.files(&step.sandbox, "Stat", json!({"path": step.path})).await?;
        let entry = answer.must_be(&[200], "Stat")?.json()["entry"].clone();
        if let Some(kind) = step.kind {
            judge_kind(&step.path, &entry, kind).map_err(Fault::Claim)?;
        }
        let shown = ["size", "mode", "modifiedTime", "symlinkTarget"].map(|field| format!("{field}={}", entry[field]));
        let shown = shown.join(" ");
        if let Some(expected) = &step.same_as
            && *expected != shown
        {
            return Err(Fault::Claim(format!("{} was {expected} and is {shown}", step.path)));
        }
        if let Some(name) = &step.save {
            self.save(name, shown);
        }
        Ok(())
    }

    pub(super) async fn delete_file(&self, step: &DeleteFile) -> Result<(), Fault> {
        let answer = self.files(&step.sandbox, "Remove", json!({"path": step.path})).await?;
        answer.must_be(&[200], "Remove").map(drop)
    }

    async fn files(&self, alias: &str, rpc: &str, body: Value) -> Result<Answer, Fault> {
        let path = format!("/filesystem.Filesystem/{rpc}");
        self.inside(alias, Plane::Envd, Method::Post, &path, Body::Json(body))
            .await
    }

    async fn inside(&self, alias: &str, plane: Plane, method: Method, path: &str, body: Body) -> Result<Answer, Fault> {
        let sandbox = self.sandbox(alias)?;
        self.e2b()?.inside(plane, &sandbox.address, method, path, body).await
    }

    pub(super) async fn any_request(&self, step: &Http) -> Result<(), Fault> {
        let deadline = self.pulse.deadline(step.within.map_or(Duration::ZERO, Span::duration));
        let mut changes = self.journal.changes();
        loop {
            match self.request_once(step).await {
                Err(Fault::Claim(_)) if !deadline.is_over() => self.goes_on()?,
                outcome => return outcome,
            }
            changes.mark_unchanged();
            let _ = tokio::time::timeout(POLL, changes.changed()).await;
        }
    }

    async fn request_once(&self, step: &Http) -> Result<(), Fault> {
        let sandbox = match step.plane {
            Plane::Control => None,
            Plane::Envd | Plane::CodeInterpreter => Some(self.sandbox(&step.sandbox)?),
        };
        let body = match (&step.raw, &step.body) {
            (Some(raw), _) => Body::Raw(raw.clone()),
            (None, Some(body)) => Body::Json(body.clone()),
            (None, None) => Body::None,
        };
        let call = Call {
            plane: step.plane,
            address: sandbox.as_ref().map(|sandbox| &sandbox.address),
            method: step.method,
            path: &step.path,
            headers: &step.headers,
            key: step.key,
            token: step.token,
            body,
        };
        let answer = self.e2b()?.call(call).await?;
        self.keep_made_by(step, &answer).await;
        answer.must_be(&step.status, &format!("{} {}", step.method.as_str(), step.path))?;
        judge_answer(step, &answer).map_err(Fault::Claim)?;
        let json = answer.json();
        for (name, pointer) in &step.save {
            if let Some(secret) = secret_at(&json, pointer) {
                self.journal.hide(secret);
            }
            let value = json.pointer(pointer).cloned().unwrap_or_default();
            self.save(name, plain(&value));
            self.state().values.insert(name.clone(), value);
        }
        Ok(())
    }
}

fn judge_execution(step: &Run, execution: &Execution) -> Result<(), String> {
    let code = &step.code;
    if !execution.ended {
        return Err(format!("the answer to {code:?} stopped before its end was announced"));
    }
    match (&step.error, &execution.error) {
        (None, Some(error)) => return Err(format!("{code:?} ended with {}: {}", error.name, error.value)),
        (Some(expected), None) => return Err(format!("{code:?} ended without the expected {expected}")),
        (Some(expected), Some(error)) if *expected != error.name => {
            return Err(format!("{code:?} ended with {} instead of {expected}", error.name));
        }
        (Some(_), Some(_)) | (None, None) => {}
    }
    if let Some(expected) = &step.text
        && execution.text.as_ref() != Some(expected)
    {
        let gave = match &execution.text {
            Some(text) => format!("{text:?}"),
            None => "nothing".to_owned(),
        };
        return Err(format!("{code:?} gave {gave} instead of {expected:?}"));
    }
    if let Some(expected) = &step.stdout
        && execution.stdout.trim_end() != expected.trim_end()
    {
        return Err(format!(
            "{code:?} printed {:?} instead of {expected:?}",
            execution.stdout
        ));
    }
    Ok(())
}

fn judge_kind(path: &str, entry: &Value, kind: FileKind) -> Result<(), String> {
    let link = entry["symlinkTarget"].as_str().is_some_and(|target| !target.is_empty());
    let shown = entry["type"].as_str().unwrap_or_default();
    let right = match kind {
        FileKind::File => shown == "FILE_TYPE_FILE" && !link,
        FileKind::Directory => shown == "FILE_TYPE_DIRECTORY" && !link,
        FileKind::Symlink => shown == "FILE_TYPE_SYMLINK" || link,
    };
    if right {
        Ok(())
    } else {
        Err(format!("{path} is no {kind:?}: {entry}"))
    }
}

fn judge_answer(step: &Http, answer: &Answer) -> Result<(), String> {
    let what = format!("{} {}", step.method.as_str(), step.path);
    let json = answer.json();
    for (pointer, expected) in &step.json {
        let found = json.pointer(pointer).unwrap_or(&Value::Null);
        if found != expected {
            return Err(format!("{what} answered {found} at {pointer} instead of {expected}"));
        }
    }
    if let Some(pointer) = step
        .has
        .iter()
        .find(|pointer| json.pointer(pointer).is_none_or(says_nothing))
    {
        return Err(format!("{what} answered nothing at {pointer}: {}", answer.text));
    }
    if let Some(text) = step
        .contains
        .as_ref()
        .filter(|text| !answer.text.contains(text.as_str()))
    {
        return Err(format!("{what} answered without {text:?}: {}", answer.text));
    }
    Ok(())
}

/// An empty text stands where something is to be said, and says nothing.
fn says_nothing(value: &Value) -> bool {
    value.is_null() || value.as_str().is_some_and(|text| text.trim().is_empty())
}

/// The token that an answer holds at a place that is named so; null stands for none.
fn secret_at<'j>(json: &'j Value, pointer: &str) -> Option<&'j str> {
    let token = json.pointer(pointer).filter(|_| pointer.ends_with("Token"));
    token.and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// A JSON value as a text: without quotes when it is one.
pub(super) fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn files_path(path: &str) -> String {
    format!("/files?path={}", utf8_percent_encode(path, NON_ALPHANUMERIC))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(has: &[&str], status: u16, body: &Value) -> Result<(), String> {
        let step = json!({"method": "POST", "path": "/v2/sandboxes", "status": [400], "has": has});
        let step: Http = serde_json::from_value(step).unwrap();
        let answer = Answer {
            status,
            next_page: None,
            text: body.to_string(),
        };
        judge_answer(&step, &answer)
    }

    #[test]
    fn an_error_whose_message_is_empty_says_nothing() {
        let said = |message: Value| asked(&["/message"], 400, &json!({"code": 400, "message": message}));
        assert_eq!(said(json!("no such template")), Ok(()));
        assert_eq!(
            said(json!("")).unwrap_err(),
            r#"POST /v2/sandboxes answered nothing at /message: {"code":400,"message":""}"#
        );
        for empty in [json!(" "), Value::Null] {
            assert!(said(empty.clone()).is_err(), "{empty}");
        }
        assert_eq!(asked(&["/code"], 400, &json!({"code": 0})), Ok(()));
    }

    #[test]
    fn a_token_that_is_not_there_is_no_secret() {
        let json = json!({"envdAccessToken": "t0k3n", "trafficAccessToken": null, "emptyToken": "", "sandboxID": "i1"});
        assert_eq!(secret_at(&json, "/envdAccessToken"), Some("t0k3n"));
        for pointer in ["/trafficAccessToken", "/emptyToken", "/otherToken", "/sandboxID"] {
            assert_eq!(secret_at(&json, pointer), None, "{pointer}");
        }
    }
}
