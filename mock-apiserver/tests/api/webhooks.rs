//! Admission webhooks: who is asked, what their answers do, and the words of refusals.

use crate::support::*;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::future::BoxFuture;
use kube::Client;
use mock_apiserver::{MockApiServer, WebhookCall, WebhookCaller, WebhookFailure};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

const API: &str = "/apis/admissionregistration.k8s.io/v1";

type Answer = dyn Fn(&str, &Value) -> Result<Value, WebhookFailure> + Send + Sync;

/// Webhooks inside the test: each path is one, and every call is noted.
#[derive(Clone)]
struct Webhooks {
    calls: Arc<Mutex<Vec<(String, Value)>>>,
    answer: Arc<Answer>,
}

impl WebhookCaller for Webhooks {
    fn call(&self, call: WebhookCall) -> BoxFuture<'static, Result<Value, WebhookFailure>> {
        let path = call.url.path().to_owned();
        let request = call.review["request"].clone();
        self.calls.lock().unwrap().push((path.clone(), request.clone()));
        let answer = (self.answer)(&path, &request);
        Box::pin(async move {
            let mut response = answer?;
            response["uid"] = request["uid"].clone();
            Ok(json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}))
        })
    }
}

impl Webhooks {
    fn new(answer: impl Fn(&str, &Value) -> Result<Value, WebhookFailure> + Send + Sync + 'static) -> Self {
        Self {
            calls: Arc::default(),
            answer: Arc::new(answer),
        }
    }

    fn server(&self) -> MockApiServer {
        let builder = MockApiServer::builder().seed(1);
        builder.webhook_caller(Arc::new(self.clone())).build()
    }

    /// The paths called since the last time.
    fn paths(&self) -> Vec<String> {
        self.calls.lock().unwrap().drain(..).map(|(path, _)| path).collect()
    }

    fn requests(&self) -> Vec<Value> {
        self.calls
            .lock()
            .unwrap()
            .drain(..)
            .map(|(_, request)| request)
            .collect()
    }
}

#[expect(clippy::unnecessary_wraps, reason = "an answer as webhooks give it")]
fn allowed() -> Result<Value, WebhookFailure> {
    Ok(json!({"allowed": true}))
}

#[expect(clippy::unnecessary_wraps, reason = "an answer as webhooks give it")]
fn patched(patch: &Value) -> Result<Value, WebhookFailure> {
    Ok(json!({"allowed": true, "patchType": "JSONPatch", "patch": STANDARD.encode(patch.to_string())}))
}

#[expect(clippy::unnecessary_wraps, reason = "an answer as webhooks give it")]
fn denied(status: &Value) -> Result<Value, WebhookFailure> {
    Ok(json!({"allowed": false, "status": status}))
}

/// A webhook on config maps; `more` overrides its members.
fn webhook(path: &str, more: &Value) -> Value {
    let mut webhook = json!({
        "name": format!("{path}.example.com"), "admissionReviewVersions": ["v1"], "sideEffects": "None",
        "clientConfig": {"url": format!("https://webhooks.test/{path}")},
        "rules": [{"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}],
    });
    for (member, value) in more.as_object().into_iter().flatten() {
        webhook[member] = value.clone();
    }
    webhook
}

async fn install(client: &Client, kind: &str, name: &str, webhooks: &[Value]) {
    let plural = format!("{}s", kind.to_lowercase());
    let object = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": name}, "webhooks": webhooks,
    });
    let (code, made) = post(client, &format!("{API}/{plural}"), &object).await;
    assert_eq!(code, 201, "{made}");
}

async fn mutating(client: &Client, webhooks: &[Value]) {
    install(client, "MutatingWebhookConfiguration", "mutating", webhooks).await;
}

async fn validating(client: &Client, webhooks: &[Value]) {
    install(client, "ValidatingWebhookConfiguration", "validating", webhooks).await;
}

