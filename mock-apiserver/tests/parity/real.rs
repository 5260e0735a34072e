//! Kubernetes' own API server for custom resources, as `fixtures/clients/install` builds it.

use crate::recorded::Recording;
use crate::replay::Target;
use crate::sequence::Topic;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The process; its standard input closes when it is dropped, which ends it.
struct Server {
    process: Child,
    url: String,
    version: String,
}

impl Server {
    fn start() -> Self {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.clients/parity-apiserver");
        let mut process = Command::new(&program)
            .arg("-no-fsync")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!(
                    "start {} (fixtures/clients/install builds it): {error}",
                    program.display()
                )
            });
        let mut line = String::new();
        let stdout = process.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        let ["ready", url, version] = words.as_slice() else {
            panic!("the API server did not start: {line:?}");
        };
        Self {
            url: (*url).to_owned(),
            version: (*version).to_owned(),
            process,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        drop(self.process.wait());
    }
}

/// Replays all sequences on a real server, one after another, and returns its answers by topic.
pub fn run<'a>(topics: impl Iterator<Item = &'a Topic> + Clone) -> BTreeMap<String, Recording> {
    let server = Server::start();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let target = Target::real(&server.url);
        for topic in topics.clone() {
            target.define(topic).await.unwrap();
        }
        let mut recordings = BTreeMap::new();
        for topic in topics {
            let mut recording = Recording {
                server: server.version.clone(),
                ..Recording::default()
            };
            for sequence in &topic.sequences {
                let outcomes = target.replay(topic, sequence).await;
                match outcomes {
                    Ok(outcomes) => drop(recording.sequences.insert(sequence.name.clone(), outcomes)),
                    // Its test fails for want of a recording.
                    Err(why) => eprintln!("{}/{}: {why}", topic.name, sequence.name),
                }
                target.clean(topic, sequence).await.unwrap();
            }
            recordings.insert(topic.name.clone(), recording);
        }
        recordings
    })
}
