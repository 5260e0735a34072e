//! Who may do what: reviews, authentication and roles.

use crate::support::*;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::{Client, Error};
use mock_apiserver::{Authentication, MockApiServer, User};
use serde_json::{Value, json};

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
const ACCESS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";

async fn make(client: &Client, path: &str, body: Value) {
    let (code, answer) = post(client, path, &body).await;
    assert_eq!(code, 201, "{answer}");
}

/// A role of the user `u` in the namespace `default`.
async fn role_of_u(server: &MockApiServer, rules: Value) -> Client {
    let admin = server.client();
    let in_default = |plural: &str| format!("{RBAC}/namespaces/default/{plural}");
    make(
        &admin,
        &in_default("roles"),
        json!({"metadata": {"name": "r"}, "rules": rules}),
    )
    .await;
    make(&admin, &in_default("rolebindings"), binding("r", "Role", "r")).await;
    server.client_as_user(User::new("u"))
}

fn binding(name: &str, kind: &str, role: &str) -> Value {
    json!({
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "u"}],
    })
}

fn strict() -> MockApiServer {
    MockApiServer::builder().seed(1).rbac().build()
}

fn refusal(error: Error) -> (u16, String) {
    match error {
        Error::Api(status) => (status.code, status.message.clone()),
        other => panic!("not an answer of the server: {other}"),
    }
}

#[tokio::test]
async fn what_no_rule_allows_is_refused_in_the_words_of_the_real_server() {
    let server = strict();
    let client = server.client_as_user(User::new("u"));
    let pods: Api<Pod> = Api::namespaced(client.clone(), "x");
    let (code, text) = refusal(pods.list(&ListParams::default()).await.unwrap_err());
    let expected = r#"pods is forbidden: User "u" cannot list resource "pods" in API group "" in the namespace "x""#;
    assert_eq!((code, text.as_str()), (403, expected));
    let (_, text) = refusal(pods.logs("p", &kube::api::LogParams::default()).await.unwrap_err());
    let expected =
        r#"pods "p" is forbidden: User "u" cannot get resource "pods/log" in API group "" in the namespace "x""#;
    assert_eq!(text, expected);
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let (_, text) = refusal(namespaces.list(&ListParams::default()).await.unwrap_err());
    let expected =
        r#"namespaces is forbidden: User "u" cannot list resource "namespaces" in API group "" at the cluster scope"#;
    assert_eq!(text, expected);
    let (code, status) = get(&client, "/metrics").await;
    assert_eq!(code, 403);
    assert_eq!(status["message"], r#"forbidden: User "u" cannot get path "/metrics""#);
    assert_eq!(get(&client, "/api/v1").await.0, 200, "discovery is everybody's");
}

#[tokio::test]
async fn a_role_allows_its_verbs_names_and_subresources_and_no_others() {
    let server = strict();
    let rules = json!([
        {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["a"], "verbs": ["get", "list"]},
        {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
    ]);
    let client = role_of_u(&server, rules).await;
    make(&server.client(), MAPS, config_map("a")).await;
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    maps.get("a").await.unwrap();
    assert_eq!(refusal(maps.get("b").await.unwrap_err()).0, 403);
    assert_eq!(refusal(maps.list(&ListParams::default()).await.unwrap_err()).0, 403);
    let only = ListParams::default().fields("metadata.name=a");
    assert_eq!(maps.list(&only).await.unwrap().items.len(), 1);
    assert_eq!(get(&client, &format!("{PODS}/p/log")).await.0, 404);
    assert_eq!(get(&client, &format!("{PODS}/p")).await.0, 403);
}

#[tokio::test]
async fn applying_what_does_not_exist_needs_the_right_to_create() {
    let server = strict();
    let rules = json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["patch"]}]);
    let client = role_of_u(&server, rules).await;
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    let apply = || async {
        maps.patch("a", &PatchParams::apply("m"), &Patch::Apply(config_map("a")))
            .await
    };
    let (code, text) = refusal(apply().await.unwrap_err());
    assert!(code == 403 && text.contains("cannot create"), "{text}");
    make(&server.client(), MAPS, config_map("a")).await;
    let forced = PatchParams::apply("m").force();
    maps.patch("a", &forced, &Patch::Apply(config_map("a"))).await.unwrap();
}

