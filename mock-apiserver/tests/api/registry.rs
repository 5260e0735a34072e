//! What the verbs do to objects, and the texts that clients match on.

use crate::support::*;
use serde_json::{Value, json};

fn version(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_created_object_has_an_identity_and_a_second_create_conflicts() {
    let client = server().client();
    let (code, made) = post(&client, MAPS, &config_map("a")).await;
    assert_eq!(code, 201);
    assert!(made["metadata"]["uid"].is_string() && made["metadata"]["creationTimestamp"].is_string());
    assert_eq!(made["metadata"]["namespace"], "default");
    let (code, refused) = post(&client, MAPS, &config_map("a")).await;
    assert_eq!((code, &refused["reason"]), (409, &json!("AlreadyExists")));
    assert_eq!(refused["message"], "configmaps \"a\" already exists");
}

#[tokio::test]
async fn an_absent_object_is_not_found_with_details() {
    let client = server().client();
    let (code, refused) = get(&client, "/apis/apps/v1/namespaces/default/deployments/x").await;
    assert_eq!(code, 404);
    assert_eq!(refused["message"], "deployments.apps \"x\" not found");
    assert_eq!(
        refused["details"],
        json!({"name": "x", "group": "apps", "kind": "deployments"})
    );
}

#[tokio::test]
async fn a_stale_update_conflicts_with_the_text_that_clients_know() {
    let client = server().client();
    let (_, first) = post(&client, MAPS, &config_map("a")).await;
    let mut second = first.clone();
    second["data"] = json!({"k": "w"});
    assert_eq!(put(&client, &format!("{MAPS}/a"), &second).await.0, 200);
    let (code, refused) = put(&client, &format!("{MAPS}/a"), &first).await;
    assert_eq!((code, &refused["reason"]), (409, &json!("Conflict")));
    assert_eq!(
        refused["message"],
        "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your changes to the latest version and try again"
    );
}

#[tokio::test]
async fn a_write_that_changes_nothing_keeps_the_revision() {
    let server = server();
    let client = server.client();
    let (_, made) = post(&client, MAPS, &config_map("a")).await;
    let before = server.revision();
    let (_, same) = put(&client, &format!("{MAPS}/a"), &made).await;
    let (_, patched) = merge(&client, &format!("{MAPS}/a"), &json!({"data": {"k": "v"}})).await;
    assert_eq!(
        (version(&same), version(&patched), server.revision()),
        (version(&made), version(&made), before)
    );
}

#[tokio::test]
async fn a_dry_run_answers_but_stores_nothing() {
    let server = server();
    let client = server.client();
    let before = server.revision();
    let (code, _) = post(&client, &format!("{MAPS}?dryRun=All"), &config_map("a")).await;
    assert_eq!((code, server.revision()), (201, before));
    assert_eq!(get(&client, &format!("{MAPS}/a")).await.0, 404);
    assert_eq!(
        post(&client, &format!("{MAPS}?dryRun=Some"), &config_map("a")).await.0,
        422
    );
}

#[tokio::test]
async fn status_and_spec_are_written_apart_and_only_the_spec_raises_the_generation() {
    let client = server().client();
    post(&client, CRDS, &widget_crd()).await;
    let mut sent = widget("w");
    sent["status"] = json!({"replicas": 9});
    let (_, made) = post(&client, WIDGETS, &sent).await;
    assert_eq!((made.get("status"), &made["metadata"]["generation"]), (None, &json!(1)));

    let path = format!("{WIDGETS}/w");
    let both = json!({"spec": {"size": 5}, "status": {"replicas": 1}});
    let (_, status) = merge(&client, &format!("{path}/status"), &both).await;
    assert_eq!(
        (&status["spec"]["size"], &status["status"]["replicas"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(status["metadata"]["generation"], 1);
    let (_, main) = merge(&client, &path, &json!({"spec": {"size": 5}, "status": {"replicas": 7}})).await;
    assert_eq!(
        (&main["spec"]["size"], &main["status"]["replicas"]),
        (&json!(5), &json!(1))
    );
    assert_eq!(main["metadata"]["generation"], 2);
}

#[tokio::test]
async fn a_custom_resource_update_needs_the_resource_version() {
    let client = server().client();
    post(&client, CRDS, &widget_crd()).await;
    post(&client, WIDGETS, &widget("w")).await;
    let (code, refused) = put(&client, &format!("{WIDGETS}/w"), &widget("w")).await;
    assert_eq!(code, 422);
    assert_eq!(
        refused["message"],
        "widgets.example.com \"w\" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an update"
    );
}

#[tokio::test]
async fn finalizers_hold_an_object_until_the_last_one_goes() {
    let client = server().client();
    let mut object = config_map("a");
    object["metadata"]["finalizers"] = json!(["example.com/hold"]);
    post(&client, MAPS, &object).await;
    let path = format!("{MAPS}/a");
    let (code, marked) = delete(&client, &path, &json!({})).await;
    assert_eq!(code, 200);
    assert!(marked["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 0);
    let more = json!({"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}});
    let (code, refused) = merge(&client, &path, &more).await;
    assert_eq!(code, 422);
    assert!(refused["message"].as_str().unwrap().contains("Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{\"example.com/more\"}"));
    assert_eq!(
        merge(&client, &path, &json!({"metadata": {"finalizers": null}}))
            .await
            .0,
        200
    );
    assert_eq!(get(&client, &path).await.0, 404);
}

#[tokio::test]
async fn deletion_preconditions_are_checked() {
    let client = server().client();
    post(&client, MAPS, &config_map("a")).await;
    let options = json!({"preconditions": {"uid": "other"}});
    let (code, refused) = delete(&client, &format!("{MAPS}/a"), &options).await;
    assert_eq!(code, 409);
    assert!(
        refused["message"]
            .as_str()
            .unwrap()
            .contains("the UID in the precondition (other) does not match the UID in record (")
    );
    let (code, done) = delete(&client, &format!("{MAPS}/a"), &json!({})).await;
    assert_eq!(
        (code, &done["status"], &done["details"]["kind"]),
        (200, &json!("Success"), &json!("configmaps"))
    );
}

#[tokio::test]
async fn an_unscheduled_pod_goes_at_once_and_a_scheduled_one_after_its_grace_period() {
    let client = server().client();
    post(&client, PODS, &pod("free")).await;
    delete(&client, &format!("{PODS}/free"), &json!({})).await;
    assert_eq!(get(&client, &format!("{PODS}/free")).await.0, 404);

    post(&client, PODS, &pod("held")).await;
    let path = format!("{PODS}/held");
    let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "held"}, "target": {"kind": "Node", "name": "n"}});
    assert_eq!(post(&client, &format!("{path}/binding"), &binding).await.0, 201);
    let (_, marked) = delete(&client, &path, &json!({})).await;
    assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 30);
    let (_, shorter) = delete(&client, &path, &json!({"gracePeriodSeconds": 5})).await;
    assert_eq!(shorter["metadata"]["deletionGracePeriodSeconds"], 5);
    let (_, longer) = delete(&client, &path, &json!({"gracePeriodSeconds": 50})).await;
    assert_eq!(longer["metadata"]["deletionGracePeriodSeconds"], 5);
    delete(&client, &path, &json!({"gracePeriodSeconds": 0})).await;
    assert_eq!(get(&client, &path).await.0, 404);
}

#[tokio::test]
async fn generated_names_have_five_letters_and_bad_names_are_refused() {
    let client = server().client();
    let generate = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "x-"}});
    let (_, made) = post(&client, MAPS, &generate).await;
    assert_eq!(made["metadata"]["name"].as_str().unwrap().len(), 7);
    let (code, refused) = post(&client, MAPS, &config_map("Bad")).await;
    assert_eq!(
        (code, &refused["details"]["causes"][0]["field"]),
        (422, &json!("metadata.name"))
    );
    let (code, refused) = post(
        &client,
        MAPS,
        &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}}),
    )
    .await;
    assert_eq!(code, 422);
    assert!(
        refused["message"]
            .as_str()
            .unwrap()
            .ends_with("metadata.name: Required value: name or generateName is required")
    );
}

