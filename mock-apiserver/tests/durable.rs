//! A server that keeps its state in a folder, and what a successor finds there.

#![expect(clippy::expect_used, reason = "a test ends where something it needs is missing")]

use std::path::Path;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, ListParams, ObjectMeta, Patch, PatchParams, PostParams, WatchEvent,
    WatchParams,
};
use kube::core::GroupVersionKind;
use mock_apiserver::{MockApiServer, Recovery};
use serde_json::json;

fn open(dir: &Path) -> (MockApiServer, Recovery) {
    MockApiServer::builder().open(dir).expect("opens")
}

/// One life of a server. Its runtime ends with it, and with that whatever still holds on to the server.
fn life<T>(dir: &Path, live: impl AsyncFnOnce(MockApiServer, Recovery) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let (server, recovery) = open(dir);
        live(server, recovery).await
    })
}

fn map(name: &str) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        },
        ..ConfigMap::default()
    }
}

#[test]
fn objects_uids_and_revisions_survive_the_process() {
    let dir = tempfile::tempdir().expect("a directory");
    let (kept, revision) = life(dir.path(), async |server, recovery| {
        assert_eq!(recovery, Recovery::default());
        let maps: Api<ConfigMap> = Api::default_namespaced(server.client());
        let kept = maps.create(&PostParams::default(), &map("kept")).await.expect("made");
        maps.create(&PostParams::default(), &map("removed"))
            .await
            .expect("made");
        maps.delete("removed", &DeleteParams::default()).await.expect("removed");
        (kept, server.revision())
    });
    life(dir.path(), async |server, recovery| {
        assert_eq!((recovery.revision, recovery.cut_bytes), (revision, 0));
        let maps: Api<ConfigMap> = Api::default_namespaced(server.client());
        assert_eq!(maps.get("kept").await.expect("found").metadata.uid, kept.metadata.uid);
        assert!(maps.get_opt("removed").await.expect("an answer").is_none());
        let next = maps.create(&PostParams::default(), &map("next")).await.expect("made");
        let next: u64 = next
            .metadata
            .resource_version
            .expect("a revision")
            .parse()
            .expect("a number");
        assert!(next > revision, "revisions go on");
        let namespaces: Api<Namespace> = Api::all(server.client());
        assert_eq!(
            namespaces
                .list(&ListParams::default())
                .await
                .expect("a list")
                .items
                .len(),
            4
        );
    });
}

#[test]
fn custom_resources_survive_with_their_definitions_over_two_restarts() {
    let dir = tempfile::tempdir().expect("a directory");
    let gadget = ApiResource::from_gvk(&GroupVersionKind::gvk("example.com", "v1", "Gadget"));
    life(dir.path(), async |server, _| {
        let definitions: Api<CustomResourceDefinition> = Api::all(server.client());
        definitions
            .create(&PostParams::default(), &definition())
            .await
            .expect("made");
        let gadgets: Api<DynamicObject> = Api::default_namespaced_with(server.client(), &gadget);
        gadgets
            .create(&PostParams::default(), &DynamicObject::new("one", &gadget))
            .await
            .expect("made");
        // The definition is written again after its object: the order of last writes is not that of creation.
        let label = Patch::Merge(json!({ "metadata": { "labels": { "a": "b" } } }));
        definitions
            .patch("gadgets.example.com", &PatchParams::default(), &label)
            .await
            .expect("patched");
    });
    for _ in 0..2 {
        life(dir.path(), async |server, _| {
            let gadgets: Api<DynamicObject> = Api::default_namespaced_with(server.client(), &gadget);
            assert!(gadgets.get_opt("one").await.expect("an answer").is_some());
        });
    }
}

fn definition() -> CustomResourceDefinition {
    let definition = json!({
        "metadata": { "name": "gadgets.example.com" },
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": { "plural": "gadgets", "singular": "gadget", "kind": "Gadget" },
            "versions": [{ "name": "v1", "served": true, "storage": true, "schema": { "openAPIV3Schema": {
                "type": "object", "x-kubernetes-preserve-unknown-fields": true } } }],
        },
    });
    serde_json::from_value(definition).expect("a definition")
}

#[test]
fn a_write_that_was_interrupted_is_cut_and_told() {
    let dir = tempfile::tempdir().expect("a directory");
    life(dir.path(), async |server, _| {
        let maps: Api<ConfigMap> = Api::default_namespaced(server.client());
        maps.create(&PostParams::default(), &map("kept")).await.expect("made");
    });
    let journal = dir.path().join("journal.jsonl");
    let mut text = std::fs::read(&journal).expect("a journal");
    let whole = text.len();
    text.extend_from_slice(b"0badc0de {\"revision\":99,\"coll");
    std::fs::write(&journal, &text).expect("written");
    life(dir.path(), async |server, recovery| {
        assert_eq!(recovery.cut_bytes, text.len() - whole);
        let maps: Api<ConfigMap> = Api::default_namespaced(server.client());
        assert!(maps.get_opt("kept").await.expect("an answer").is_some());
    });
}

#[test]
fn a_watch_from_an_earlier_life_is_told_to_begin_anew() {
    let dir = tempfile::tempdir().expect("a directory");
    let early = life(dir.path(), async |server, _| {
        let maps: Api<ConfigMap> = Api::default_namespaced(server.client());
        let early = maps.create(&PostParams::default(), &map("early")).await.expect("made");
        maps.create(&PostParams::default(), &map("late")).await.expect("made");
        early.metadata.resource_version.expect("a revision")
    });
    life(dir.path(), async |server, _| {
        let maps: Api<ConfigMap> = Api::default_namespaced(server.client());
        let watch = maps.watch(&WatchParams::default(), &early).await.expect("a watch");
        let first = futures::StreamExt::next(&mut Box::pin(watch))
            .await
            .expect("an event")
            .expect("readable");
        assert!(
            matches!(&first, WatchEvent::Error(status) if status.code == 410),
            "{first:?}"
        );
    });
}
