//! The list calls: their query, and which sandboxes make up which page.
//!
//! Pure: the caller brings the sandboxes, in any order.

use std::cmp::Ordering;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use url::form_urlencoded;

use crate::{
    metadata::{MetadataFilter, matches, parse_filter},
    operation::Visible,
    refusal::Refusal,
    view::ListedSandbox,
};

/// Length of a page, at most and unless less is asked for.
const PAGE_LIMIT: usize = 100;

/// What a list call asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListQuery {
    metadata: MetadataFilter,
    /// Empty: all.
    states: Vec<Visible>,
    order: Order,
    started_after: Option<Timestamp>,
    template: Option<String>,
    after: Option<Position>,
    limit: Option<usize>,
}

/// By start of the run; ties by id, ascending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    OldestFirst,
    NewestFirst,
}

/// The last sandbox of the page before.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Position {
    started_at: Timestamp,
    id: String,
}

/// One page.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) sandboxes: Vec<ListedSandbox>,
    /// Where the next page begins; absent on the last.
    pub(crate) next_token: Option<String>,
    /// How many of all sandboxes that match are running.
    pub(crate) total_running: usize,
}

impl ListQuery {
    /// The query of the older list call: all that run, on one page.
    ///
    /// # Errors
    /// If the metadata filter cannot be read.
    pub(crate) fn running_only(query: &str) -> Result<Self, Refusal> {
        let metadata = pairs(query).find(|(key, _)| key == "metadata");
        let metadata = metadata.map_or(Ok(MetadataFilter::new()), |(_, value)| parse_filter(&value))?;
        Ok(Self {
            metadata,
            states: vec![Visible::Running],
            limit: None,
            ..Self::everything()
        })
    }

    /// Reads the query string of a list call. Parameters that it does not know are passed over.
    ///
    /// # Errors
    /// Names the first parameter that cannot be read.
    pub(crate) fn parse(query: &str) -> Result<Self, Refusal> {
        let mut read = Self::everything();
        for (key, value) in pairs(query).filter(|(_, value)| !value.is_empty()) {
            let bad = |problem: String| Refusal::invalid(format!("query parameter {key:?}"), problem);
            match key.as_str() {
                "metadata" => read.metadata = parse_filter(&value)?,
                "state" => value
                    .split(',')
                    .try_for_each(|state| parse_state(state).map(|state| read.states.push(state)))?,
                "order" => read.order = parse_order(&value)?,
                "startedAfter" => {
                    read.started_after = Some(value.parse().map_err(|e: jiff::Error| bad(e.to_string()))?);
                }
                "template" => read.template = Some(value),
                "nextToken" => read.after = Some(Position::decode(&value)?),
                "limit" => read.limit = Some(parse_limit(&value)?),
                _ => {}
            }
        }
        Ok(read)
    }

    const fn everything() -> Self {
        Self {
            metadata: MetadataFilter::new(),
            states: Vec::new(),
            order: Order::NewestFirst,
            started_after: None,
            template: None,
            after: None,
            limit: Some(PAGE_LIMIT),
        }
    }

    /// The page that is asked for out of `all`.
    pub(crate) fn page(&self, all: impl Iterator<Item = ListedSandbox>) -> Page {
        let mut matching: Vec<_> = all.filter(|sandbox| self.selects(sandbox)).collect();
        let total_running = matching
            .iter()
            .filter(|sandbox| sandbox.state == Visible::Running)
            .count();
        matching.retain(|sandbox| self.states.is_empty() || self.states.contains(&sandbox.state));
        matching.sort_by(|a, b| self.compare(&Position::of(a), &Position::of(b)));
        if let Some(after) = &self.after {
            matching.retain(|sandbox| self.compare(&Position::of(sandbox), after) == Ordering::Greater);
        }
        let limit = self.limit.unwrap_or(usize::MAX);
        let more = matching.len() > limit;
        matching.truncate(limit);
        let next_token = matching.last().filter(|_| more).map(|last| Position::of(last).encode());
        Page {
            sandboxes: matching,
            next_token,
            total_running,
        }
    }

    fn selects(&self, sandbox: &ListedSandbox) -> bool {
        matches(&self.metadata, &sandbox.metadata)
            && self.started_after.is_none_or(|after| sandbox.started_at > after)
            && self.template.as_deref().is_none_or(|name| sandbox.is_of_template(name))
    }

    fn compare(&self, a: &Position, b: &Position) -> Ordering {
        let by_time = match self.order {
            Order::OldestFirst => a.started_at.cmp(&b.started_at),
            Order::NewestFirst => b.started_at.cmp(&a.started_at),
        };
        by_time.then_with(|| a.id.cmp(&b.id))
    }
}

impl Position {
    fn of(sandbox: &ListedSandbox) -> Self {
        Self {
            started_at: sandbox.started_at,
            id: sandbox.sandbox_id.clone(),
        }
    }

    fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(format!("{}__{}", self.started_at, self.id))
    }

    fn decode(token: &str) -> Result<Self, Refusal> {
        let read = || {
            let bytes = URL_SAFE_NO_PAD.decode(token.trim_end_matches('=')).ok()?;
            let text = String::from_utf8(bytes).ok()?;
            let (started_at, id) = text.split_once("__")?;
            Some(Self {
                started_at: started_at.parse().ok()?,
                id: id.to_owned(),
            })
        };
        read().ok_or_else(|| Refusal::invalid("query parameter \"nextToken\"", "it was not made by this API"))
    }
}

fn pairs(query: &str) -> impl Iterator<Item = (String, String)> {
    form_urlencoded::parse(query.as_bytes()).into_owned()
}

fn parse_state(text: &str) -> Result<Visible, Refusal> {
    match text {
        "running" => Ok(Visible::Running),
        "paused" => Ok(Visible::Paused),
        _ => Err(Refusal::invalid(
            "query parameter \"state\"",
            format!("{text:?} is neither running nor paused"),
        )),
    }
}

fn parse_order(text: &str) -> Result<Order, Refusal> {
    match text {
        "asc" => Ok(Order::OldestFirst),
        "desc" => Ok(Order::NewestFirst),
        _ => Err(Refusal::invalid(
            "query parameter \"order\"",
            format!("{text:?} is neither asc nor desc"),
        )),
    }
}

fn parse_limit(text: &str) -> Result<usize, Refusal> {
    let limit = text.parse().ok().filter(|limit| (1..=PAGE_LIMIT).contains(limit));
    let problem = || {
        Refusal::invalid(
            "query parameter \"limit\"",
            format!("{text:?} is not a number from 1 to {PAGE_LIMIT}"),
        )
    };
    limit.ok_or_else(problem)
}

#[cfg(test)]
mod tests;