#[tokio::test]
async fn json_patches_apply_and_a_failed_test_changes_nothing() {
    let client = server().client();
    post(&client, MAPS, &config_map("a")).await;
    let path = format!("{MAPS}/a");
    let operations =
        json!([{"op": "test", "path": "/data/k", "value": "v"}, {"op": "add", "path": "/data/l", "value": "w"}]);
    let attempt = |body: Value| send_json_patch(&client, &path, body);
    assert_eq!(attempt(operations).await.1["data"], json!({"k": "v", "l": "w"}));
    let (code, refused) = attempt(json!([{"op": "test", "path": "/data/k", "value": "x"}])).await;
    assert_eq!((code, &refused["reason"]), (422, &json!("Invalid")));
    assert_eq!(attempt(json!([{"op": "nonsense"}])).await.0, 422);
}

async fn send_json_patch(client: &kube::Client, path: &str, body: Value) -> (u16, Value) {
    send(
        client,
        "PATCH",
        path,
        "application/json-patch+json",
        body.to_string().as_bytes(),
    )
    .await
}

#[tokio::test]
async fn the_finalizer_of_kube_rs_is_added_to_an_object_without_any_and_taken_off_by_the_clean_up() {
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::runtime::controller::Action;
    use kube::runtime::finalizer::{Error, Event, finalizer};
    let client = server().client();
    post(&client, MAPS, &config_map("a")).await;
    let maps: kube::Api<ConfigMap> = kube::Api::default_namespaced(client.clone());
    let reconcile = || async {
        let map = maps.get("a").await.unwrap().into();
        let outcome = finalizer(&maps, "example.com/clean", map, |event| async move {
            match event {
                Event::Apply(_) | Event::Cleanup(_) => Ok::<_, Error<std::io::Error>>(Action::await_change()),
            }
        });
        outcome.await.map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(reconcile().await, Ok(()));
    let path = format!("{MAPS}/a");
    let (_, held) = get(&client, &path).await;
    assert_eq!(held["metadata"]["finalizers"], json!(["example.com/clean"]));
    delete(&client, &path, &json!({})).await;
    assert_eq!(reconcile().await, Ok(()));
    assert_eq!(get(&client, &path).await.0, 404);
}

#[tokio::test]
async fn malformed_requests_get_the_status_that_names_their_fault() {
    let client = server().client();
    assert_eq!(send(&client, "POST", MAPS, "application/json", b"{").await.0, 400);
    assert_eq!(send(&client, "POST", MAPS, "application/yaml", b"a: [").await.0, 400);
    assert_eq!(send(&client, "POST", MAPS, "text/csv", b"a").await.0, 415);
    assert_eq!(
        send(&client, "POST", MAPS, "application/json", &vec![b' '; 4 << 20])
            .await
            .0,
        413
    );
    assert_eq!(post(&client, &format!("{MAPS}/a"), &config_map("a")).await.0, 405);
    assert_eq!(get(&client, "/apis/nothing.example/v1/things").await.0, 404);
    assert_eq!(get(&client, &format!("{MAPS}?labelSelector=a%20b")).await.0, 400);
    assert_eq!(get(&client, &format!("{MAPS}?fieldSelector=spec.x%3D1")).await.0, 400);
    let (code, refused) = post(&client, MAPS, &pod("a")).await;
    assert_eq!(code, 400);
    assert_eq!(
        refused["message"],
        "the kind in the data (Pod) does not match the expected kind (ConfigMap)"
    );
}

#[tokio::test]
async fn a_namespace_empties_itself_and_refuses_new_content_while_it_does() {
    let client = server().client();
    post(
        &client,
        "/api/v1/namespaces",
        &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}),
    )
    .await;
    let (code, refused) = post(&client, "/api/v1/namespaces/absent/configmaps", &config_map("a")).await;
    assert_eq!(
        (code, &refused["message"]),
        (404, &json!("namespaces \"absent\" not found"))
    );
    let mut held = config_map("held");
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    post(&client, "/api/v1/namespaces/n/configmaps", &held).await;
    post(&client, "/api/v1/namespaces/n/configmaps", &config_map("loose")).await;
    let (_, leaving) = delete(&client, "/api/v1/namespaces/n", &json!({})).await;
    assert_eq!(leaving["status"]["phase"], "Terminating");
    assert_eq!(get(&client, "/api/v1/namespaces/n/configmaps/loose").await.0, 404);
    let (code, refused) = post(&client, "/api/v1/namespaces/n/configmaps", &config_map("new")).await;
    assert_eq!(
        (code, &refused["details"]["causes"][0]["reason"]),
        (403, &json!("NamespaceTerminating"))
    );
    merge(
        &client,
        "/api/v1/namespaces/n/configmaps/held",
        &json!({"metadata": {"finalizers": null}}),
    )
    .await;
    assert_eq!(get(&client, "/api/v1/namespaces/n").await.0, 404);
    assert_eq!(delete(&client, "/api/v1/namespaces/default", &json!({})).await.0, 403);
}

