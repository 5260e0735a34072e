//! The real kubectl against the server over HTTP. Where kubectl is not installed every case is reported as ignored.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use libtest_mimic::{Arguments, Failed, Trial};
use mock_apiserver::{Authentication, Kubeconfig, MockApiServer, Tls, User};
use std::io::Write;
use std::process::{Command, ExitCode, Stdio};
use tokio_util::sync::CancellationToken;

const CRD: &str = r#"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: widgets, kind: Widget, shortNames: [wd], categories: [all]}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
              size: {type: integer, minimum: 1, description: how big it is}
              replicas: {type: integer}
          status: {type: object, x-kubernetes-preserve-unknown-fields: true}
    subresources:
      status: {}
      scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas}
    additionalPrinterColumns:
    - {name: Size, type: integer, jsonPath: .spec.size}
    - {name: Ready, type: string, jsonPath: '.status.conditions[?(@.type=="Ready")].status'}
    - {name: Replicas, type: integer, jsonPath: .spec.replicas, priority: 1}
    - {name: Age, type: date, jsonPath: .metadata.creationTimestamp}
"#;
const WIDGET: &str = "{apiVersion: example.com/v1, kind: Widget, metadata: {name: w}, spec: {size: 2, replicas: 1}}";
const POD: &str = "{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: [{name: a, image: img}]}}";

