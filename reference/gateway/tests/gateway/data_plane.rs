//! Traffic through the gateway to an agent.

use std::{sync::atomic::Ordering, time::Duration};

use crate::support::{Answer, World, id};
use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use http_body_util::BodyExt;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

struct Tokens {
    id: String,
    envd: String,
    traffic: String,
}

impl Tokens {
    fn of(created: &Value) -> Self {
        let text = |field: &str| created[field].as_str().unwrap().to_owned();
        Self {
            id: id(created),
            envd: text("envdAccessToken"),
            traffic: text("trafficAccessToken"),
        }
    }

    /// A signed URL for a download.
    fn signed_download(&self) -> String {
        let text = format!("/a:read:user:{}", self.envd);
        let signature = STANDARD_NO_PAD
            .encode(Sha256::digest(text))
            .replace('+', "%2B")
            .replace('/', "%2F");
        format!("/files?path=%2Fa&username=user&signature=v1_{signature}")
    }

    /// As current SDKs address `port`.
    fn on(&self, request: RequestBuilder, port: u16) -> RequestBuilder {
        let request = request
            .header("E2b-Sandbox-Id", &self.id)
            .header("E2b-Sandbox-Port", port);
        request
            .header("X-Access-Token", &self.envd)
            .header("E2B-Traffic-Access-Token", &self.traffic)
    }
}

/// What a page of another origin gets to see of the answer to `request`: its status, and which origins may.
async fn from_a_page(request: RequestBuilder) -> (u16, Option<String>) {
    let answer = request.header("Origin", "http://app.example").send().await.unwrap();
    let origin = answer.headers().get("access-control-allow-origin");
    let origin = origin.map(|value| value.to_str().unwrap().to_owned());
    (answer.status().as_u16(), origin)
}

async fn answer(request: RequestBuilder) -> Answer {
    Answer::of(request.send().await.unwrap()).await
}

async fn sandbox(world: &World) -> Tokens {
    Tokens::of(&world.create(json!({})).await)
}

#[tokio::test]
async fn a_request_arrives_as_it_was_sent_but_for_the_key_of_the_control_plane() {
    let world = World::new().await;
    let tokens = sandbox(&world).await;
    let request = tokens.on(world.bare(Method::POST, "/files?path=%2Fa%20b&x=1"), 49983);
    let request = request
        .header("X-API-KEY", "e2b_00")
        .header("Connection", "x-mine")
        .header("X-Mine", "1");
    let echoed = answer(request.body(vec![7; 300_000])).await;
    assert_eq!(echoed.status, 200, "{}", echoed.body);
    assert_eq!(echoed.body["uri"], "/files?path=%2Fa%20b&x=1");
    assert_eq!(echoed.body["length"], 300_000);
    let names = echoed.body["headers"].as_array().unwrap();
    assert!(
        !names.contains(&json!("x-api-key")) && !names.contains(&json!("x-mine")),
        "{names:?}"
    );
}

#[tokio::test]
async fn an_answer_streams_line_by_line() {
    let world = World::new().await;
    let tokens = sandbox(&world).await;
    let mut open = tokens
        .on(world.bare(Method::POST, "/execute"), 49999)
        .send()
        .await
        .unwrap();
    // Each line is received before the agent is told to say the next.
    assert_eq!(open.chunk().await.unwrap().unwrap(), "{\"type\":\"first\"}\n");
    world.agent.say("second");
    assert_eq!(open.chunk().await.unwrap().unwrap(), "second\n");
    world.agent.finish();
    assert_eq!(open.chunk().await.unwrap(), None);
}

#[tokio::test]
async fn a_client_that_hangs_up_is_hung_up_on_inside() {
    let world = World::new().await;
    let tokens = sandbox(&world).await;
    let mut open = tokens
        .on(world.bare(Method::POST, "/execute"), 49999)
        .send()
        .await
        .unwrap();
    open.chunk().await.unwrap();
    drop(open);
    world.agent.hung_up.notified().await;
}

#[tokio::test]
async fn an_answer_in_progress_ends_with_an_error_when_its_sandbox_is_paused() {
    let world = World::new().await;
    let tokens = sandbox(&world).await;
    let mut open = tokens
        .on(world.bare(Method::POST, "/execute"), 49999)
        .send()
        .await
        .unwrap();
    open.chunk().await.unwrap();
    assert_eq!(world.pause(&tokens.id).await, 204);
    assert!(open.chunk().await.is_err());
}

#[tokio::test]
async fn the_port_of_debug_mode_finds_the_sandbox_by_either_token() {
    let world = World::new().await;
    let (one, two) = (sandbox(&world).await, sandbox(&world).await);
    for (header, token) in [
        ("X-Access-Token", &one.envd),
        ("E2B-Traffic-Access-Token", &two.traffic),
    ] {
        let found = answer(world.interpreter(Method::GET, "/contexts").header(header, token)).await;
        assert_eq!(found.status, 200, "{}", found.body);
    }
    let forged = world
        .interpreter(Method::GET, "/contexts")
        .header("X-Access-Token", "ea_iabc_00");
    assert_eq!(answer(forged).await.checked_status(), 401);
    assert_eq!(
        answer(world.interpreter(Method::GET, "/contexts"))
            .await
            .checked_status(),
        400
    );
}