#[tokio::test]
async fn a_webhook_may_change_what_is_stored_and_its_change_is_nobodys_field() {
    let webhooks = Webhooks::new(|_, _| patched(&json!([{"op": "add", "path": "/data/added", "value": "x"}])));
    let client = webhooks.server().client();
    mutating(&client, &[webhook("add", &json!({}))]).await;
    let (code, made) = post(&client, &format!("{MAPS}?fieldManager=me"), &config_map("a")).await;
    assert_eq!(code, 201, "{made}");
    assert_eq!(made["data"], json!({"k": "v", "added": "x"}));
    let fields = &made["metadata"]["managedFields"][0];
    assert_eq!(fields["manager"], "me");
    assert_eq!(fields["fieldsV1"]["f:data"], json!({".": {}, "f:k": {}}));
    let (_, stored) = get(&client, &format!("{MAPS}/a")).await;
    assert_eq!(stored, made);
}

#[tokio::test]
async fn what_a_webhook_makes_of_a_custom_resource_has_to_fit_its_schema() {
    let webhooks = Webhooks::new(|_, request| {
        let size = if request["object"]["metadata"]["name"] == "bad" {
            0
        } else {
            7
        };
        patched(&json!([
            {"op": "replace", "path": "/spec/size", "value": size}, {"op": "add", "path": "/spec/unknown", "value": 1},
        ]))
    });
    let client = webhooks.server().client();
    post(&client, CRDS, &widget_crd()).await;
    let rules =
        json!([{"operations": ["CREATE"], "apiGroups": ["example.com"], "apiVersions": ["v1"], "resources": ["*"]}]);
    mutating(&client, &[webhook("size", &json!({"rules": rules}))]).await;
    let (code, made) = post(&client, WIDGETS, &widget("good")).await;
    assert_eq!((code, &made["spec"]), (201, &json!({"size": 7})), "{made}");
    let (code, refused) = post(&client, WIDGETS, &widget("bad")).await;
    assert_eq!(code, 422, "{refused}");
    assert!(
        refused["message"]
            .as_str()
            .unwrap()
            .contains("spec.size in body should be greater than or equal to 1")
    );
}

#[tokio::test]
async fn a_denial_is_told_in_the_words_and_with_the_code_of_the_webhook() {
    let webhooks = Webhooks::new(|_, request| match request["operation"].as_str() {
        Some("CREATE") => denied(&json!({"message": "not today", "reason": "Forbidden", "code": 403})),
        _ => denied(&json!({"code": 200})),
    });
    let client = webhooks.server().client();
    let (_, existing) = post(&client, MAPS, &config_map("there")).await;
    validating(&client, &[webhook("no", &json!({}))]).await;
    let (code, refused) = post(&client, MAPS, &config_map("a")).await;
    assert_eq!((code, &refused["reason"]), (403, &json!("Forbidden")));
    assert_eq!(
        refused["message"],
        "admission webhook \"no.example.com\" denied the request: not today"
    );
    assert_eq!(get(&client, &format!("{MAPS}/a")).await.0, 404);
    for (code, refused) in [
        delete(&client, &format!("{MAPS}/there"), &json!({})).await,
        merge(&client, &format!("{MAPS}/there"), &json!({"data": {"k": "w"}})).await,
        delete(&client, MAPS, &json!({})).await,
    ] {
        assert_eq!(code, 400);
        assert_eq!(
            refused["message"],
            "admission webhook \"no.example.com\" denied the request without explanation"
        );
    }
    assert_eq!(get(&client, &format!("{MAPS}/there")).await.1, existing);
}