#[tokio::test]
async fn an_aggregated_cluster_role_allows_what_the_roles_it_selects_allow() {
    let server = strict();
    let admin = server.client();
    let roles = format!("{RBAC}/clusterroles");
    let selector = json!({"matchExpressions": [{"key": "to", "operator": "In", "values": ["sum"]}]});
    let sum =
        json!({"metadata": {"name": "sum"}, "aggregationRule": {"clusterRoleSelectors": [selector]}, "rules": []});
    make(&admin, &roles, sum).await;
    make(
        &admin,
        &format!("{RBAC}/clusterrolebindings"),
        binding("sum", "ClusterRole", "sum"),
    )
    .await;
    let client = server.client_as_user(User::new("u"));
    assert_eq!(get(&client, "/api/v1/pods").await.0, 403);
    let part = json!({
        "metadata": {"name": "part", "labels": {"to": "sum"}},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}],
    });
    make(&admin, &roles, part).await;
    assert_eq!(get(&client, "/api/v1/pods").await.0, 200);
}

#[tokio::test]
async fn what_is_labelled_for_view_is_seen_by_viewers_and_editors() {
    let server = strict();
    let admin = server.client();
    post(&admin, CRDS, &widget_crd()).await;
    let part = json!({
        "metadata": {"name": "widgets-view", "labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}},
        "rules": [{"apiGroups": ["example.com"], "resources": ["widgets"], "verbs": ["get", "list", "watch"]}],
    });
    make(&admin, &format!("{RBAC}/clusterroles"), part).await;
    let bindings = format!("{RBAC}/namespaces/default/rolebindings");
    let client = server.client_as_user(User::new("u"));
    let secrets = "/api/v1/namespaces/default/secrets";
    make(&admin, &bindings, binding("v", "ClusterRole", "view")).await;
    let seen = [
        get(&client, WIDGETS).await.0,
        get(&client, PODS).await.0,
        get(&client, secrets).await.0,
    ];
    assert_eq!(seen, [200, 200, 403]);
    assert_eq!(post(&client, MAPS, &config_map("a")).await.0, 403);
    make(&admin, &bindings, binding("e", "ClusterRole", "edit")).await;
    assert_eq!(get(&client, secrets).await.0, 200);
    make(&client, MAPS, config_map("a")).await;
    assert_eq!(get(&client, &bindings).await.0, 403);
    make(&admin, &bindings, binding("a", "ClusterRole", "admin")).await;
    assert_eq!(get(&client, &bindings).await.0, 200);
}

#[tokio::test]
async fn reviews_say_what_a_request_would_meet() {
    let server = strict();
    let rules = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]);
    let client = role_of_u(&server, rules).await;
    let ask = |verb: &str| {
        let attributes = json!({"verb": verb, "resource": "pods", "namespace": "default"});
        json!({"spec": {"resourceAttributes": attributes}})
    };
    let (code, review) = post(&client, ACCESS, &ask("list")).await;
    assert_eq!(code, 201, "{review}");
    let reason = r#"RBAC: allowed by RoleBinding "r/default" of Role "r" to User "u""#;
    assert_eq!(review["status"], json!({"allowed": true, "reason": reason}));
    let (_, review) = post(&client, ACCESS, &ask("delete")).await;
    assert_eq!(review["status"]["allowed"], false);
    let of_another = json!({"spec": {"user": "u", "resourceAttributes": {"verb": "list", "resource": "pods", "namespace": "default"}}});
    let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    assert_eq!(post(&client, path, &of_another).await.0, 403);
    assert_eq!(
        post(&server.client(), path, &of_another).await.1["status"]["allowed"],
        true
    );
    let local = "/apis/authorization.k8s.io/v1/namespaces/kube-system/localsubjectaccessreviews";
    assert_eq!(post(&server.client(), local, &of_another).await.0, 422);
    let rules = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
    let (_, review) = post(&client, rules, &json!({"spec": {"namespace": "default"}})).await;
    let own = json!({"verbs": ["list"], "apiGroups": [""], "resources": ["pods"]});
    assert!(
        review["status"]["resourceRules"].as_array().unwrap().contains(&own),
        "{review}"
    );
}

