//! Where the mock is known to answer otherwise, and why.

use crate::sequence::Topic;
use libtest_mimic::Trial;
use serde::Deserialize;
use std::path::Path;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Difference {
    /// Names of sequences, `topic/sequence`.
    sequences: Vec<String>,
    /// Why they differ.
    reason: String,
}

/// The known differences.
pub struct Differences(Vec<Difference>);

/// Reads `differences.yaml`.
pub fn read(path: &Path) -> Differences {
    let text = std::fs::read_to_string(path).unwrap();
    Differences(serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

impl Differences {
    /// Why a sequence differs, if it is known to.
    pub fn reason(&self, sequence: &str) -> Option<&str> {
        let listed = self
            .0
            .iter()
            .find(|difference| difference.sequences.iter().any(|name| name == sequence));
        listed.map(|difference| difference.reason.as_str())
    }

    /// A listed sequence must exist: one that is gone would stay listed for ever.
    pub fn trials(&self, topics: &[Topic]) -> Vec<Trial> {
        let exists = |listed: &String| {
            topics.iter().any(|topic| {
                let mut names = topic.sequences.iter();
                names.any(|sequence| *listed == format!("{}/{}", topic.name, sequence.name))
            })
        };
        let names = self.0.iter().flat_map(|difference| &difference.sequences);
        let gone: Vec<String> = names.filter(|name| !exists(name)).cloned().collect();
        let trial = Trial::test("differences.yaml names sequences that exist", move || {
            if gone.is_empty() {
                Ok(())
            } else {
                Err(format!("there is no {}", gone.join(", ")).into())
            }
        });
        vec![trial]
    }
}