#[tokio::test]
async fn a_host_name_leads_to_the_port_it_names() {
    let world = World::new().await;
    let tokens = sandbox(&world).await;
    let host = |port: u16| format!("{port}-{}.localhost", tokens.id);
    let open = world
        .bare(Method::GET, "/anything")
        .header("Host", host(49983))
        .header("X-Access-Token", &tokens.envd);
    assert_eq!(answer(open).await.status, 200);
    let closed = answer(world.bare(Method::GET, "/").header("Host", host(1))).await;
    let expected = json!({ "sandboxId": tokens.id, "message": "The sandbox is running but port is not open",
        "port": 1, "code": 502 });
    assert_eq!((closed.status, closed.body), (502, expected));
}

#[tokio::test]
async fn a_request_of_http_2_arrives_with_its_host_and_one_cookie() {
    let world = World::new().await;
    let tokens = sandbox(&world).await;
    let stream = TcpStream::connect(world.main_port()).await.unwrap();
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.unwrap();
    let host = format!("49983-{}.localhost:3000", tokens.id);
    let request = http::Request::get(format!("http://{host}/anything"))
        .header("X-Access-Token", &tokens.envd)
        .header("Cookie", "a=1")
        .header("Cookie", "b=2")
        .body(axum::body::Body::empty())
        .unwrap();
    let answer = async {
        let answer = sender.send_request(request).await.unwrap();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        serde_json::from_slice::<Value>(&body).unwrap()
    };
    let echoed = tokio::select! {
        echoed = answer => echoed,
        ended = connection => panic!("the connection ended: {ended:?}"),
    };
    assert_eq!(
        (&echoed["host"], &echoed["cookie"]),
        (&json!([host]), &json!(["a=1; b=2"]))
    );
}

#[tokio::test]
async fn tokens_of_another_sandbox_open_nothing() {
    let world = World::new().await;
    let (mine, other) = (sandbox(&world).await, sandbox(&world).await);
    let request = |token: &str| {
        let request = world
            .bare(Method::GET, "/files?path=a")
            .header("E2b-Sandbox-Id", &mine.id);
        if token.is_empty() {
            request
        } else {
            request.header("X-Access-Token", token)
        }
    };
    for token in ["", "guess", &other.envd, &mine.traffic] {
        assert_eq!(answer(request(token)).await.checked_status(), 401, "{token}");
    }
    assert_eq!(answer(request(&mine.envd)).await.status, 200);
}

#[tokio::test]
async fn what_is_the_platforms_own_is_not_there_from_outside() {
    let world = World::new().await;
    let tokens = sandbox(&world).await;
    for (path, port) in [
        ("/init", 49983),
        ("/freeze", 49983),
        ("/%66reeze", 49983),
        ("/v1/freeze", 49982),
    ] {
        let hidden = answer(tokens.on(world.bare(Method::POST, path), port)).await;
        assert_eq!(hidden.checked_status(), 404, "{path} on {port}");
    }
}

#[tokio::test]
async fn a_signed_url_needs_neither_id_nor_token() {
    let world = World::new().await;
    let (_, tokens) = (sandbox(&world).await, sandbox(&world).await);
    let path = tokens.signed_download();
    assert_eq!(answer(world.bare(Method::GET, &path)).await.status, 200);
    assert_eq!(answer(world.bare(Method::POST, &path)).await.checked_status(), 401);
    assert_eq!(
        answer(world.bare(Method::GET, &path.replace("%2Fa", "%2Fb")))
            .await
            .checked_status(),
        401
    );
}

#[tokio::test]
async fn a_page_of_any_origin_may_use_a_signed_url_and_read_why_it_is_refused() {
    let world = World::new().await;
    let tokens = sandbox(&world).await;
    let path = tokens.signed_download();
    let any = Some("*".to_owned());
    assert_eq!(from_a_page(world.bare(Method::GET, &path)).await, (200, any.clone()));
    assert_eq!(from_a_page(world.bare(Method::POST, &path)).await, (401, any.clone()));
    let wrong = world.bare(Method::GET, &path).header("E2b-Sandbox-Port", "x");
    assert_eq!(from_a_page(wrong).await, (400, any.clone()));
    let asks = |request: RequestBuilder| request.header("Access-Control-Request-Method", "POST");
    assert_eq!(
        from_a_page(asks(world.bare(Method::OPTIONS, &path))).await,
        (204, any.clone())
    );
    assert_eq!(
        from_a_page(asks(world.interpreter(Method::OPTIONS, "/execute"))).await,
        (204, any)
    );
    let asked = asks(world.bare(Method::OPTIONS, &path)).header("Origin", "http://app.example");
    let asked = asked.header("Access-Control-Request-Headers", "authorization,x-access-token");
    let permission = asked.send().await.unwrap();
    assert_eq!(
        permission.headers()["access-control-allow-headers"],
        "authorization,x-access-token"
    );
    assert!(
        permission.headers()["access-control-allow-methods"]
            .to_str()
            .unwrap()
            .contains("POST")
    );
}

