//! What a durable server still has after it ended at any moment.

use crate::support::*;
use mock_apiserver::MockApiServer;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// A write to one of a few config maps.
#[derive(Debug, Clone)]
enum Write {
    Create(u8),
    Change(u8, u16),
    Delete(u8),
}

fn writes() -> impl Strategy<Value = Write> {
    prop_oneof![
        (0..3_u8).prop_map(Write::Create),
        (0..3_u8, any::<u16>()).prop_map(|(name, value)| Write::Change(name, value)),
        (0..3_u8).prop_map(Write::Delete),
    ]
}

fn opened(dir: &Path) -> MockApiServer {
    MockApiServer::builder().seed(1).open(dir).unwrap().0
}

fn state(server: &MockApiServer) -> Vec<Value> {
    server.snapshot().objects().cloned().collect()
}

/// Carries out the writes; the state after each that was acknowledged, and the length of the journal then.
async fn acknowledged(dir: &Path, writes: &[Write]) -> Vec<(u64, Vec<Value>)> {
    let server = opened(dir);
    let client = server.client();
    let journal = dir.join("journal.jsonl");
    let mut states = vec![(0, state(&server))];
    for write in writes {
        let (code, _) = match write {
            Write::Create(name) => post(&client, MAPS, &config_map(&format!("m{name}"))).await,
            Write::Change(name, value) => {
                let change = json!({"data": {"k": value.to_string()}});
                merge(&client, &format!("{MAPS}/m{name}"), &change).await
            }
            Write::Delete(name) => delete(&client, &format!("{MAPS}/m{name}"), &json!({})).await,
        };
        if code < 300 {
            states.push((fs::metadata(&journal).unwrap().len(), state(&server)));
        }
    }
    states
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// The model: the states that were seen from outside, and how much was on disk at each.
    #[test]
    fn a_server_that_ended_within_any_byte_has_exactly_the_writes_before_it(
        writes in prop::collection::vec(writes(), 1..10),
        cut in any::<prop::sample::Index>(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        // The first start furnishes the cluster; the journal of the second begins empty.
        drop(opened(dir.path()));
        let states = crate::block_on(acknowledged(dir.path(), &writes));
        let journal = dir.path().join("journal.jsonl");
        let whole = fs::read(&journal).unwrap();
        let cut = cut.index(whole.len() + 1);
        fs::write(&journal, &whole[..cut]).unwrap();
        let (_, expected) = states.iter().rev().find(|(length, _)| *length <= cut as u64).unwrap();
        prop_assert_eq!(&state(&opened(dir.path())), expected);
    }
}
