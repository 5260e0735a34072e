//! Targets that are reached by HTTPS, and runs that are stopped in the middle.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up must fail")]

#[expect(dead_code, reason = "shared with tests that use more of it")]
mod stand_in;

use std::sync::Arc;

use stand_in::{Defect, KEEPS, StandIn};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use torpor_harness::scenario::{Front, Scenario};
use torpor_harness::{
    Authorities, Case, Catalogue, FoundReport, Outcome, Report, RunEvent, RunOptions, Suite, Target, run, run_one,
    verify,
};

fn scenario(id: &str, steps: &str) -> Arc<Scenario> {
    let head = format!("id: {id}\ntitle: A claim\nrequirements: [CTX-01]\ntimeout: 60s\nvia: [e2b]");
    let text = format!("{head}\nsteps:\n{steps}");
    let scenario = Scenario::parse(&format!("{id}.yaml"), &text, &Catalogue::load().unwrap());
    Arc::new(scenario.unwrap_or_else(|errors| panic!("{errors:?}")))
}

/// The stand-in behind TLS, and the certificate of who vouches for it.
async fn behind_tls(stand_in: &StandIn) -> (Target, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let pem = made.cert.pem();
    let key = made.signing_key.serialize_der().try_into().unwrap();
    let provider = tokio_rustls::rustls::crypto::ring::default_provider();
    let config = ServerConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let plain = stand_in.target.e2b.as_ref().unwrap().url.clone();
    let behind = format!("127.0.0.1:{}", plain.port().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, behind) = (acceptor.clone(), behind.clone());
            tokio::spawn(async move {
                let mut outside = acceptor.accept(stream).await?;
                let mut inside = TcpStream::connect(behind).await?;
                tokio::io::copy_bidirectional(&mut outside, &mut inside).await
            });
        }
    });
    (stand_in::target(&format!("https://localhost:{port}")), pem)
}

fn case() -> Case {
    Case {
        id: "mine".to_owned(),
        scenario: scenario("mine", KEEPS),
        front: Front::E2b,
    }
}

#[tokio::test]
async fn an_endpoint_is_judged_by_https_with_an_authority_of_ones_own() {
    let stand_in = StandIn::start(Defect::None).await;
    let (mut target, pem) = behind_tls(&stand_in).await;
    target.authorities = Authorities::from_pem(pem.as_bytes()).unwrap();
    let report = run_one(&case(), &Arc::new(target)).await;
    assert_eq!((report.result, report.reason), (Outcome::Pass, None));
}

#[tokio::test]
async fn an_endpoint_that_nobody_vouches_for_is_an_error_and_no_verdict_on_it() {
    let stand_in = StandIn::start(Defect::None).await;
    let (target, _) = behind_tls(&stand_in).await;
    let report = run_one(&case(), &Arc::new(target)).await;
    assert_eq!(report.result, Outcome::Error);
    let why = report.reason.unwrap();
    assert!(why.contains("certificate"), "{why}");
    assert_eq!(stand_in.sandboxes(), 0);
}

#[tokio::test]
async fn a_run_that_is_stopped_cleans_up_and_passes_for_nothing() {
    let stand_in = StandIn::start(Defect::None).await;
    let waits = "
  - create: {}
  - wait:
      within: 50s
      until:
        - sdk-state: {is: paused}
";
    let mut suite = Suite::embedded().unwrap();
    suite.scenarios = ["a", "b"].map(|id| (id.to_owned(), scenario(id, waits))).into();
    let options = RunOptions {
        jobs: 1,
        ..RunOptions::default()
    };
    let stop = options.stop.clone();
    let running = run(&suite, &stand_in.target, &options, |event| {
        if matches!(event, RunEvent::CaseStarted { .. }) {
            // The first case is in its first step, or will be soon.
            let (stop, world) = (stop.clone(), stand_in.watch());
            tokio::spawn(async move {
                world.first_sandbox().await;
                stop.cancel();
            });
        }
    });
    let report = running.await;
    let results: Vec<_> = report.cases.iter().map(|case| case.result).collect();
    assert_eq!(results, [Outcome::Error, Outcome::Error]);
    assert!(report.cases[0].reason.as_ref().unwrap().contains("interrupted"));
    assert_eq!((stand_in.sandboxes(), report.verdict().exit_code()), (0, 2));
    assert_eq!(
        report.notes(),
        ["the run was interrupted: 2 cases did not come to an end"]
    );
}

/// A case of what the stand-in does not claim, and one of what it does.
fn unclaimed_and_claimed() -> Suite {
    let catalogue = Catalogue::load().unwrap();
    let parsed = |id: &str, needs: &str| {
        let text = format!(
            "id: {id}\ntitle: A claim\nrequirements: [CTX-01]\nneeds: [{needs}]\nvia: [e2b]\nsteps:\n  - create: {{}}\n"
        );
        let scenario = Scenario::parse(&format!("{id}.yaml"), &text, &catalogue).unwrap();
        (id.to_owned(), Arc::new(scenario))
    };
    let mut suite = Suite::embedded().unwrap();
    suite.scenarios = [parsed("a-claimed", ""), parsed("unclaimed", "auto-pause")].into();
    suite
}

fn results(report: &Report) -> Vec<(Outcome, Option<Outcome>)> {
    report.cases.iter().map(|case| (case.result, case.tried)).collect()
}

fn findings(report: &Report, suite: &Suite) -> Vec<String> {
    let found = FoundReport::of("report.json", serde_json::to_value(report).unwrap()).unwrap();
    verify(&found, suite).findings.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn what_is_not_claimed_stays_so_when_a_run_that_tries_it_is_stopped() {
    let (stand_in, suite) = (StandIn::start(Defect::None).await, unclaimed_and_claimed());
    let options = RunOptions {
        try_unclaimed: true,
        ..RunOptions::default()
    };
    options.stop.cancel();
    let report = run(&suite, &stand_in.target, &options, |_| {}).await;
    assert_eq!(results(&report), [(Outcome::Error, None), (Outcome::NotClaimed, None)]);
    assert_eq!(findings(&report, &suite), Vec::<String>::new());
}

#[tokio::test]
async fn what_is_not_claimed_stays_so_behind_a_failure_that_ends_the_run() {
    let (mut suite, stand_in) = (unclaimed_and_claimed(), StandIn::start(Defect::ForgetsOnResume).await);
    suite
        .scenarios
        .insert("a-claimed".to_owned(), scenario("a-claimed", KEEPS));
    let options = RunOptions {
        try_unclaimed: true,
        keep_going: false,
        jobs: 1,
        ..RunOptions::default()
    };
    let report = run(&suite, &stand_in.target, &options, |_| {}).await;
    assert_eq!(results(&report), [(Outcome::Fail, None), (Outcome::NotClaimed, None)]);
    assert_eq!(findings(&report, &suite), Vec::<String>::new());
}
