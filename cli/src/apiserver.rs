//! `torpor apiserver`: the mock API server by itself, for controllers of one's own.

use std::net::Ipv4Addr;

use anyhow::Context as _;
use mock_apiserver::{Authentication, Builder, Kubeconfig, MockApiServer, Tls, User};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::args::{AccessArgs, ApiserverArgs};
use crate::exit::Exit;
use crate::signal::stop_signal;

/// Serves until Ctrl-C.
///
/// # Errors
/// The port is taken or the kubeconfig cannot be written.
pub async fn run(args: ApiserverArgs) -> anyhow::Result<Exit> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, args.port))
        .await
        .with_context(|| {
            format!(
                "listen on 127.0.0.1:{}; choose another port with --port PORT (0 takes any free one)",
                args.port
            )
        })?;
    let scheme = if args.tls { "https" } else { "http" };
    let url = Url::parse(&format!("{scheme}://{}", listener.local_addr()?))?;
    let tls = args
        .tls
        .then(|| Tls::self_signed(&["localhost", "127.0.0.1"]))
        .transpose()?;
    let admin_token = args.access.authentication.then(random_token);
    let server = open(&args, admin_token.as_deref())?;
    if let Some(path) = &args.kubeconfig {
        let mut config = Kubeconfig::new(url.as_str());
        if let Some(tls) = &tls {
            config = config.authority(tls.authority());
        }
        if let Some(token) = &admin_token {
            config = config.token(token);
        }
        std::fs::write(path, config.to_string()).with_context(|| format!("write {}", path.display()))?;
    }
    println!("Kubernetes API on {url} (Ctrl-C ends it)");
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    let asked_to_stop = stop_signal().context("listen for Ctrl-C")?;
    tokio::spawn(async move {
        asked_to_stop.await;
        stop.cancel();
    });
    match &tls {
        None => server.serve(listener, shutdown).await,
        Some(tls) => server.serve_tls(listener, tls, shutdown).await,
    }
    Ok(Exit::Success)
}

/// The server with what the data directory holds, if there is one.
fn open(args: &ApiserverArgs, admin_token: Option<&str>) -> anyhow::Result<MockApiServer> {
    let mut builder = access(
        &args.access,
        admin_token,
        args.stand_ins.apply(args.webhooks.apply(MockApiServer::builder())),
    );
    if args.control {
        builder = builder.control_endpoint();
    }
    let Some(dir) = &args.data_dir else {
        return Ok(builder.build());
    };
    let opened = builder.open(dir);
    let (server, recovery) = opened.with_context(|| format!("open the objects in {}", dir.display()))?;
    if recovery.cut_bytes > 0 {
        eprintln!(
            "cut {} bytes of a write that was never acknowledged",
            recovery.cut_bytes
        );
    }
    Ok(server)
}

fn access(args: &AccessArgs, admin_token: Option<&str>, mut builder: Builder) -> Builder {
    if args.rbac {
        builder = builder.rbac();
    }
    let Some(admin_token) = admin_token else {
        return builder;
    };
    let mut authentication = Authentication::new()
        .token(admin_token, User::admin())
        .anonymous(!args.no_anonymous);
    for owner in &args.token {
        let user = User::new(&owner.user);
        let user = owner.groups.iter().fold(user, |user, group| user.in_group(group));
        authentication = authentication.token(&owner.token, user);
    }
    builder.authentication(authentication)
}

fn random_token() -> String {
    let bits: u128 = rand::random();
    format!("{bits:032x}")
}
