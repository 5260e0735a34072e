//! Any request at all: no panic, an answer of the API's form, and no trace of what was refused.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use mock_apiserver::{MockApiServer, ResponseBody};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::*;

#[derive(Debug, Clone)]
struct Call {
    method: &'static str,
    uri: String,
    content_type: &'static str,
    accept: &'static str,
    body: Vec<u8>,
}

fn choice<T: Clone + std::fmt::Debug + 'static>(values: &[T]) -> impl Strategy<Value = T> + Clone + use<T> {
    prop::sample::select(values.to_vec())
}

const PATHS: &[&str] = &[
    MAPS,
    PODS,
    CRDS,
    WIDGETS,
    "/api/v1/namespaces",
    "/api/v1/pods",
    "/apis/apps/v1/namespaces/default/deployments",
    "/api/v1/namespaces/default/services",
    "/api/v1/namespaces/default/secrets",
    "/api/v1/namespaces/default/events",
    "/apis/example.com/v1/widgets",
    "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
];
const TAILS: &[&str] = &[
    "",
    "",
    "/a",
    "/a",
    "/a",
    "/b",
    "/widgets.example.com",
    "/default",
    "/a/status",
    "/a/scale",
    "/a/finalize",
    "/a/log",
    "/a/eviction",
    "/a/binding",
    "/a/token",
    "/a/nothing",
    "/%2e%2e",
    "/%ff",
    "/a/b/c/d",
];
const SEGMENTS: &[&str] = &[
    "api",
    "apis",
    "v1",
    "namespaces",
    "default",
    "pods",
    "openapi",
    "v3",
    "version",
    "healthz",
    "%00",
    "ä",
];
const QUERIES: &[&str] = &[
    "limit=1",
    "limit=x",
    "continue=abc",
    "continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiJhL2IifQ",
    "resourceVersion=1",
    "resourceVersion=0",
    "resourceVersion=99999",
    "resourceVersion=-1",
    "resourceVersionMatch=Exact",
    "fieldManager=m",
    "fieldManager=n",
    "force=true",
    "dryRun=All",
    "dryRun=Some",
    "labelSelector=app%3Dx",
    "labelSelector=a%20in%20(",
    "fieldSelector=metadata.name%3Da",
    "fieldSelector=spec.nodeName%21%3Dx",
    "propagationPolicy=Foreground",
    "propagationPolicy=Orphan",
    "gracePeriodSeconds=0",
    "gracePeriodSeconds=-5",
    "fieldValidation=Strict",
    "fieldValidation=Odd",
    "watch=true",
    "sendInitialEvents=true",
    "allowWatchBookmarks=true",
    "timeoutSeconds=-1",
    "timeoutSeconds=9223372036",
    "timeoutSeconds=9223372036854775807",
    "timeoutSeconds=18446744073709551615",
    "includeObject=Object",
    "%ff=%fe",
    "&&=",
];
const MEMBERS: &[&str] = &[
    "a",
    "name",
    "namespace",
    "labels",
    "annotations",
    "finalizers",
    "ownerReferences",
    "managedFields",
    "uid",
    "size",
    "color",
    "replicas",
    "containers",
    "$patch",
    "$setElementOrder/containers",
    "$retainKeys",
    "op",
    "path",
    "value",
    "data",
    "ports",
];
const PLACES: &[&str] = &[
    "metadata",
    "spec",
    "status",
    "data",
    "kind",
    "apiVersion",
    "metadata/labels",
    "metadata/finalizers",
    "metadata/name",
    "spec/containers",
    "",
];

fn paths() -> impl Strategy<Value = String> {
    let known = choice(PATHS);
    let tail = choice(TAILS);
    let segment = choice(SEGMENTS);
    prop_oneof![
        8 => (known, tail).prop_map(|(known, tail)| format!("{known}{tail}")),
        1 => prop::collection::vec(segment, 0..7).prop_map(|parts| format!("/{}", parts.join("/").replace('ä', "%C3%A4"))),
    ]
}

fn queries() -> impl Strategy<Value = String> {
    let pair = choice(QUERIES);
    prop::collection::vec(pair, 0..3).prop_map(|pairs| pairs.join("&"))
}