/// A server of its own with a kubectl that talks to it.
struct World {
    runtime: tokio::runtime::Runtime,
    stop: CancellationToken,
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        Self::of(&MockApiServer::builder().build(), None, |config| config)
    }

    /// A world around a server; `credentials` are added to its kubeconfig.
    fn of(server: &MockApiServer, tls: Option<&Tls>, credentials: impl Fn(Kubeconfig) -> Kubeconfig) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let mut config = Kubeconfig::new(&format!("{scheme}://{}", listener.local_addr().unwrap()));
        if let Some(tls) = tls {
            config = config.authority(tls.authority());
        }
        std::fs::write(folder.path().join("kubeconfig"), credentials(config).to_string()).unwrap();
        let stop = CancellationToken::new();
        let (server, tls, shutdown) = (server.clone(), tls.cloned(), stop.clone());
        runtime.spawn(async move {
            match &tls {
                None => server.serve(listener, shutdown).await,
                Some(tls) => server.serve_tls(listener, tls, shutdown).await,
            }
        });
        Self { runtime, stop, folder }
    }

    /// A world that knows widgets.
    fn with_widgets() -> Self {
        let world = Self::new();
        world.ok(&["apply", "-f", "-"], CRD);
        world.ok(
            &[
                "wait",
                "--for=condition=established",
                "crd/widgets.example.com",
                "--timeout=20s",
            ],
            "",
        );
        world
    }

    /// Runs kubectl; returns whether it succeeded, and its output with its errors.
    fn run(&self, arguments: &[&str], input: &str) -> (bool, String) {
        let mut child = Command::new("kubectl")
            .args(["--request-timeout=30s", "--cache-dir"])
            .arg(self.folder.path().join("cache"))
            .args(arguments)
            .env("KUBECONFIG", self.folder.path().join("kubeconfig"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    /// Runs kubectl, which must succeed.
    fn ok(&self, arguments: &[&str], input: &str) -> String {
        let (success, text) = self.run(arguments, input);
        assert!(success, "kubectl {}: {text}", arguments.join(" "));
        text
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
        // Open watches end with the token; nothing is waited for.
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        std::mem::replace(&mut self.runtime, runtime).shutdown_background();
    }
}

fn applying_twice_creates_and_then_changes_nothing() {
    let world = World::with_widgets();
    assert!(
        world
            .ok(&["apply", "-f", "-"], WIDGET)
            .contains("widget.example.com/w created")
    );
    assert!(
        world
            .ok(&["apply", "-f", "-"], WIDGET)
            .contains("widget.example.com/w unchanged")
    );
    assert!(
        world
            .ok(&["apply", "--server-side", "--field-manager=m", "-f", "-"], POD)
            .contains("serverside-applied")
    );
}

fn get_prints_the_columns_of_the_crd() {
    let world = World::with_widgets();
    world.ok(&["create", "-f", "-"], WIDGET);
    let condition = r#"{"status":{"conditions":[{"type":"Ready","status":"True"}]}}"#;
    world.ok(
        &[
            "patch",
            "wd",
            "w",
            "--subresource=status",
            "--type=merge",
            "-p",
            condition,
        ],
        "",
    );
    let narrow = world.ok(&["get", "wd"], "");
    let words: Vec<&str> = narrow.split_whitespace().collect();
    assert_eq!(words[..7], ["NAME", "SIZE", "READY", "AGE", "w", "2", "True"]);
    assert!(world.ok(&["get", "wd", "-o", "wide"], "").contains("REPLICAS"));
    assert!(world.ok(&["get", "all"], "").contains("widget.example.com/w"));
    world.ok(&["wait", "--for=condition=Ready", "wd/w", "--timeout=20s"], "");
}

fn create_sends_protobuf_and_is_understood() {
    let world = World::new();
    world.ok(&["create", "namespace", "n"], "");
    world.ok(&["create", "configmap", "c", "-n", "n", "--from-literal=a=b"], "");
    world.ok(&["create", "secret", "generic", "s", "--from-literal=k=v"], "");
    assert_eq!(
        world.ok(&["get", "secret", "s", "-o", "jsonpath={.data.k}"], ""),
        "dg=="
    );
    world.ok(&["create", "deployment", "d", "--image=nginx"], "");
    world.ok(&["set", "image", "deploy/d", "nginx=nginx:2"], "");
    let image = "jsonpath={.spec.template.spec.containers[0].image}";
    assert_eq!(world.ok(&["get", "deploy", "d", "-o", image], ""), "nginx:2");
    world.ok(&["delete", "namespace", "n", "--timeout=20s"], "");
}

fn labels_annotations_patches_and_scale_change_the_object() {
    let world = World::with_widgets();
    world.ok(&["create", "-f", "-"], WIDGET);
    world.ok(&["label", "wd", "w", "l=x"], "");
    world.ok(&["annotate", "wd", "w", "a=y"], "");
    world.ok(&["scale", "wd", "w", "--replicas=4"], "");
    world.ok(
        &[
            "patch",
            "wd",
            "w",
            "--type=json",
            "-p",
            r#"[{"op":"replace","path":"/spec/size","value":9}]"#,
        ],
        "",
    );
    let all = "jsonpath={.metadata.labels.l} {.metadata.annotations.a} {.spec.replicas} {.spec.size}";
    assert_eq!(world.ok(&["get", "wd", "w", "-o", all], ""), "x y 4 9");
    assert!(
        world
            .ok(&["get", "wd", "-l", "l=x", "-o", "name"], "")
            .contains("widget.example.com/w")
    );
    let (success, text) = world.run(
        &["patch", "wd", "w", "--type=merge", "-p", r#"{"spec":{"size":0}}"#],
        "",
    );
    assert!(
        !success && text.contains("should be greater than or equal to 1"),
        "{text}"
    );
}

/// kubectl checks the items of a `List` by itself, by the schemas of OpenAPI v2 in protobuf.
fn the_items_of_a_list_are_checked_by_kubectl_and_created() {
    let world = World::with_widgets();
    let list = |items: &str| format!("{{apiVersion: v1, kind: List, items: [{items}]}}");
    world.ok(&["create", "-f", "-"], &list(&format!("{POD}, {WIDGET}")));
    assert!(world.ok(&["get", "pods,widgets", "-o", "name"], "").contains("pod/p\n"));
    for (wrong, told) in [
        (POD.replace("image: img", "imagge: img"), "unknown field \"imagge\""),
        (
            POD.replace("containers: [{name: a, image: img}]", "containers: a"),
            "invalid type for",
        ),
        (WIDGET.replace("size: 2", "size: big"), "invalid type for"),
    ] {
        let (success, text) = world.run(&["create", "-f", "-"], &list(&wrong));
        assert!(!success && text.contains(told), "{text}");
    }
}

fn describe_explain_and_diff_read_what_they_need() {
    let world = World::with_widgets();
    world.ok(&["create", "-f", "-"], WIDGET);
    assert!(world.ok(&["describe", "wd", "w"], "").contains("Events:"));
    assert!(world.ok(&["explain", "wd.spec.size"], "").contains("how big it is"));
    let (same, text) = world.run(&["diff", "-f", "-"], &WIDGET.replace("size: 2", "size: 3"));
    assert!(!same && text.contains("size: 3"), "{text}");
    assert!(world.ok(&["api-resources"], "").contains("widgets"));
    assert!(world.ok(&["version"], "").contains("Server Version: v1.33"));
}

fn delete_waits_until_the_object_is_gone() {
    let world = World::with_widgets();
    world.ok(&["create", "-f", "-"], WIDGET);
    world.ok(&["create", "-f", "-"], POD);
    world.ok(&["delete", "wd", "w", "--timeout=20s"], "");
    world.ok(&["delete", "pod", "p", "--timeout=20s"], "");
    world.ok(&["delete", "crd", "widgets.example.com", "--timeout=20s"], "");
    let (found, text) = world.run(&["get", "pod", "p"], "");
    assert!(
        !found && text.contains("Error from server (NotFound): pods \"p\" not found"),
        "{text}"
    );
}

fn strict_validation_refuses_unknown_fields() {
    let world = World::with_widgets();
    let (success, text) = world.run(&["create", "-f", "-"], &WIDGET.replace("size: 2", "sise: 2"));
    assert!(!success && text.contains("unknown field \"spec.sise\""), "{text}");
}

fn a_token_is_sent_over_tls_and_roles_decide_what_it_may() {
    let authentication = Authentication::new()
        .token("s3cret", User::new("jane"))
        .anonymous(false);
    let server = MockApiServer::builder().authentication(authentication).rbac().build();
    let tls = Tls::self_signed(&["127.0.0.1"]).unwrap();
    let world = World::of(&server, Some(&tls), |config| config.token("s3cret"));
    assert!(world.ok(&["auth", "whoami"], "").contains("jane"));
    let (success, text) = world.run(&["get", "pods"], "");
    assert!(
        !success && text.contains(r#"User "jane" cannot list resource "pods""#),
        "{text}"
    );
    let (success, text) = world.run(&["get", "pods", "--token=wrong"], "");
    assert!(!success && text.contains("You must be logged in"), "{text}");
    let other = Tls::self_signed(&["127.0.0.1"]).unwrap();
    let distrusting = World::of(&server, Some(&tls), |config| {
        config.authority(other.authority()).token("s3cret")
    });
    let (success, text) = distrusting.run(&["auth", "whoami"], "");
    assert!(
        !success && text.contains("certificate signed by unknown authority"),
        "{text}"
    );
}

fn a_client_certificate_is_an_identity() {
    let authentication = Authentication::new().anonymous(false);
    let server = MockApiServer::builder().authentication(authentication).rbac().build();
    let tls = Tls::self_signed(&["127.0.0.1"]).unwrap();
    let jane = tls
        .client_certificate(&User::new("jane").in_group("developers"))
        .unwrap();
    let world = World::of(&server, Some(&tls), |config| config.client_certificate(&jane));
    let text = world.ok(&["auth", "whoami"], "");
    assert!(text.contains("jane") && text.contains("developers"), "{text}");
    let nobody = World::of(&server, Some(&tls), |config| config);
    let (success, text) = nobody.run(&["auth", "whoami"], "");
    assert!(!success, "without a certificate: {text}");
    let other = Tls::self_signed(&["127.0.0.1"]).unwrap();
    let false_proof = other.client_certificate(&User::admin()).unwrap();
    let forger = World::of(&server, Some(&tls), |config| config.client_certificate(&false_proof));
    let (success, text) = forger.run(&["auth", "whoami"], "");
    assert!(!success, "a certificate of another authority: {text}");
}

fn auth_asks_who_one_is_and_what_one_may() {
    let world = World::new();
    assert!(world.ok(&["auth", "whoami"], "").contains("kubernetes-admin"));
    assert!(world.ok(&["auth", "can-i", "delete", "pods"], "").starts_with("yes"));
    assert!(world.ok(&["auth", "can-i", "get", "/metrics"], "").starts_with("yes"));
    assert!(world.ok(&["auth", "can-i", "--list"], "").contains("*.*"));
    world.ok(&["create", "serviceaccount", "s"], "");
    let token = world.ok(&["create", "token", "s", "--duration=1h"], "");
    assert_eq!(token.trim().split('.').count(), 3, "{token}");
    let acting = [
        "auth",
        "whoami",
        "--as=u",
        "--as-group=g",
        "-o",
        "jsonpath={.status.userInfo}",
    ];
    let text = world.ok(&acting, "");
    assert!(
        text.contains(r#""username":"u""#) && text.contains(r#""groups":["g","system:authenticated"]"#),
        "{text}"
    );
}

type Case = (&'static str, fn());

const CASES: [Case; 11] = [
    (
        "applying_twice_creates_and_then_changes_nothing",
        applying_twice_creates_and_then_changes_nothing,
    ),
    ("get_prints_the_columns_of_the_crd", get_prints_the_columns_of_the_crd),
    (
        "create_sends_protobuf_and_is_understood",
        create_sends_protobuf_and_is_understood,
    ),
    (
        "labels_annotations_patches_and_scale_change_the_object",
        labels_annotations_patches_and_scale_change_the_object,
    ),
    (
        "the_items_of_a_list_are_checked_by_kubectl_and_created",
        the_items_of_a_list_are_checked_by_kubectl_and_created,
    ),
    (
        "describe_explain_and_diff_read_what_they_need",
        describe_explain_and_diff_read_what_they_need,
    ),
    (
        "delete_waits_until_the_object_is_gone",
        delete_waits_until_the_object_is_gone,
    ),
    (
        "auth_asks_who_one_is_and_what_one_may",
        auth_asks_who_one_is_and_what_one_may,
    ),
    (
        "a_token_is_sent_over_tls_and_roles_decide_what_it_may",
        a_token_is_sent_over_tls_and_roles_decide_what_it_may,
    ),
    (
        "a_client_certificate_is_an_identity",
        a_client_certificate_is_an_identity,
    ),
    (
        "strict_validation_refuses_unknown_fields",
        strict_validation_refuses_unknown_fields,
    ),
];

fn main() -> ExitCode {
    let installed = Command::new("kubectl").args(["version", "--client"]).output().is_ok();
    if !installed {
        println!("skipped: kubectl is not installed");
    }
    let trials = CASES.map(|(name, case)| {
        let run = move || {
            case();
            Ok::<(), Failed>(())
        };
        Trial::test(name, run).with_ignored_flag(!installed)
    });
    libtest_mimic::run(&Arguments::from_args(), trials.into()).exit_code()
}