fn owned(name: &str, owner: &Value, block: bool) -> Value {
    let mut object = config_map(name);
    object["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "v1", "kind": "ConfigMap", "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"],
        "blockOwnerDeletion": block,
    }]);
    object
}

#[tokio::test]
async fn dependents_follow_their_owner_in_each_propagation_policy() {
    for (policy, dependent_left) in [("Background", false), ("Foreground", false), ("Orphan", true)] {
        let client = server().client();
        let (_, owner) = post(&client, MAPS, &config_map("owner")).await;
        let (_, child) = post(&client, MAPS, &owned("child", &owner, true)).await;
        post(&client, MAPS, &owned("grandchild", &child, true)).await;
        delete(&client, &format!("{MAPS}/owner"), &json!({"propagationPolicy": policy})).await;
        assert_eq!(get(&client, &format!("{MAPS}/owner")).await.0, 404, "{policy}");
        let (code, child) = get(&client, &format!("{MAPS}/child")).await;
        assert_eq!(code == 200, dependent_left, "{policy}");
        assert!(child["metadata"].get("ownerReferences").is_none());
        assert_eq!(
            get(&client, &format!("{MAPS}/grandchild")).await.0 == 200,
            dependent_left,
            "{policy}"
        );
    }
}

#[tokio::test]
async fn dependents_are_orphaned_by_the_older_option_in_the_query() {
    let client = server().client();
    let (_, owner) = post(&client, MAPS, &config_map("owner")).await;
    post(&client, MAPS, &owned("child", &owner, true)).await;
    let path = format!("{MAPS}/owner?orphanDependents=true");
    assert_eq!(send(&client, "DELETE", &path, "", &[]).await.0, 200);
    assert_eq!(get(&client, &format!("{MAPS}/owner")).await.0, 404);
    let (code, child) = get(&client, &format!("{MAPS}/child")).await;
    assert_eq!((code, child["metadata"].get("ownerReferences")), (200, None));
}

