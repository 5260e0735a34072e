//! The mock is held to the real thing: each sequence of requests of `fixtures/parity/sequences` is answered as Kubernetes' own
//! API server for custom resources answered it.
//!
//! ```text
//!   sequences/TOPIC.yaml --> replay --> normalise --> compare with recorded/TOPIC.json, or with a live server
//! ```
//! `fixtures/parity/README.md` documents the files. `PARITY_RECORD=1` records anew (`PARITY_RECORD=TOPIC` one topic) and `PARITY_LIVE=1` compares with a server
//! that runs now; both need `.clients/parity-apiserver`. `PARITY_SHOW=1` prints the known differences. What is known to differ is in `differences.yaml`, with its reason.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod converter;
mod differences;
#[path = "../common/encode.rs"]
mod encode;
mod normalise;
mod real;
mod recorded;
mod replay;
mod sequence;

use converter::Converter;
use jiff::Timestamp;
use libtest_mimic::{Arguments, Trial};
use mock_apiserver::{Clock, MockApiServer, StandIn};
use recorded::{Outcome, Recording};
use replay::Target;
use sequence::{Sequence, Topic};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let webhook = Converter::start();
    let everywhere = [("webhook", webhook.url), ("caBundle", webhook.ca_bundle)];
    let topics = sequence::read_all(&folder().join("sequences"), &everywhere);
    let known = differences::read(&folder().join("differences.yaml"));
    if let Ok(asked) = std::env::var("PARITY_RECORD") {
        let asked = topics.iter().filter(|topic| asked == "1" || asked == topic.name);
        for (topic, recording) in real::run(asked) {
            recording.write(&path_of(&topic));
        }
    }
    let live = std::env::var_os("PARITY_LIVE").map(|_| real::run(topics.iter()));
    let mut trials = known.trials(&topics);
    for topic in topics {
        let expected = live
            .as_ref()
            .and_then(|topics| topics.get(&topic.name).cloned())
            .unwrap_or_else(|| Recording::read(&path_of(&topic.name)));
        trials.push(recorded::completeness(&topic, &expected));
        let topic = Arc::new(topic);
        for index in 0..topic.sequences.len() {
            trials.push(trial(&topic, index, &expected, &known));
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/parity")
}

fn path_of(topic: &str) -> PathBuf {
    folder().join("recorded").join(format!("{topic}.json"))
}

/// The test of one sequence: it agrees with the real server, or differs where that is known.
fn trial(topic: &Arc<Topic>, index: usize, expected: &Recording, known: &differences::Differences) -> Trial {
    let sequence = &topic.sequences[index];
    let name = format!("{}/{}", topic.name, sequence.name);
    let expected = expected.sequences.get(&sequence.name).cloned();
    let reason = known.reason(&name).map(str::to_owned);
    let topic = topic.clone();
    let shown = if reason.is_some() {
        format!("{name} (differs, as known)")
    } else {
        name
    };
    Trial::test(shown, move || {
        let expected = expected.ok_or("there is no recording; record with PARITY_RECORD=1")?;
        let difference = match on_mock(&topic, &topic.sequences[index]) {
            Ok(actual) => recorded::difference(&expected, &actual),
            Err(why) => Some(why),
        };
        match (difference, reason) {
            (None, None) => Ok(()),
            (Some(difference), Some(_)) => {
                if std::env::var_os("PARITY_SHOW").is_some() {
                    println!("--- {}\n{difference}", topic.sequences[index].name);
                }
                Ok(())
            }
            (Some(difference), None) => Err(difference.into()),
            (None, Some(reason)) => {
                Err(format!("it agrees now; take it out of differences.yaml, where it says: {reason}").into())
            }
        }
    })
}

/// Times order the owners of fields, so a second that ends within a sequence would show.
struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::constant(1_800_000_000, 0)
    }
}

/// Replays a sequence on a mock of its own.
fn on_mock(topic: &Topic, sequence: &Sequence) -> Result<Vec<Outcome>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        // The real server here has no garbage collector either.
        let server = MockApiServer::builder()
            .clock(Arc::new(Still))
            .without(StandIn::GarbageCollector)
            .control_endpoint();
        let target = Target::mock(&server.build());
        target.define(topic).await?;
        target.make_namespace(topic, sequence).await?;
        target.replay(topic, sequence).await
    })
}