/// A request from outside the process, which shows only its headers.
async fn outside(server: &MockApiServer, path: &str, headers: &[(&str, &str)]) -> (u16, Value) {
    let mut request = http::Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(http_body_util::Empty::<bytes::Bytes>::new()).unwrap();
    let response = server.call(request).await.unwrap();
    let code = response.status().as_u16();
    let bytes = http_body_util::BodyExt::collect(response.into_body()).await.unwrap();
    (code, serde_json::from_slice(&bytes.to_bytes()).unwrap())
}

#[tokio::test]
async fn a_request_from_outside_is_that_of_its_token_or_unauthorized() {
    let alice = User::new("alice").in_group("dev");
    let authentication = Authentication::new().token("s3cret", alice).anonymous(false);
    let server = MockApiServer::builder().authentication(authentication).build();
    let unauthorized = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "Unauthorized", "reason": "Unauthorized", "code": 401,
    });
    assert_eq!(outside(&server, MAPS, &[]).await, (401, unauthorized.clone()));
    let wrong = [("authorization", "Bearer wrong")];
    assert_eq!(outside(&server, MAPS, &wrong).await, (401, unauthorized));
    let right = [("authorization", "bearer s3cret")];
    assert_eq!(outside(&server, MAPS, &right).await.0, 200);
    let review = json!({"spec": {"token": "s3cret"}});
    let path = "/apis/authentication.k8s.io/v1/tokenreviews";
    let (_, review) = post(&server.client(), path, &review).await;
    let alice = json!({"username": "alice", "groups": ["dev", "system:authenticated"]});
    assert_eq!(review["status"], json!({"authenticated": true, "user": alice}));
}