#[tokio::test]
async fn a_foreground_deletion_waits_for_a_dependent_that_is_held() {
    let client = server().client();
    let (_, owner) = post(&client, MAPS, &config_map("owner")).await;
    let mut child = owned("child", &owner, true);
    child["metadata"]["finalizers"] = json!(["example.com/hold"]);
    post(&client, MAPS, &child).await;
    delete(
        &client,
        &format!("{MAPS}/owner"),
        &json!({"propagationPolicy": "Foreground"}),
    )
    .await;
    let (_, waiting) = get(&client, &format!("{MAPS}/owner")).await;
    assert_eq!(waiting["metadata"]["finalizers"], json!(["foregroundDeletion"]));
    merge(
        &client,
        &format!("{MAPS}/child"),
        &json!({"metadata": {"finalizers": null}}),
    )
    .await;
    assert_eq!(get(&client, &format!("{MAPS}/owner")).await.0, 404);
}

/// An owner that is deleted in the foreground while a held child blocks it.
async fn waiting_owner(client: &kube::Client) {
    let (_, owner) = post(client, MAPS, &config_map("owner")).await;
    let mut child = owned("child", &owner, true);
    child["metadata"]["finalizers"] = json!(["example.com/hold"]);
    post(client, MAPS, &child).await;
    let in_foreground = json!({"propagationPolicy": "Foreground"});
    delete(client, &format!("{MAPS}/owner"), &in_foreground).await;
    assert_eq!(get(client, &format!("{MAPS}/owner")).await.0, 200);
}