#[tokio::test]
async fn webhooks_are_told_about_each_operation() {
    let webhooks = Webhooks::new(|_, _| allowed());
    let client = webhooks.server().client();
    validating(&client, &[webhook("look", &json!({}))]).await;
    let (_, made) = post(&client, &format!("{MAPS}?fieldManager=me"), &config_map("a")).await;
    let created = webhooks.requests();
    assert_eq!(created.len(), 1);
    assert_eq!(
        created[0]["object"]["metadata"]["uid"], made["metadata"]["uid"],
        "the UID that it is stored with"
    );
    assert_eq!(created[0]["oldObject"], Value::Null);
    assert_eq!(
        (&created[0]["name"], &created[0]["namespace"], &created[0]["operation"]),
        (&json!("a"), &json!("default"), &json!("CREATE"))
    );
    assert_eq!(
        created[0]["kind"],
        json!({"group": "", "version": "v1", "kind": "ConfigMap"})
    );
    assert_eq!(
        created[0]["resource"],
        json!({"group": "", "version": "v1", "resource": "configmaps"})
    );
    assert_eq!(created[0]["userInfo"]["username"], "kubernetes-admin");
    assert_eq!(
        created[0]["options"],
        json!({"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": "me"})
    );
    let (_, changed) = merge(&client, &format!("{MAPS}/a"), &json!({"data": {"k": "w"}})).await;
    let updated = webhooks.requests();
    assert_eq!(updated[0]["object"]["data"], json!({"k": "w"}));
    assert_eq!(updated[0]["oldObject"], made);
    delete(&client, &format!("{MAPS}/a"), &json!({})).await;
    let deleted = webhooks.requests();
    assert_eq!(
        (&deleted[0]["object"], &deleted[0]["oldObject"]),
        (&Value::Null, &changed)
    );
}

#[tokio::test]
async fn a_generated_name_is_the_one_that_was_validated() {
    let webhooks = Webhooks::new(|_, _| allowed());
    let client = webhooks.server().client();
    mutating(&client, &[webhook("early", &json!({}))]).await;
    validating(&client, &[webhook("late", &json!({}))]).await;
    let object = json!({"metadata": {"generateName": "gen-"}});
    let (code, made) = post(&client, MAPS, &object).await;
    assert_eq!(code, 201, "{made}");
    let [early, late] = webhooks.requests().try_into().unwrap();
    assert_eq!(early["object"]["metadata"]["name"], Value::Null);
    assert_eq!(late["name"], made["metadata"]["name"]);
}