#[tokio::test]
async fn nobody_in_particular_may_see_only_what_is_public() {
    let server = MockApiServer::builder()
        .authentication(Authentication::new())
        .rbac()
        .build();
    assert_eq!(outside(&server, "/version", &[]).await.0, 200);
    let (code, status) = outside(&server, MAPS, &[]).await;
    assert_eq!(code, 403);
    assert!(
        status["message"]
            .as_str()
            .unwrap()
            .contains(r#"User "system:anonymous""#),
        "{status}"
    );
}

#[tokio::test]
async fn the_token_of_a_service_account_is_worth_nothing_without_the_account() {
    let server = MockApiServer::builder()
        .authentication(Authentication::new().anonymous(false))
        .build();
    let client = server.client();
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    make(&client, accounts, json!({"metadata": {"name": "s"}})).await;
    let short = json!({"spec": {"expirationSeconds": 1}});
    assert_eq!(post(&client, &format!("{accounts}/s/token"), &short).await.0, 422);
    let (code, request) = post(&client, &format!("{accounts}/s/token"), &json!({"spec": {}})).await;
    assert_eq!(code, 201, "{request}");
    let token = request["status"]["token"].as_str().unwrap();
    let header = format!("Bearer {token}");
    assert_eq!(outside(&server, MAPS, &[("authorization", &header)]).await.0, 200);
    let forged = format!("Bearer x{token}");
    assert_eq!(outside(&server, MAPS, &[("authorization", &forged)]).await.0, 401);
    // Another account of the same name is another account.
    delete(&client, &format!("{accounts}/s"), &json!({})).await;
    make(&client, accounts, json!({"metadata": {"name": "s"}})).await;
    assert_eq!(outside(&server, MAPS, &[("authorization", &header)]).await.0, 401);
}

#[tokio::test]
async fn acting_as_somebody_else_needs_the_right_to() {
    let server = strict();
    let admin = server.client();
    let rules = json!([{"apiGroups": [""], "resources": ["users"], "resourceNames": ["v"], "verbs": ["impersonate"]}]);
    make(
        &admin,
        &format!("{RBAC}/clusterroles"),
        json!({"metadata": {"name": "i"}, "rules": rules}),
    )
    .await;
    make(
        &admin,
        &format!("{RBAC}/clusterrolebindings"),
        binding("i", "ClusterRole", "i"),
    )
    .await;
    let client = server.client_as_user(User::new("u"));
    let acting = async |headers: &[(&str, &str)]| {
        let mut request = http::Request::get(MAPS);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = client.request_text(request.body(Vec::new()).unwrap()).await;
        refusal(answer.unwrap_err()).1
    };
    let as_v = acting(&[("impersonate-user", "v")]).await;
    assert!(as_v.contains(r#"User "v" cannot list resource "configmaps""#), "{as_v}");
    let as_w = acting(&[("impersonate-user", "w")]).await;
    let expected =
        r#"users "w" is forbidden: User "u" cannot impersonate resource "users" in API group "" at the cluster scope"#;
    assert_eq!(as_w, expected);
    let masters = acting(&[("impersonate-user", "v"), ("impersonate-group", "system:masters")]).await;
    assert!(masters.contains(r#"cannot impersonate resource "groups""#), "{masters}");
}

/// A user with the rules in the whole cluster.
async fn cluster_role_of_u(server: &MockApiServer, rules: Value) -> Client {
    let admin = server.client();
    let role = json!({"metadata": {"name": "held"}, "rules": rules});
    make(&admin, &format!("{RBAC}/clusterroles"), role).await;
    let held = binding("held", "ClusterRole", "held");
    make(&admin, &format!("{RBAC}/clusterrolebindings"), held).await;
    server.client_as_user(User::new("u"))
}

fn all_of_rbac(verbs: &[&str]) -> Value {
    json!({"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["*"], "verbs": verbs})
}

#[tokio::test]
async fn nobody_grants_by_a_role_what_they_do_not_have() {
    let server = strict();
    let pods = json!({"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]});
    let client = cluster_role_of_u(&server, json!([all_of_rbac(&["create", "update", "get"]), pods])).await;
    let roles = format!("{RBAC}/namespaces/default/roles");
    let role = |verbs: Value| json!({"metadata": {"name": "new"}, "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": verbs}]});
    let (code, refused) = post(&client, &roles, &role(json!(["get", "delete"]))).await;
    assert_eq!(code, 403);
    assert_eq!(
        refused["message"],
        "roles.rbac.authorization.k8s.io \"new\" is forbidden: user \"u\" (groups=[\"system:authenticated\"]) is attempting to \
         grant RBAC permissions not currently held:\n{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"delete\"]}"
    );
    make(&client, &roles, role(json!(["get"]))).await;
    let (code, _) = put(&client, &format!("{roles}/new"), &role(json!(["delete"]))).await;
    assert_eq!(code, 403, "nor by changing one");
    let gathering = json!({
        "metadata": {"name": "gathering"}, "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}, "rules": [],
    });
    let (code, refused) = post(&client, &format!("{RBAC}/clusterroles"), &gathering).await;
    assert_eq!(code, 403);
    assert!(
        refused["message"]
            .as_str()
            .unwrap()
            .ends_with("must have cluster-admin privileges to use the aggregationRule")
    );
}

#[tokio::test]
async fn nobody_binds_a_role_that_allows_more_than_they_may() {
    let server = strict();
    let client = cluster_role_of_u(&server, json!([all_of_rbac(&["create"])])).await;
    let bindings = format!("{RBAC}/namespaces/default/rolebindings");
    let (code, refused) = post(&client, &bindings, &binding("b", "ClusterRole", "cluster-admin")).await;
    assert_eq!(code, 403);
    let text = refused["message"].as_str().unwrap();
    assert!(
        text.contains(
            "{APIGroups:[\"*\"], Resources:[\"*\"], Verbs:[\"*\"]}\n{NonResourceURLs:[\"*\"], Verbs:[\"*\"]}"
        ),
        "{text}"
    );
    let (code, refused) = post(&client, &bindings, &binding("b", "Role", "absent")).await;
    assert_eq!(
        (code, &refused["message"]),
        (404, &json!("roles.rbac.authorization.k8s.io \"absent\" not found"))
    );
}

#[tokio::test]
async fn who_may_escalate_or_bind_is_let_pass() {
    let server = strict();
    let binder = json!({
        "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles"], "resourceNames": ["view"], "verbs": ["bind"],
    });
    let rules = json!([all_of_rbac(&["create", "escalate"]), binder]);
    let client = cluster_role_of_u(&server, rules).await;
    let everything = json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]);
    let role = json!({"metadata": {"name": "all"}, "rules": everything});
    make(&client, &format!("{RBAC}/namespaces/default/roles"), role).await;
    let bindings = format!("{RBAC}/namespaces/default/rolebindings");
    make(&client, &bindings, binding("b", "ClusterRole", "view")).await;
    let (code, _) = post(&client, &bindings, &binding("c", "ClusterRole", "edit")).await;
    assert_eq!(code, 403);
}