#[tokio::test]
async fn what_a_page_may_do_on_other_ports_is_left_to_the_sandbox() {
    let world = World::new().await;
    let tokens = sandbox(&world).await;
    let host = format!("1-{}.localhost", tokens.id);
    let request = |method| world.bare(method, "/").header("Host", &host);
    assert_eq!(from_a_page(request(Method::GET)).await, (502, None));
    let asks = request(Method::OPTIONS).header("Access-Control-Request-Method", "GET");
    assert_eq!(from_a_page(asks).await, (502, None));
}

#[tokio::test]
async fn a_paused_or_unknown_sandbox_answers_as_not_found() {
    let world = World::new().await;
    let tokens = sandbox(&world).await;
    assert_eq!(world.pause(&tokens.id).await, 204);
    let paused = answer(tokens.on(world.bare(Method::GET, "/health"), 49983)).await;
    let expected = json!({ "sandboxId": tokens.id, "message": "The sandbox was not found", "code": 502 });
    assert_eq!((paused.status, paused.body), (502, expected));
    let unknown = world.bare(Method::GET, "/health").header("E2b-Sandbox-Id", "inowhere");
    assert_eq!(answer(unknown).await.checked_status(), 502);
}

#[tokio::test]
async fn who_saw_the_sandbox_serve_in_the_cluster_is_let_through_although_the_watch_lags() {
    let world = World::new().await;
    let tokens = sandbox(&world).await;
    assert_eq!(world.pause(&tokens.id).await, 204);
    world.lag.hold();
    world.resume_in_the_cluster(&tokens.id).await;
    let request = answer(tokens.on(world.bare(Method::GET, "/files"), 49983));
    let catches_up = async {
        world.lag.read().await;
        world.lag.release();
    };
    let (answered, ()) = tokio::time::timeout(Duration::from_secs(20), futures::future::join(request, catches_up))
        .await
        .expect("the gateway asks the cluster");
    assert_eq!(answered.status, 200, "{}", answered.body);
}

#[tokio::test]
async fn traffic_wakes_a_sandbox_that_declares_it_and_only_with_its_token() {
    let world = World::new().await;
    let fields = json!({ "autoPause": true, "autoResume": { "enabled": true }, "timeout": 20 });
    let tokens = Tokens::of(&world.create(fields).await);
    assert_eq!(world.pause(&tokens.id).await, 204);
    let stranger = world.bare(Method::GET, "/files").header("E2b-Sandbox-Id", &tokens.id);
    assert_eq!(answer(stranger).await.checked_status(), 403);
    let probe = world.bare(Method::GET, "/health").header("E2b-Sandbox-Id", &tokens.id);
    assert_eq!(answer(probe).await.checked_status(), 502);
    assert_eq!(world.faults.starts.load(Ordering::SeqCst), 1);
    let requests = (0..4).map(|_| answer(tokens.on(world.bare(Method::GET, "/files"), 49983)));
    for answer in futures::future::join_all(requests).await {
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    assert_eq!(world.faults.starts.load(Ordering::SeqCst), 2);
    assert_eq!(world.timers(&tokens.id).await, (Some(300), None));
}

#[tokio::test]
async fn metrics_are_one_sample_of_a_running_sandbox_and_none_of_a_paused_one() {
    let world = World::new().await;
    let tokens = sandbox(&world).await;
    let path = format!("/sandboxes/{}/metrics?start=1&end=2", tokens.id);
    let sample = world.get(&path).await.body;
    assert_eq!(
        (&sample[0]["cpuCount"], &sample[0]["cpuUsedPct"]),
        (&json!(2), &json!(12.35))
    );
    assert_eq!(sample[0]["memTotal"], 512 << 20);
    assert_eq!(world.pause(&tokens.id).await, 204);
    assert_eq!(world.get(&path).await.body, json!([]));
}

#[tokio::test]
async fn a_connection_may_switch_protocols_and_is_cut_by_a_pause() {
    let world = World::new().await;
    let tokens = sandbox(&world).await;
    let request = tokens.on(world.bare(Method::GET, "/switch"), 49983);
    let request = request.header("Connection", "Upgrade").header("Upgrade", "echo");
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 101);
    assert_eq!(response.headers()["upgrade"], "echo");
    let mut switched = response.upgrade().await.unwrap();
    switched.write_all(b"ping").await.unwrap();
    let mut said = [0; 4];
    switched.read_exact(&mut said).await.unwrap();
    assert_eq!(&said, b"ping");
    assert_eq!(world.pause(&tokens.id).await, 204);
    assert!(matches!(switched.read(&mut said).await, Ok(0) | Err(_)));
}