#[tokio::test]
async fn rules_selectors_and_conditions_choose_what_is_asked_about() {
    let webhooks = Webhooks::new(|_, _| allowed());
    let client = webhooks.server().client();
    for (name, labels) in [("picked", json!({"pick": "me"})), ("other", json!({}))] {
        let namespace = json!({"metadata": {"name": name, "labels": labels}});
        post(&client, "/api/v1/namespaces", &namespace).await;
    }
    let rule = |resources: &str, scope: &str| json!([{"operations": ["CREATE"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": [resources], "scope": scope}]);
    let picked = json!({"matchLabels": {"pick": "me"}});
    let condition = |expression: &str| json!([{"name": "c", "expression": expression}]);
    validating(
        &client,
        &[
            webhook("created", &json!({"rules": rule("configmaps", "*")})),
            webhook("cluster", &json!({"rules": rule("*", "Cluster")})),
            webhook("namespace", &json!({"namespaceSelector": picked})),
            webhook("object", &json!({"objectSelector": picked})),
            webhook(
                "condition",
                &json!({"matchConditions": condition("object.data.k == 'v' && request.name != 'b'")}),
            ),
            webhook("status", &json!({"rules": rule("configmaps/status", "*")})),
        ],
    )
    .await;
    let mut labelled = config_map("b");
    labelled["metadata"]["labels"] = json!({"pick": "me"});
    for (path, object, expected) in [
        (
            "/api/v1/namespaces/picked/configmaps",
            config_map("a"),
            "created namespace condition",
        ),
        (
            "/api/v1/namespaces/other/configmaps",
            config_map("a"),
            "created condition",
        ),
        ("/api/v1/namespaces/other/configmaps", labelled, "created object"),
        ("/api/v1/namespaces", json!({"metadata": {"name": "n"}}), "cluster"),
        (
            "/api/v1/namespaces/other/serviceaccounts",
            json!({"metadata": {"name": "s"}}),
            "",
        ),
    ] {
        assert_eq!(post(&client, path, &object).await.0, 201);
        let expected: Vec<String> = expected.split_whitespace().map(|name| format!("/{name}")).collect();
        assert_eq!(webhooks.paths(), expected, "{path}");
    }
}

#[tokio::test]
async fn a_condition_that_fails_is_a_refusal_unless_failures_are_ignored() {
    let webhooks = Webhooks::new(|_, _| allowed());
    let client = webhooks.server().client();
    let broken = json!([{"name": "broken", "expression": "object.nothing.at.all == 1"}]);
    let ignoring = webhook("ignore", &json!({"matchConditions": broken, "failurePolicy": "Ignore"}));
    validating(&client, &[ignoring]).await;
    assert_eq!(post(&client, MAPS, &config_map("a")).await.0, 201);
    assert!(webhooks.paths().is_empty());
    let failing = webhook("fail", &json!({"matchConditions": broken}));
    install(&client, "ValidatingWebhookConfiguration", "more", &[failing]).await;
    let (code, refused) = post(&client, MAPS, &config_map("b")).await;
    assert_eq!((code, &refused["reason"]), (403, &json!("Forbidden")), "{refused}");
}

#[tokio::test]
async fn mutating_webhooks_go_by_the_name_of_their_configuration_and_are_asked_again_if_they_wish() {
    let webhooks = Webhooks::new(|path, request| match path {
        // Adds once; the second time its work is done.
        "/first" if request["object"]["data"]["first"].is_null() => {
            patched(&json!([{"op": "add", "path": "/data/first", "value": "1"}]))
        }
        "/second" => patched(&json!([{"op": "add", "path": "/data/second", "value": "2"}])),
        _ => allowed(),
    });
    let client = webhooks.server().client();
    let second = webhook("second", &json!({}));
    install(&client, "MutatingWebhookConfiguration", "b", &[second]).await;
    let first = webhook("first", &json!({"reinvocationPolicy": "IfNeeded"}));
    install(&client, "MutatingWebhookConfiguration", "a", &[first]).await;
    let (_, made) = post(&client, MAPS, &config_map("x")).await;
    assert_eq!(made["data"], json!({"k": "v", "first": "1", "second": "2"}));
    let requests = webhooks.calls.lock().unwrap().clone();
    let order: Vec<&str> = requests.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(order, ["/first", "/second", "/first"]);
    assert_eq!(requests[2].1["object"]["data"]["second"], "2");
}

#[tokio::test]
async fn a_webhook_that_fails_refuses_or_lets_pass_as_its_policy_says() {
    let webhooks = Webhooks::new(|_, _| {
        Err(WebhookFailure::Unreachable {
            url: "https://webhooks.test/".to_owned(),
            why: "dial tcp: connect: connection refused".to_owned(),
        })
    });
    let client = webhooks.server().client();
    validating(&client, &[webhook("gone", &json!({"failurePolicy": "Ignore"}))]).await;
    assert_eq!(post(&client, MAPS, &config_map("a")).await.0, 201);
    mutating(&client, &[webhook("needed", &json!({}))]).await;
    let (code, refused) = post(&client, MAPS, &config_map("b")).await;
    assert_eq!((code, &refused["reason"]), (500, &json!("InternalError")));
    assert_eq!(
        refused["message"],
        "Internal error occurred: failed calling webhook \"needed.example.com\": failed to call webhook: \
         Post \"https://webhooks.test/\": dial tcp: connect: connection refused"
    );
}

#[tokio::test(start_paused = true)]
async fn a_webhook_that_does_not_answer_in_time_has_failed() {
    #[derive(Clone)]
    struct Silent;
    impl WebhookCaller for Silent {
        fn call(&self, _: WebhookCall) -> BoxFuture<'static, Result<Value, WebhookFailure>> {
            Box::pin(std::future::pending())
        }
    }
    let server = MockApiServer::builder().webhook_caller(Arc::new(Silent)).build();
    let client = server.client();
    validating(&client, &[webhook("silent", &json!({"timeoutSeconds": 3}))]).await;
    let (code, refused) = post(&client, MAPS, &config_map("a")).await;
    assert_eq!(code, 500);
    assert_eq!(
        refused["message"],
        "Internal error occurred: failed calling webhook \"silent.example.com\": failed to call webhook: \
         Post \"https://webhooks.test/silent?timeout=3s\": context deadline exceeded"
    );
}

#[tokio::test]
async fn a_webhook_is_told_of_a_dry_run() {
    let webhooks = Webhooks::new(|_, _| allowed());
    let client = webhooks.server().client();
    validating(&client, &[webhook("pure", &json!({"sideEffects": "NoneOnDryRun"}))]).await;
    let dry = format!("{MAPS}?dryRun=All");
    assert_eq!(post(&client, &dry, &config_map("a")).await.0, 201);
    assert_eq!(webhooks.requests()[0]["dryRun"], true);
}

#[tokio::test]
async fn a_configuration_that_cannot_work_is_refused_field_by_field() {
    let client = server().client();
    for (wrong, why) in [
        (
            json!({"sideEffects": "Some"}),
            "webhooks[0].sideEffects: Unsupported value: \"Some\": supported values: \"None\", \"NoneOnDryRun\"",
        ),
        (
            json!({"sideEffects": null}),
            "webhooks[0].sideEffects: Required value: must specify one of None, NoneOnDryRun",
        ),
        (
            json!({"name": "short"}),
            "webhooks[0].name: Invalid value: \"short\": should be a domain with at least three segments separated by dots",
        ),
        (
            json!({"admissionReviewVersions": []}),
            "webhooks[0].admissionReviewVersions: Required value: must specify one of v1, v1beta1",
        ),
        (
            json!({"timeoutSeconds": 31}),
            "webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds",
        ),
        (
            json!({"clientConfig": {}}),
            "webhooks[0].clientConfig: Required value: exactly one of url or service is required",
        ),
        (
            json!({"clientConfig": {"url": "http://a.test"}}),
            "'https' is the only allowed URL scheme; desired format: https://host[/path]",
        ),
        (
            json!({"matchConditions": [{"name": "c", "expression": "object."}]}),
            "webhooks[0].matchConditions[0].expression: Invalid value: \"object.\": compilation failed",
        ),
    ] {
        let object = json!({"metadata": {"name": "c"}, "webhooks": [webhook("w", &wrong)]});
        let (code, refused) = post(&client, &format!("{API}/mutatingwebhookconfigurations"), &object).await;
        assert_eq!(code, 422, "{refused}");
        assert!(refused["message"].as_str().unwrap().contains(why), "{refused}");
    }
}

#[tokio::test]
async fn subresources_are_asked_about_with_their_own_objects() {
    let webhooks = Webhooks::new(|_, _| allowed());
    let client = webhooks.server().client();
    post(&client, CRDS, &widget_crd()).await;
    let mut scaled = widget("w");
    scaled["spec"]["replicas"] = json!(1);
    post(&client, WIDGETS, &scaled).await;
    post(&client, PODS, &pod("p")).await;
    let rules = json!([{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"]}]);
    validating(&client, &[webhook("all", &json!({"rules": rules}))]).await;
    merge(
        &client,
        &format!("{WIDGETS}/w/scale"),
        &json!({"spec": {"replicas": 4}}),
    )
    .await;
    merge(
        &client,
        &format!("{WIDGETS}/w/status"),
        &json!({"status": {"ok": true}}),
    )
    .await;
    let binding = json!({"target": {"kind": "Node", "name": "n"}});
    post(&client, &format!("{PODS}/p/binding"), &binding).await;
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}});
    post(&client, &format!("{PODS}/p/eviction"), &eviction).await;
    let seen: Vec<(Value, Value, Value)> = webhooks
        .requests()
        .into_iter()
        .map(|request| {
            (
                request["subResource"].clone(),
                request["kind"]["kind"].clone(),
                request["operation"].clone(),
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            (json!("scale"), json!("Scale"), json!("UPDATE")),
            (json!("status"), json!("Widget"), json!("UPDATE")),
            (json!("binding"), json!("Binding"), json!("CREATE")),
            (json!("eviction"), json!("Eviction"), json!("CREATE")),
        ]
    );
}

/// While it looks at an object for the first time, somebody else changes it.
#[derive(Clone)]
struct Overtaken(Arc<Mutex<Option<MockApiServer>>>, Arc<Mutex<usize>>);
impl WebhookCaller for Overtaken {
    fn call(&self, call: WebhookCall) -> BoxFuture<'static, Result<Value, WebhookFailure>> {
        let (server, calls) = (self.0.lock().unwrap().clone().unwrap(), self.1.clone());
        Box::pin(async move {
            *calls.lock().unwrap() += 1;
            let request = &call.review["request"];
            if request["oldObject"]["data"]["other"].is_null() && request["object"]["data"]["other"].is_null() {
                let path = format!("{MAPS}/a");
                let faster = json!({"data": {"other": "was faster"}});
                assert_eq!(merge(&server.client(), &path, &faster).await.0, 200);
            }
            let response = json!({"uid": request["uid"], "allowed": true});
            Ok(json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}))
        })
    }
}

#[tokio::test]
async fn a_patch_is_asked_about_again_if_the_object_changed_meanwhile() {
    let slot: Arc<Mutex<Option<MockApiServer>>> = Arc::default();
    let (inner, calls) = (slot.clone(), Arc::new(Mutex::new(0)));
    let caller = Overtaken(inner, calls.clone());
    let server = MockApiServer::builder().webhook_caller(Arc::new(caller)).build();
    *slot.lock().unwrap() = Some(server.clone());
    let client = server.client();
    post(&client, MAPS, &config_map("a")).await;
    validating(&client, &[webhook("slow", &json!({}))]).await;
    let (code, patched) = merge(&client, &format!("{MAPS}/a"), &json!({"data": {"mine": "too"}})).await;
    assert_eq!(code, 200, "{patched}");
    assert_eq!(patched["data"], json!({"k": "v", "other": "was faster", "mine": "too"}));
    assert_eq!(*calls.lock().unwrap(), 3, "the patch, the faster one, the patch again");
}

#[tokio::test]
async fn webhooks_cannot_keep_anybody_from_removing_them() {
    let webhooks = Webhooks::new(|_, _| denied(&json!({})));
    let client = webhooks.server().client();
    let rules = json!([{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"]}]);
    validating(&client, &[webhook("all", &json!({"rules": rules}))]).await;
    assert_eq!(post(&client, MAPS, &config_map("a")).await.0, 400);
    let path = format!("{API}/validatingwebhookconfigurations/validating");
    assert_eq!(delete(&client, &path, &json!({})).await.0, 200);
    assert_eq!(post(&client, MAPS, &config_map("a")).await.0, 201);
}

#[tokio::test]
async fn a_service_that_is_nowhere_fails_by_name() {
    let client = server().client();
    let service = json!({"clientConfig": {"service": {"namespace": "default", "name": "hooks", "path": "/v"}}});
    validating(&client, &[webhook("lost", &service)]).await;
    let (code, refused) = post(&client, MAPS, &config_map("a")).await;
    assert_eq!(code, 500);
    assert_eq!(
        refused["message"],
        "Internal error occurred: failed calling webhook \"lost.example.com\": failed to call webhook: \
         Post \"https://hooks.default.svc:443/v?timeout=10s\": service \"hooks\" not found"
    );
}
