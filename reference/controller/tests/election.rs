//! Elections on a whole API server, in virtual time.

#![expect(clippy::expect_used, reason = "a test ends where something it needs is missing")]

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use mock_apiserver::{MockApiServer, Verdict};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use torpor_controller::{Election, Ended, Fence, LeaseTerms};

/// A candidate whose work is to wait for its end.
struct Candidate {
    fence: Fence,
    shutdown: CancellationToken,
    ended: JoinHandle<Ended>,
}

fn candidate(server: &MockApiServer, identity: &str) -> Candidate {
    let client = server.client_as(identity);
    let epoch = Instant::now();
    let clock = Arc::new(move || Timestamp::UNIX_EPOCH + epoch.elapsed());
    let election = Election::new(
        &client,
        ("default", "torpor-controller"),
        identity.to_owned(),
        LeaseTerms::default(),
        clock,
    );
    let (fence, shutdown) = (election.fence(), CancellationToken::new());
    let work = shutdown.clone().cancelled_owned();
    let ended = tokio::spawn(election.lead(work, shutdown.clone()));
    Candidate { fence, shutdown, ended }
}

fn leads(candidate: &Candidate) -> bool {
    candidate.fence.check().is_ok()
}

async fn until(mut condition: impl FnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < Duration::from_mins(5), "it never comes");
        sleep(Duration::from_millis(100)).await;
    }
    began.elapsed()
}

async fn holder(server: &MockApiServer) -> Option<String> {
    let leases: Api<Lease> = Api::namespaced(server.client(), "default");
    let lease = leases.get("torpor-controller").await.expect("a lease");
    lease.spec?.holder_identity
}

#[tokio::test(start_paused = true)]
async fn one_leads_and_hands_over_at_once_when_it_is_told_to_end() {
    let server = MockApiServer::builder().build();
    let first = candidate(&server, "first");
    until(|| leads(&first)).await;
    let second = candidate(&server, "second");
    sleep(Duration::from_mins(10)).await;
    assert!(leads(&first) && !leads(&second), "the first renews in time");
    first.shutdown.cancel();
    assert_eq!(first.ended.await.expect("it ends"), Ended::AsAsked);
    assert_eq!(holder(&server).await.as_deref(), Some(""), "the lease is released");
    let waited = until(|| leads(&second)).await;
    assert!(
        waited <= Duration::from_secs(3),
        "it need not wait for the lease to run out: {waited:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_cannot_renew_has_stopped_writing_before_another_leads() {
    let server = MockApiServer::builder().build();
    let first = candidate(&server, "first");
    until(|| leads(&first)).await;
    let second = candidate(&server, "second");
    sleep(Duration::from_secs(31)).await;
    let _cut_off = server.inject(|request| match request.user_agent.as_str() {
        "first" => Verdict::LoseRequest,
        _ => Verdict::Pass,
    });
    until(|| {
        assert!(!(leads(&first) && leads(&second)), "two lead at once");
        leads(&second)
    })
    .await;
    assert_eq!(first.ended.await.expect("it ends"), Ended::Lost);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_whose_answer_is_lost_does_not_end_leadership() {
    let server = MockApiServer::builder().build();
    let first = candidate(&server, "first");
    until(|| leads(&first)).await;
    let lost = server.inject(|request| match request.verb {
        "update" => Verdict::LoseAnswer,
        _ => Verdict::Pass,
    });
    sleep(Duration::from_secs(5)).await;
    drop(lost);
    let still_leads = sleep(Duration::from_mins(1));
    tokio::pin!(still_leads);
    assert!(leads(&first) && !first.ended.is_finished());
    still_leads.await;
    assert!(leads(&first));
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_was_deleted_is_made_again_by_its_leader() {
    let server = MockApiServer::builder().build();
    let first = candidate(&server, "first");
    until(|| leads(&first)).await;
    let leases: Api<Lease> = Api::namespaced(server.client(), "default");
    leases
        .delete("torpor-controller", &kube::api::DeleteParams::default())
        .await
        .expect("deleted");
    sleep(Duration::from_mins(1)).await;
    assert!(leads(&first));
    assert_eq!(holder(&server).await.as_deref(), Some("first"));
}

#[tokio::test(start_paused = true)]
async fn a_candidate_that_is_told_to_end_leaves_without_having_led() {
    let server = MockApiServer::builder().build();
    let first = candidate(&server, "first");
    until(|| leads(&first)).await;
    let second = candidate(&server, "second");
    second.shutdown.cancel();
    assert_eq!(second.ended.await.expect("it ends"), Ended::AsAsked);
    assert_eq!(holder(&server).await.as_deref(), Some("first"));
}
