//! Steps that put faults into the implementation, and take them out.

use serde_json::{Value, json};
use url::Url;

use super::conditions::{Finding, holds};
use super::world::World;
use crate::history::Occurrence;
use crate::laboratory::FaultControls;
use crate::probe::{Body, Fault, HttpRequest};
use crate::scenario::{ApiFault, CrashController, Crashes, CutLeaderOff, Handovers, Method};

fn number(text: &str) -> Result<u32, Fault> {
    text.parse()
        .map_err(|_| Fault::Harness(format!("`write: {text}` is no whole number")))
}

impl World {
    pub(super) async fn crash_controller(&self, step: &CrashController) -> Result<(), Fault> {
        let write = number(&step.write)?;
        let name = self.sandbox(&step.sandbox)?.name;
        let body = json!({"name": name, "write": write, "moment": step.moment});
        let url = &self.fault_controls()?.controller;
        self.control(Method::Post, url, "crash", Some(body)).await.map(drop)
    }

    pub(super) async fn elect_leader(&self) -> Result<(), Fault> {
        let url = &self.fault_controls()?.controller;
        let body = Some(json!({"held": true}));
        self.control(Method::Put, url, "election", body).await.map(drop)
    }

    pub(super) async fn cut_leader_off(&self, step: &CutLeaderOff) -> Result<(), Fault> {
        let write = number(&step.write)?;
        let name = self.sandbox(&step.sandbox)?.name;
        let body = json!({"name": name, "write": write, "verb": step.verb});
        let url = &self.fault_controls()?.controller;
        self.control(Method::Post, url, "cut", Some(body)).await.map(drop)
    }

    pub(super) async fn reconnect(&self) -> Result<(), Fault> {
        let url = &self.fault_controls()?.controller;
        self.control(Method::Delete, url, "cut", None).await.map(drop)
    }

    pub(super) async fn handovers(&self, wanted: &Handovers) -> Finding {
        let url = &self.fault_controls()?.controller;
        let answer = self.control(Method::Get, url, "cut", None).await?;
        let handovers = answer["handovers"].as_u64().unwrap_or_default();
        Ok(holds(handovers >= u64::from(wanted.at_least), || {
            format!("leadership changed {handovers} times, not {} or more", wanted.at_least)
        }))
    }

    pub(super) async fn api_fault(&self, step: &ApiFault) -> Result<(), Fault> {
        let rule = serde_json::to_value(step).map_err(|error| Fault::harness("read the rule", error))?;
        let url = &self.fault_controls()?.api;
        self.control(Method::Post, url, "faults", Some(rule)).await.map(drop)
    }

    pub(super) async fn refuse_removals(&self) -> Result<(), Fault> {
        let url = &self.fault_controls()?.controller;
        let body = Some(json!({"allowed": false}));
        self.control(Method::Put, url, "removals", body).await.map(drop)
    }

    pub(super) async fn end_faults(&self) -> Result<(), Fault> {
        let FaultControls { api, controller } = self.fault_controls()?.clone();
        self.control(Method::Delete, &api, "faults", None).await?;
        self.control(Method::Delete, &controller, "crash", None).await?;
        self.control(Method::Delete, &controller, "cut", None).await?;
        let body = Some(json!({"allowed": true}));
        self.control(Method::Put, &controller, "removals", body).await.map(drop)
    }

    pub(super) async fn crashes(&self, wanted: &Crashes) -> Finding {
        let url = &self.fault_controls()?.controller;
        let answer = self.control(Method::Get, url, "crash", None).await?;
        let crashes = answer["crashes"].as_u64().unwrap_or_default();
        Ok(holds(crashes >= u64::from(wanted.at_least), || {
            format!(
                "the controller crashed {crashes} times, not {} or more",
                wanted.at_least
            )
        }))
    }

    /// Sends one request to a control endpoint. That it does as it is told is nothing that
    /// the target promises.
    async fn control(&self, method: Method, base: &Url, path: &str, body: Option<Value>) -> Result<Value, Fault> {
        let url = base
            .join(path)
            .map_err(|error| Fault::harness("address the faults", error))?;
        let what = format!("{} {url}", method.as_str());
        let start = std::time::Instant::now();
        let request = HttpRequest {
            method: method.as_str(),
            url: url.into(),
            headers: Vec::new(),
            body: body.clone().map_or(Body::None, Body::Json),
        };
        let answer = self.http.send(request).await;
        let answer = answer.map_err(|error| Fault::harness(&what, error))?;
        let status = answer.status;
        let text = answer.text().await.map_err(|error| Fault::harness(&what, error))?;
        self.journal.note(Occurrence::Request {
            method: method.as_str().to_owned(),
            path: format!("faults: {path} {}", body.unwrap_or_default()),
            status,
            millis: u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX),
        });
        if !(200..300).contains(&status) {
            return Err(Fault::Harness(format!("{what} answered {status}: {text}")));
        }
        Ok(serde_json::from_str(&text).unwrap_or_default())
    }
}
