//! Steps that change what a sandbox is: through the custom resource, or through E2B.

use serde_json::{Value, json};

use super::clean_up::HeldKind;
use super::world::World;
use crate::probe::{Address, Body, Fault};
use crate::profile::{Pointer, Wish, merge, merge_pod};
use crate::scenario::{
    Ask, Condition, ConditionKind, ConditionTruth, Connect, Create, Delete, Front, Gone, Method, PatchTemplate, Pause,
    PhaseIs, PhaseName, Resume, Routes, SdkState, SdkStateIs, SetTimeout, SetTimer, Span, TimerName, Truth, WishName,
};

/// What an SDK asks for when its caller names no timeout, in seconds.
const SDK_TIMEOUT: u32 = 300;

impl World {
    pub(super) async fn create(&self, step: &Create) -> Result<(), Fault> {
        match step.through.unwrap_or(self.front) {
            Front::Kubernetes => self.create_resource(step).await,
            Front::E2b => self.create_by_sdk(step).await,
        }
    }

    async fn create_resource(&self, step: &Create) -> Result<(), Fault> {
        let suffix = if step.sandbox == "sandbox" {
            String::new()
        } else {
            format!("-{}", step.sandbox)
        };
        let name = step.name.clone().unwrap_or_else(|| format!("{}{suffix}", self.run));
        let manifest = self.manifest(step, &name)?;
        let starts_paused = step.paused || self.dialect()?.wish(&manifest) == Some(Wish::Paused);
        let cluster = self.cluster()?;
        let address = Address {
            id: self.target.profile.sandbox_ids().id_of(&name, &cluster.namespace),
            ..Address::default()
        };
        let held = json!({"metadata": {"finalizers": step.finalizers}});
        self.holds(HeldKind::Sandbox, &name, &held);
        self.register(&step.sandbox, Front::Kubernetes, address, Some(name));
        let created = cluster.create_sandbox(manifest).await?;
        self.learn(&step.sandbox, &created);
        let limits = self.target.limits();
        match (step.wait, starts_paused) {
            (false, _) => Ok(()),
            (true, true) => self.wait_paused(&step.sandbox, limits.start).await,
            (true, false) => self.wait_serving(&step.sandbox, limits.start).await,
        }
    }

    fn manifest(&self, step: &Create, name: &str) -> Result<Value, Fault> {
        let dialect = self.dialect()?;
        let mut manifest = dialect.manifest.clone();
        let scope = [
            ("name".to_owned(), name.to_owned()),
            ("image".to_owned(), dialect.image.clone()),
        ]
        .into();
        crate::scenario::fill(&mut manifest, &scope, crate::history::now()).map_err(Fault::Harness)?;
        if !step.command.is_empty() || !step.env.is_empty() {
            let container = self.first_container(&mut manifest)?;
            if !step.command.is_empty() {
                container["command"] = json!(step.command);
            }
            let env = step
                .env
                .iter()
                .map(|(name, value)| json!({"name": name, "value": value}));
            container["env"] = env.collect::<Vec<_>>().into();
        }
        if !step.finalizers.is_empty() {
            manifest["metadata"]["finalizers"] = json!(step.finalizers);
        }
        if step.paused {
            let unsaid = || Fault::Harness("the profile has neither `pause.merge` nor `created-paused`".to_owned());
            merge(&mut manifest, dialect.of_created_paused().ok_or_else(unsaid)?);
        }
        if let Some(pod) = &step.pod {
            let place = self.pod_template()?;
            match manifest.pointer_mut(place.as_str()) {
                Some(template) => merge_pod(template, pod),
                None => merge(&mut manifest, &place.holding(pod.clone())),
            }
        }
        if let Some(at) = &step.pause_time {
            merge(&mut manifest, &self.timer(TimerName::Pause)?.holding(json!(at)));
        }
        if let Some(spec) = &step.spec {
            merge(&mut manifest["spec"], spec);
        }
        Ok(manifest)
    }

