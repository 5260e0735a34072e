//! Conditions on what E2B answers.

use jiff::Timestamp;
use serde_json::Value;

use super::conditions::{Finding, holds};
use super::world::{Sandbox, World};
use crate::history::now;
use crate::probe::{Answer, Body, Fault};
use crate::scenario::{EndsIn, Listed, Method, SdkState, SdkStateIs};

impl World {
    pub(super) async fn detail(&self, sandbox: &Sandbox) -> Result<Answer, Fault> {
        self.e2b()?
            .api(Method::Get, &format!("/sandboxes/{}", sandbox.id()), Body::None)
            .await
    }

    pub(super) async fn sdk_state(&self, wanted: &SdkStateIs) -> Finding {
        let answer = self.detail(&self.sandbox(&wanted.sandbox)?).await?;
        let state = answer.json()["state"].as_str().unwrap_or_default().to_owned();
        let right = match wanted.is {
            SdkState::Running => answer.status == 200 && state == "running",
            SdkState::Paused => answer.status == 200 && state == "paused",
            SdkState::NotFound => answer.status == 404,
        };
        Ok(holds(right, || {
            format!(
                "E2B answers {} with state {state:?} for `{}` instead of {:?}",
                answer.status, wanted.sandbox, wanted.is
            )
        }))
    }

    pub(super) async fn listed(&self, wanted: &Listed) -> Finding {
        let entries = match self.all_pages(wanted).await? {
            Ok(entries) => entries,
            Err(why) => return Ok(Err(why)),
        };
        let mut ids = std::collections::BTreeSet::new();
        if let Some(twice) = entries.iter().find(|entry| !ids.insert(entry["sandboxID"].to_string())) {
            return Ok(Err(format!("{} lists {} twice", wanted.path, twice["sandboxID"])));
        }
        let place = |id: &str| entries.iter().position(|entry| entry["sandboxID"] == id);
        let mut places = Vec::new();
        for alias in &wanted.has {
            let Some(at) = place(self.sandbox(alias)?.id()) else {
                return Ok(Err(format!("{} does not list `{alias}`", wanted.path)));
            };
            for (pointer, expected) in &wanted.json {
                let found = entries[at].pointer(pointer).unwrap_or(&Value::Null);
                if found != expected {
                    return Ok(Err(format!(
                        "{} lists `{alias}` with {found} at {pointer}",
                        wanted.path
                    )));
                }
            }
            places.push(at);
        }
        for alias in &wanted.lacks {
            if place(self.sandbox(alias)?.id()).is_some() {
                return Ok(Err(format!("{} lists `{alias}`", wanted.path)));
            }
        }
        Ok(holds(!wanted.in_order || places.is_sorted(), || {
            format!(
                "{} lists {} in another order: places {places:?}",
                wanted.path,
                wanted.has.join(", ")
            )
        }))
    }

    /// Every entry of a list, page by page.
    async fn all_pages(&self, wanted: &Listed) -> Result<Result<Vec<Value>, String>, Fault> {
        let mut entries = Vec::new();
        let mut next: Option<String> = None;
        let mut seen = std::collections::BTreeSet::new();
        loop {
            let mut path = wanted.path.clone();
            let limit = wanted.limit.map(|limit| ("limit", limit.to_string()));
            let token = next.take().map(|token| ("nextToken", token));
            for (key, value) in limit.into_iter().chain(token) {
                let joint = if path.contains('?') { '&' } else { '?' };
                let value = percent_encoding::utf8_percent_encode(&value, percent_encoding::NON_ALPHANUMERIC);
                path = format!("{path}{joint}{key}={value}");
            }
            let answer = self.e2b()?.api(Method::Get, &path, Body::None).await?;
            answer.must_be(&[200], &path)?;
            let Value::Array(page) = answer.json() else {
                return Ok(Err(format!("{path} answered no list")));
            };
            let size = u32::try_from(page.len()).unwrap_or(u32::MAX);
            if wanted.limit.is_some_and(|limit| size > limit) {
                return Ok(Err(format!("{path} answered {size} entries")));
            }
            let empty = page.is_empty();
            entries.extend(page);
            match answer.next_page {
                Some(token) if !empty && seen.insert(token.clone()) => next = Some(token),
                Some(token) if !empty => return Ok(Err(format!("{path} names the page {token:?} twice"))),
                Some(_) | None => return Ok(Ok(entries)),
            }
        }
    }

    pub(super) async fn end_at(&self, alias: &str) -> Result<Timestamp, Fault> {
        let answer = self.detail(&self.sandbox(alias)?).await?;
        answer.must_be(&[200], "get")?;
        let json = answer.json();
        let end = json["endAt"].as_str().and_then(|text| text.parse().ok());
        end.ok_or_else(|| Fault::Claim(format!("`endAt` of `{alias}` is no time: {}", json["endAt"])))
    }

    pub(super) async fn ends_in(&self, wanted: &EndsIn) -> Finding {
        let left = self.end_at(&wanted.sandbox).await?.duration_since(now()).as_secs_f64();
        let off = (left - wanted.after.duration().as_secs_f64()).abs();
        Ok(holds(off <= wanted.tolerance.duration().as_secs_f64(), || {
            format!(
                "the timeout of `{}` ends in {left:.1} s instead of {}",
                wanted.sandbox, wanted.after
            )
        }))
    }
}