#[tokio::test]
async fn a_foreground_deletion_does_not_wait_for_a_dependent_that_another_owner_keeps() {
    let client = server().client();
    let (_, owner) = post(&client, MAPS, &config_map("owner")).await;
    let (_, other) = post(&client, MAPS, &config_map("other")).await;
    let mut child = owned("child", &owner, true);
    let both = [&child, &owned("child", &other, true)].map(|it| it["metadata"]["ownerReferences"][0].clone());
    child["metadata"]["ownerReferences"] = json!(both);
    post(&client, MAPS, &child).await;
    let in_foreground = json!({"propagationPolicy": "Foreground"});
    delete(&client, &format!("{MAPS}/owner"), &in_foreground).await;
    assert_eq!(get(&client, &format!("{MAPS}/owner")).await.0, 404);
    let (_, child) = get(&client, &format!("{MAPS}/child")).await;
    assert_eq!(child["metadata"]["ownerReferences"], json!([both[1]]));
}

#[tokio::test]
async fn a_foreground_deletion_ends_when_the_dependent_names_the_owner_no_more() {
    let client = server().client();
    waiting_owner(&client).await;
    let free = json!({"metadata": {"ownerReferences": null}});
    merge(&client, &format!("{MAPS}/child"), &free).await;
    assert_eq!(get(&client, &format!("{MAPS}/owner")).await.0, 404);
    assert_eq!(get(&client, &format!("{MAPS}/child")).await.0, 200, "it is held");
}

#[tokio::test]
async fn a_foreground_deletion_ends_when_the_dependent_blocks_the_owner_no_more() {
    let client = server().client();
    waiting_owner(&client).await;
    let path = format!("{MAPS}/child");
    let (_, mut child) = get(&client, &path).await;
    child["metadata"]["ownerReferences"][0]["blockOwnerDeletion"] = json!(false);
    assert_eq!(put(&client, &path, &child).await.0, 200);
    assert_eq!(get(&client, &format!("{MAPS}/owner")).await.0, 404);
}

#[tokio::test]
async fn an_object_whose_owner_never_existed_is_collected() {
    let client = server().client();
    let ghost = json!({"metadata": {"name": "ghost", "uid": "no-such-uid"}});
    assert_eq!(post(&client, MAPS, &owned("child", &ghost, false)).await.0, 201);
    assert_eq!(get(&client, &format!("{MAPS}/child")).await.0, 404);
}

#[tokio::test]
async fn an_owner_is_meant_by_its_kind_and_its_name_too() {
    let client = server().client();
    let (_, mut owner) = post(&client, MAPS, &config_map("owner")).await;
    owner["metadata"]["name"] = json!("other");
    post(&client, MAPS, &owned("child-of-another-name", &owner, false)).await;
    owner["metadata"]["name"] = json!("owner");
    let mut child = owned("child-of-another-kind", &owner, false);
    child["metadata"]["ownerReferences"][0]["kind"] = json!("Secret");
    post(&client, MAPS, &child).await;
    post(&client, MAPS, &owned("child", &owner, false)).await;
    for (name, code) in [
        ("child-of-another-name", 404),
        ("child-of-another-kind", 404),
        ("child", 200),
    ] {
        assert_eq!(get(&client, &format!("{MAPS}/{name}")).await.0, code, "{name}");
    }
}

#[tokio::test]
async fn an_owner_of_a_kind_that_is_not_served_may_be_there() {
    let client = server().client();
    let ghost = json!({"metadata": {"name": "ghost", "uid": "no-such-uid"}});
    let mut child = owned("child", &ghost, false);
    child["metadata"]["ownerReferences"][0]["apiVersion"] = json!("example.com/v1");
    post(&client, MAPS, &child).await;
    assert_eq!(
        get(&client, &format!("{MAPS}/child")).await.1["metadata"]["name"],
        "child"
    );
}