    fn first_container<'m>(&self, manifest: &'m mut Value) -> Result<&'m mut Value, Fault> {
        let pointer = format!("{}/spec/containers/0", self.pod_template()?.as_str());
        let missing = || Fault::Harness(format!("the manifest of the profile has no container at {pointer}"));
        manifest.pointer_mut(&pointer).ok_or_else(missing)
    }

    fn pod_template(&self) -> Result<&Pointer, Fault> {
        let missing = || Fault::Harness("the profile has no `pod-template`".to_owned());
        self.dialect()?.pod_template.as_ref().ok_or_else(missing)
    }

    fn timer(&self, name: TimerName) -> Result<&Pointer, Fault> {
        let timers = &self.dialect()?.timers;
        let (timer, word) = match name {
            TimerName::Pause => (&timers.pause, "pause"),
            TimerName::Shutdown => (&timers.shutdown, "shutdown"),
        };
        let missing = || Fault::Harness(format!("the profile has no `timers.{word}`"));
        timer.as_ref().ok_or_else(missing)
    }

    pub(super) async fn ask(&self, step: &Ask) -> Result<(), Fault> {
        let answer = self.wish_for(&step.sandbox, step.wish).await?;
        accepted(answer, &step.status)
    }

    pub(super) async fn patch_template(&self, step: &PatchTemplate) -> Result<(), Fault> {
        let sandbox = self.sandbox(&step.sandbox)?;
        let patch = self.pod_template()?.holding(step.merge.clone());
        self.cluster()?.patch_sandbox(&sandbox.name, &patch).await
    }

    pub(super) async fn set_timer(&self, step: &SetTimer) -> Result<(), Fault> {
        let sandbox = self.sandbox(&step.sandbox)?;
        let patch = self.timer(step.of)?.holding(json!(step.at));
        self.cluster()?.patch_sandbox(&sandbox.name, &patch).await
    }

    async fn create_by_sdk(&self, step: &Create) -> Result<(), Fault> {
        let template = &self.state().variables["template"].clone();
        let mut body = json!({"templateID": template, "metadata": step.metadata, "envVars": step.env});
        let path = match step.routes {
            Routes::V1 => {
                body["secure"] = json!(true);
                body["autoPause"] = json!(step.auto_pause);
                body["timeout"] = json!(step.timeout.unwrap_or(SDK_TIMEOUT));
                "/sandboxes"
            }
            Routes::V2 => {
                if step.auto_pause {
                    body["autoPause"] = json!(true);
                }
                if let Some(seconds) = step.timeout {
                    body["timeout"] = json!(seconds);
                }
                "/v2/sandboxes"
            }
        };
        if step.auto_resume {
            body["autoResume"] = json!({"enabled": true});
        }
        let answer = self.e2b()?.api(Method::Post, path, Body::Json(body)).await?;
        // Also one that should not have been made, or is not described as SDKs require, is deleted at the end.
        self.keep_made(&step.sandbox, &answer);
        answer.must_be(&[201], "create")?;
        has_what_sdks_require(&answer.json())?;
        if self.has_cluster() {
            self.find_resource(&step.sandbox).await?;
        }
        Ok(())
    }

    pub(super) async fn pause(&self, step: &Pause) -> Result<(), Fault> {
        let sandbox = self.sandbox(&step.sandbox)?;
        match step.through.unwrap_or(self.front) {
            Front::Kubernetes => {
                let answer = self.wish_for(&step.sandbox, WishName::Paused).await?;
                accepted(answer, &[200])?;
            }
            Front::E2b => {
                let path = format!("/sandboxes/{}/pause", sandbox.id());
                self.e2b()?
                    .api(Method::Post, &path, Body::None)
                    .await?
                    .must_be(&step.status, "pause")?;
            }
        }
        if step.wait {
            self.wait_paused(&step.sandbox, self.target.limits().pause).await
        } else {
            Ok(())
        }
    }

    pub(super) async fn resume(&self, step: &Resume) -> Result<(), Fault> {
        let sandbox = self.sandbox(&step.sandbox)?;
        match step.through.unwrap_or(self.front) {
            Front::Kubernetes => {
                let answer = self.wish_for(&step.sandbox, WishName::Running).await?;
                accepted(answer, &[200])?;
            }
            Front::E2b => {
                let body = Body::Json(json!({"timeout": SDK_TIMEOUT}));
                let path = format!("/v2/sandboxes/{}/connect", sandbox.id());
                self.e2b()?
                    .api(Method::Post, &path, body)
                    .await?
                    .must_be(&step.status, "connect")?;
            }
        }
        if step.wait {
            self.wait_serving(&step.sandbox, self.target.limits().resume).await
        } else {
            Ok(())
        }
    }

    pub(super) async fn delete(&self, step: &Delete) -> Result<(), Fault> {
        let sandbox = self.sandbox(&step.sandbox)?;
        let accepted = |default: &[u16]| {
            if step.status.is_empty() {
                default.to_vec()
            } else {
                step.status.clone()
            }
        };
        match step.through.unwrap_or(self.front) {
            Front::Kubernetes => {
                let status = self.cluster()?.delete_sandbox(&sandbox.name, step.propagation).await?;
                if !accepted(&[200, 202]).contains(&status) {
                    return Err(Fault::Claim(format!("deleting the custom resource answered {status}")));
                }
            }
            Front::E2b => {
                let path = format!("/sandboxes/{}", sandbox.id());
                self.e2b()?
                    .api(Method::Delete, &path, Body::None)
                    .await?
                    .must_be(&accepted(&[204]), "delete")?;
            }
        }
        if step.wait {
            self.wait_gone(&step.sandbox).await
        } else {
            Ok(())
        }
    }

    pub(super) async fn connect(&self, step: &Connect) -> Result<(), Fault> {
        let sandbox = self.sandbox(&step.sandbox)?;
        let (prefix, timeout) = match step.routes {
            Routes::V1 => ("", Some(step.timeout.unwrap_or(SDK_TIMEOUT))),
            Routes::V2 => ("/v2", step.timeout),
        };
        let body = timeout.map_or_else(|| json!({}), |seconds| json!({"timeout": seconds}));
        let path = format!("{prefix}/sandboxes/{}/connect", sandbox.id());
        let answer = self.e2b()?.api(Method::Post, &path, Body::Json(body)).await?;
        answer.must_be(&step.status, "connect")?;
        if !matches!(answer.status, 200 | 201) {
            return Ok(());
        }
        has_what_sdks_require(&answer.json())?;
        if answer.json()["sandboxID"] != sandbox.id() {
            return Err(Fault::Claim(format!(
                "connect to {} answered another sandbox: {}",
                sandbox.id(),
                answer.text
            )));
        }
        Ok(())
    }

    pub(super) async fn set_timeout(&self, step: &SetTimeout) -> Result<(), Fault> {
        let sandbox = self.sandbox(&step.sandbox)?;
        let path = format!("/sandboxes/{}/timeout", sandbox.id());
        let answer = self
            .e2b()?
            .api(Method::Post, &path, Body::Json(json!({"timeout": step.seconds})))
            .await?;
        answer.must_be(&step.status, "set timeout").map(drop)
    }

    async fn wait_paused(&self, alias: &str, within: Span) -> Result<(), Fault> {
        let conditions = self.shown_as(alias, PhaseName::Paused, ConditionKind::Paused, SdkState::Paused)?;
        self.wait_until(&conditions, within.duration()).await
    }

    async fn wait_serving(&self, alias: &str, within: Span) -> Result<(), Fault> {
        let conditions = self.shown_as(alias, PhaseName::Running, ConditionKind::Ready, SdkState::Running)?;
        self.wait_until(&conditions, within.duration()).await
    }

    /// What every front must show of it.
    fn shown_as(
        &self,
        alias: &str,
        phase: PhaseName,
        kind: ConditionKind,
        sdk: SdkState,
    ) -> Result<Vec<Condition>, Fault> {
        let sandbox = alias.to_owned();
        let by_sdk = self.sandbox(alias)?.front == Front::E2b;
        let mut conditions = Vec::new();
        if self.has_cluster() {
            conditions.push(Condition::Phase(PhaseIs {
                sandbox: sandbox.clone(),
                is: vec![phase],
            }));
            conditions.push(Condition::Condition(ConditionTruth {
                sandbox: sandbox.clone(),
                kind,
                is: Truth::Holds,
            }));
        }
        if by_sdk {
            conditions.push(Condition::SdkState(SdkStateIs { sandbox, is: sdk }));
        }
        Ok(conditions)
    }

    async fn wait_gone(&self, alias: &str) -> Result<(), Fault> {
        let gone = Condition::Gone(Gone {
            sandbox: alias.to_owned(),
        });
        self.wait_until(&[gone], self.target.limits().delete.duration()).await
    }
}

