//! Pages put together again, against the list they were cut from.

use std::time::Duration;

use serde_json::json;
use torpor_api::Sandbox;

use super::*;
use crate::{token::TokenKey, view::Viewer};

/// A running or paused sandbox whose run began `second` seconds into 2024.
fn listed(id: &str, second: u32, paused: bool) -> ListedSandbox {
    let time = format!("2024-01-01T00:00:{second:02}Z");
    let condition = |kind: &str| json!({ "type": kind, "status": "True", "reason": "R", "message": "", "lastTransitionTime": time });
    let (phase, kind) = if paused {
        ("Paused", "SandboxPaused")
    } else {
        ("Running", "Ready")
    };
    let object = json!({
        "apiVersion": "agents.kruise.io/v1alpha1", "kind": "Sandbox",
        "metadata": { "name": id, "annotations": { "torpor.dev/e2b-metadata": format!(r#"{{"id":"{id}"}}"#) } },
        "spec": { "paused": paused },
        "status": { "phase": phase, "conditions": [condition(kind)], "runningSince": time,
            "podInfo": { "podUID": "u", "podIP": "127.0.0.1" } },
    });
    let sandbox: Sandbox = serde_json::from_value(object).unwrap();
    let viewer = Viewer {
        tokens: &TokenKey::new([0; 32]),
        domain: None,
        max_timeout: Duration::from_hours(1),
    };
    viewer.listed(&sandbox).unwrap()
}

fn world() -> Vec<ListedSandbox> {
    vec![
        listed("ic", 2, false),
        listed("ia", 1, false),
        listed("ib", 2, true),
        listed("id", 3, true),
    ]
}

fn ids(query: &str) -> Vec<String> {
    let page = ListQuery::parse(query).unwrap().page(world().into_iter());
    page.sandboxes.into_iter().map(|sandbox| sandbox.sandbox_id).collect()
}

#[test]
fn the_newest_come_first_and_ties_go_by_id() {
    assert_eq!(ids(""), ["id", "ib", "ic", "ia"]);
    assert_eq!(ids("order=asc"), ["ia", "ib", "ic", "id"]);
}

#[test]
fn states_may_be_listed_with_commas_or_one_by_one() {
    assert_eq!(ids("state=paused"), ["id", "ib"]);
    assert_eq!(ids("state=running"), ["ic", "ia"]);
    assert_eq!(ids("state=running,paused"), ids(""));
    assert_eq!(ids("state=running&state=paused"), ids(""));
}

#[test]
fn pages_of_any_length_add_up_to_the_list() {
    for order in ["asc", "desc"] {
        for limit in 1..=5 {
            let mut seen = Vec::new();
            let mut token = String::new();
            loop {
                let query = format!("order={order}&limit={limit}&nextToken={token}");
                let page = ListQuery::parse(&query).unwrap().page(world().into_iter());
                assert!(page.sandboxes.len() <= limit);
                seen.extend(page.sandboxes.into_iter().map(|sandbox| sandbox.sandbox_id));
                let Some(next) = page.next_token else { break };
                token = next;
            }
            assert_eq!(seen, ids(&format!("order={order}")), "{order} by {limit}");
        }
    }
}

#[test]
fn the_running_ones_are_counted_across_pages_and_states() {
    let count = |query| ListQuery::parse(query).unwrap().page(world().into_iter()).total_running;
    assert_eq!(count("limit=1"), 2);
    assert_eq!(count("state=paused"), 2);
    assert_eq!(count("metadata=id%3Dia"), 1);
}

#[test]
fn metadata_and_start_select() {
    assert_eq!(ids("metadata=id%3Dib"), ["ib"]);
    assert_eq!(ids("startedAfter=2024-01-01T00:00:02Z"), ["id"]);
    assert!(ids("template=other").is_empty());
}

#[test]
fn the_older_call_lists_what_runs() {
    let page = ListQuery::running_only("metadata=id%3Dia")
        .unwrap()
        .page(world().into_iter());
    assert_eq!(page.sandboxes.len(), 1);
    assert_eq!(
        ListQuery::running_only("")
            .unwrap()
            .page(world().into_iter())
            .sandboxes
            .len(),
        2
    );
}

#[test]
fn a_parameter_that_cannot_be_read_is_named() {
    for query in [
        "state=stopped",
        "order=up",
        "limit=0",
        "limit=101",
        "limit=x",
        "nextToken=!!",
        "startedAfter=now",
    ] {
        let refusal = ListQuery::parse(query).unwrap_err();
        assert_eq!(refusal.status(), 400);
        assert!(
            refusal.to_string().contains(query.split_once('=').unwrap().0),
            "{refusal}"
        );
    }
}
