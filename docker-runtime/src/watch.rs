//! Follows how far a container is: by its agent's own word, and by Docker's when it ends.

use std::net::IpAddr;
use std::time::Duration;

use bollard::Docker;
use bollard::query_parameters::{LogsOptions, WaitContainerOptions};
use futures::StreamExt;
use http_body_util::{BodyExt, Limited};
use mock_node::{ContainerStage, said_in};
use reqwest::redirect::Policy;
use reqwest::{Body, Client};
use tokio::sync::watch;
use torpor_api::{AgentState, STATE_PATH, port};

/// How often an agent is asked while it starts, and afterwards.
const STARTING: Duration = Duration::from_millis(20);
const STARTED: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of an answer that are read: whoever is in the container could send without end.
const ANSWER_LIMIT: usize = 1 << 20;

/// Publishes each change of the stage until the container has ended.
pub(crate) async fn follow_stage(docker: Docker, id: String, address: IpAddr, stage: watch::Sender<ContainerStage>) {
    let mut ends = Box::pin(docker.wait_container(&id, None::<WaitContainerOptions>));
    let asking = ask(address, &stage);
    let message = tokio::select! {
        ended = ends.next() => match ended {
            Some(Ok(end)) => format!("the container ended with status {}", end.status_code),
            Some(Err(error)) => format!("the container ended: {error}"),
            None => "the container ended".to_owned(),
        },
        () = asking => return,
    };
    stage.send_replace(ContainerStage::Ended { message });
}

/// Passes on what the agent of a Pod says of itself, to standard error as agents in processes do, until the container has ended.
pub(crate) async fn pass_on_words(docker: Docker, id: String, pod: String) {
    let options = LogsOptions {
        follow: true,
        stderr: true,
        ..LogsOptions::default()
    };
    let mut words = docker.logs(&id, Some(options));
    // Docker cuts long lines.
    let mut begun = Vec::new();
    while let Some(said) = words.next().await {
        match said {
            Ok(said) => begun.extend_from_slice(&said.into_bytes()),
            Err(error) => {
                tracing::debug!(%error, id, "read what an agent says");
                break;
            }
        }
        while let Some(end) = begun.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = begun.drain(..=end).collect();
            eprintln!("{}", said_in(&pod, String::from_utf8_lossy(&line[..end]).trim_end()));
        }
    }
    if !begun.is_empty() {
        eprintln!("{}", said_in(&pod, &String::from_utf8_lossy(&begun)));
    }
}

/// Asks the agent for ever.
async fn ask(address: IpAddr, stage: &watch::Sender<ContainerStage>) {
    // Past any proxy of the environment, as a container's address is none that a proxy reaches; and nowhere else.
    let client = Client::builder().no_proxy().redirect(Policy::none());
    let Ok(client) = client.build() else {
        tracing::error!(%address, "make an HTTP client for an agent");
        return std::future::pending().await;
    };
    let url = format!("http://{address}:{}{STATE_PATH}", port::CONTROL);
    loop {
        // An agent that does not answer yet is starting; one that is busy will answer later.
        if let Some(reported) = reported(&client, &url).await {
            let now = ContainerStage::of(&reported.workload);
            stage.send_if_modified(|before| std::mem::replace(before, now.clone()) != now);
        }
        let pause = if *stage.borrow() == ContainerStage::Starting {
            STARTING
        } else {
            STARTED
        };
        tokio::time::sleep(pause).await;
    }
}

/// What an agent says of itself, if it says anything of use.
async fn reported(client: &Client, url: &str) -> Option<AgentState> {
    let answer = client.get(url).timeout(PATIENCE).send().await.ok()?;
    let answer = Limited::new(Body::from(answer), ANSWER_LIMIT).collect().await.ok()?;
    serde_json::from_slice(&answer.to_bytes()).ok()
}