/// Objects that are nearly right, and values that are none.
fn documents() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3..5_i64).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        choice(&[
            "",
            "a",
            "red",
            "default",
            "x/y",
            "/spec/size",
            "add",
            "replace",
            "$patch"
        ])
        .prop_map(Value::from),
    ];
    let member = choice(MEMBERS);
    let any = leaf.prop_recursive(3, 20, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(member.clone().prop_map(str::to_owned), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    });
    let whole = choice(&[
        config_map("a"),
        pod("a"),
        widget("a"),
        widget_crd(),
        json!({"metadata": {"name": "b"}}),
        json!([]),
    ]);
    let place = choice(PLACES);
    (whole, prop::option::of((place, any))).prop_map(|(mut whole, damage)| {
        match damage {
            Some((place, value)) if whole.is_object() && !place.is_empty() => {
                match whole.pointer_mut(&format!("/{place}")) {
                    Some(slot) => *slot = value,
                    None => whole[place.split('/').next().unwrap_or_default()] = value,
                }
            }
            Some((_, value)) => whole = value,
            None => {}
        }
        whole
    })
}

/// A Pod as protobuf, with some of its bytes replaced.
fn protobuf() -> impl Strategy<Value = Vec<u8>> {
    let pod = b"k8s\0\x0a\x09\x0a\x02v1\x12\x03Pod\x12\x1a\x0a\x05\x0a\x01a\x1a\x00\x12\x11\x12\x0a\x0a\x01c\x12\x05image\x1a\x03Any".to_vec();
    prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4).prop_map(move |changes| {
        let mut bytes = pod.clone();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes
    })
}

fn calls() -> impl Strategy<Value = Call> {
    let method = choice(&[
        "GET", "POST", "POST", "PUT", "PATCH", "PATCH", "DELETE", "HEAD", "OPTIONS", "BREW",
    ]);
    let content_type = choice(&[
        "application/json",
        "application/json",
        "application/yaml",
        "application/vnd.kubernetes.protobuf",
        "application/json-patch+json",
        "application/merge-patch+json",
        "application/strategic-merge-patch+json",
        "application/apply-patch+yaml",
        "",
        "text/html; x=y",
    ]);
    let accept = choice(&[
        "application/json",
        "application/yaml",
        "application/json;as=Table;v=v1;g=meta.k8s.io",
        "*/*",
        "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
        "image/png",
    ]);
    let body = prop_oneof![
        6 => documents().prop_map(|document| document.to_string().into_bytes()),
        2 => protobuf(),
        1 => prop::collection::vec(any::<u8>(), 0..40),
        1 => Just(format!("{}1{}", "[".repeat(500), "]".repeat(500)).into_bytes()),
    ];
    (method, paths(), queries(), content_type, accept, body).prop_map(
        |(method, path, query, content_type, accept, body)| Call {
            method,
            uri: format!("{path}?{query}"),
            content_type,
            accept,
            body,
        },
    )
}

async fn answer(server: &MockApiServer, call: &Call) -> Response<ResponseBody> {
    let request = Request::builder()
        .method(call.method)
        .uri(&call.uri)
        .header("content-type", call.content_type)
        .header("accept", call.accept)
        .body(Full::new(Bytes::from(call.body.clone())))
        .unwrap();
    server.call(request).await.unwrap()
}

async fn check(server: &MockApiServer, call: &Call) -> Result<(), TestCaseError> {
    let before = server.revision();
    let response = answer(server, call).await;
    let code = response.status().as_u16();
    prop_assert!((200..600).contains(&code), "{code}");
    if code < 400 {
        return Ok(());
    }
    prop_assert_eq!(server.revision(), before, "a refused request left a trace: {:?}", call);
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let status: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    // What names no resource has no status.
    if code == 404 && (bytes == "404 page not found\n" || status["paths"].is_array()) {
        return Ok(());
    }
    prop_assert_eq!(
        (&status["kind"], &status["code"]),
        (&json!("Status"), &json!(code)),
        "{:?}: {:?}",
        call,
        bytes
    );
    // What a real server has no status for is an internal error there, too.
    let known = [
        "failed to create typed patch object",
        "resourceVersion: Invalid value",
        "strconv.ParseUint: parsing",
        "Internal error occurred: the spec replicas field",
    ];
    let message = status["message"].as_str().unwrap_or_default();
    let is_known = known.iter().any(|known| message.starts_with(known));
    prop_assert!(code != 500 || is_known, "{call:?}: {status}");
    Ok(())
}

proptest! {
    #[test]
    fn any_request_is_answered_and_a_refused_one_changes_nothing(calls in prop::collection::vec(calls(), 1..12)) {
        crate::block_on(async {
            let server = server();
            let client = server.client();
            post(&client, CRDS, &widget_crd()).await;
            for (path, object) in [(WIDGETS, widget("a")), (MAPS, config_map("a")), (PODS, pod("a"))] {
                post(&client, path, &object).await;
            }
            for call in &calls {
                check(&server, call).await?;
            }
            // It still works.
            let (code, _) = get(&client, "/api/v1/namespaces/default").await;
            prop_assert_eq!(code, 200);
            Ok(())
        })?;
    }
}