#[tokio::test]
async fn an_object_without_a_namespace_outlives_an_owner_that_has_one() {
    let client = server().client();
    let (_, owner) = post(&client, MAPS, &config_map("owner")).await;
    let mut role = json!({"metadata": {"name": "child"}, "rules": []});
    role["metadata"]["ownerReferences"] = owned("child", &owner, true)["metadata"]["ownerReferences"].clone();
    let roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
    post(&client, roles, &role).await;
    assert_eq!(get(&client, &format!("{roles}/child")).await.0, 200);
    delete(&client, &format!("{MAPS}/owner"), &json!({})).await;
    assert_eq!(get(&client, &format!("{MAPS}/owner")).await.0, 404);
    assert_eq!(get(&client, &format!("{roles}/child")).await.0, 200);
}

#[tokio::test]
async fn what_custom_resources_own_goes_with_their_definition() {
    let client = server().client();
    post(&client, CRDS, &widget_crd()).await;
    let mut references = Vec::new();
    for name in ["w", "x"] {
        let (_, widget) = post(&client, WIDGETS, &widget(name)).await;
        let mut reference = owned("child", &widget, true)["metadata"]["ownerReferences"][0].clone();
        reference["apiVersion"] = json!("example.com/v1");
        reference["kind"] = json!("Widget");
        references.push(reference);
    }
    let mut child = config_map("child");
    child["metadata"]["ownerReferences"] = json!(references);
    post(&client, MAPS, &child).await;
    assert_eq!(get(&client, &format!("{MAPS}/child")).await.0, 200);
    delete(&client, &format!("{CRDS}/widgets.example.com"), &json!({})).await;
    assert_eq!(get(&client, &format!("{MAPS}/child")).await.0, 404);
}

#[tokio::test]
async fn a_crd_is_established_at_once_and_takes_its_objects_with_it() {
    let client = server().client();
    assert_eq!(post(&client, CRDS, &widget_crd()).await.0, 201);
    let (_, crd) = get(&client, &format!("{CRDS}/widgets.example.com")).await;
    let established = crd["status"]["conditions"]
        .as_array()
        .unwrap()
        .iter()
        .any(|c| c["type"] == "Established" && c["status"] == "True");
    assert!(established);
    assert_eq!(post(&client, WIDGETS, &widget("w")).await.0, 201);
    let (_, resources) = get(&client, "/apis/example.com/v1").await;
    assert!(
        resources["resources"]
            .as_array()
            .unwrap()
            .iter()
            .any(|r| r["name"] == "widgets/status")
    );
    delete(&client, &format!("{CRDS}/widgets.example.com"), &json!({})).await;
    assert_eq!(get(&client, WIDGETS).await.0, 404);
    post(&client, CRDS, &widget_crd()).await;
    let (_, list) = get(&client, WIDGETS).await;
    assert_eq!((&list["kind"], &list["items"]), (&json!("WidgetList"), &json!([])));
}

#[tokio::test]
async fn delete_collection_takes_what_the_selector_chooses() {
    let client = server().client();
    for (name, label) in [("a", "x"), ("b", "x"), ("c", "y")] {
        let mut object = config_map(name);
        object["metadata"]["labels"] = json!({"l": label});
        post(&client, MAPS, &object).await;
    }
    let (_, deleted) = delete(&client, &format!("{MAPS}?labelSelector=l%3Dx"), &json!({})).await;
    assert_eq!(deleted["items"].as_array().unwrap().len(), 2);
    assert_eq!(get(&client, &format!("{MAPS}/c")).await.0, 200);
    assert_eq!(get(&client, &format!("{MAPS}/a")).await.0, 404);
}

#[tokio::test]
async fn what_needs_a_container_is_refused_and_does_not_hang() {
    let client = server().client();
    assert_eq!(post(&client, &format!("{PODS}/p/exec"), &json!({})).await.0, 404);
    post(&client, PODS, &pod("p")).await;
    for subresource in ["exec", "attach", "portforward", "proxy"] {
        let (code, refused) = get(&client, &format!("{PODS}/p/{subresource}?command=ls")).await;
        assert_eq!((code, &refused["kind"]), (501, &json!("Status")), "{refused}");
        let text = refused["message"].as_str().unwrap();
        assert!(
            text.starts_with(&format!("pods/{subresource} is not implemented")),
            "{text}"
        );
    }
}