/// Whether an answer to create or connect says who and where a sandbox is.
fn has_what_sdks_require(answer: &Value) -> Result<(), Fault> {
    let missing = |field: &&str| answer[*field].as_str().unwrap_or_default().is_empty();
    match ["templateID", "sandboxID", "envdVersion"].into_iter().find(missing) {
        Some(field) => Err(Fault::Claim(format!(
            "the answer has no `{field}`, which SDKs require: {answer}"
        ))),
        None => Ok(()),
    }
}

/// How a request on the custom resource was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// By the API server, with a status code and why.
    Status(u16, String),
    /// By a hook, which knows no status codes.
    Hook(String),
}

impl From<(u16, String)> for Refusal {
    fn from((code, message): (u16, String)) -> Self {
        Self::Status(code, message)
    }
}

/// Refuses every answer to a request on the custom resource but these; a hook refuses by any code of a refusal.
pub(super) fn accepted(answer: Result<(), Refusal>, status: &[u16]) -> Result<(), Fault> {
    let (fits, said) = match answer {
        Ok(()) => (status.contains(&200), "200".to_owned()),
        Err(Refusal::Status(code, message)) => (status.contains(&code), format!("{code}: {message}")),
        Err(Refusal::Hook(why)) => (status.iter().any(|code| *code >= 400), why),
    };
    if fits {
        return Ok(());
    }
    Err(Fault::Claim(format!("the request answered {said}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_without_what_sdks_require_is_a_broken_claim() {
        let answer = json!({"templateID": "t", "sandboxID": "i1", "clientID": "c", "envdVersion": "0.6.13"});
        assert_eq!(has_what_sdks_require(&answer), Ok(()));
        let bare = has_what_sdks_require(&json!({"sandboxID": "i1"}));
        assert!(matches!(bare, Err(Fault::Claim(_))));
    }

    #[test]
    fn a_hook_that_refuses_does_what_any_refusal_may() {
        let refused = || Err(Refusal::Hook("no such box".to_owned()));
        assert_eq!(accepted(refused(), &[200, 404]), Ok(()));
        let why = accepted(refused(), &[200]).unwrap_err();
        assert!(matches!(why, Fault::Claim(why) if why.contains("no such box")));
        assert_eq!(accepted(Ok(()), &[200]), Ok(()));
        assert!(accepted(Err((409, "later".to_owned()).into()), &[200, 404]).is_err());
    }
}
