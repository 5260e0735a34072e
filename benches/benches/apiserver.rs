//! How much processor time the mock API server takes for a request in process.

use std::cell::RefCell;
use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use http::Method;
use torpor_benches::{Bed, CpuTime, SANDBOXES, sandbox};

const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const PODS: &str = "/api/v1/namespaces/default/pods";

/// Objects that a server collects before a benchmark of creation takes a new one, so that its memory stays small.
const ROOM: usize = 50_000;

/// Creates an object per iteration, each under a name of its own.
fn creating(
    criterion: &mut Criterion<CpuTime>,
    name: &str,
    path: &str,
    content_type: &str,
    body: impl Fn(&str) -> Vec<u8>,
) {
    let bed = RefCell::new(Bed::new());
    let mut made = 0_usize;
    criterion.bench_function(name, |bencher| {
        bencher.iter_batched(
            || {
                made += 1;
                if made.is_multiple_of(ROOM) {
                    bed.replace(Bed::new());
                }
                body(&format!("o{made:09}"))
            },
            |body| bed.borrow().send(&Method::POST, path, content_type, body),
            BatchSize::SmallInput,
        );
    });
}

fn creates(criterion: &mut Criterion<CpuTime>) {
    creating(criterion, "create a sandbox", SANDBOXES, JSON, |name| {
        sandbox(name).into_bytes()
    });
    creating(criterion, "create a Pod sent as protobuf", PODS, PROTOBUF, protobuf_pod);
}

fn reads(criterion: &mut Criterion<CpuTime>) {
    let bed = Bed::new();
    bed.fill(10_000);
    let mut read = |name: &str, uri: String| {
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| black_box(bed.send(&Method::GET, &uri, "", "")));
        });
    };
    read("get a sandbox", format!("{SANDBOXES}/s5000"));
    read("list 10,000 sandboxes", SANDBOXES.to_owned());
    read("list a page of 500 of 10,000", format!("{SANDBOXES}?limit=500"));
    read(
        "list by a label that nothing has",
        format!("{SANDBOXES}?labelSelector=app%3Dnone"),
    );
}

fn writes(criterion: &mut Criterion<CpuTime>) {
    let bed = Bed::new();
    bed.fill(1000);
    let mut turn = 0_u64;
    let mut write = |name: &str, method: &Method, uri: &str, content_type: &str, body: &dyn Fn(u64) -> String| {
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| {
                turn += 1;
                bed.send(method, uri, content_type, body(turn))
            });
        });
    };
    let one = format!("{SANDBOXES}/s500");
    write("merge patch of a sandbox", &Method::PATCH, &one, MERGE, &|turn| {
        format!(r#"{{"metadata":{{"annotations":{{"turn":"{turn}"}}}}}}"#)
    });
    write(
        "merge patch of a status",
        &Method::PATCH,
        &format!("{one}/status"),
        MERGE,
        &|turn| format!(r#"{{"status":{{"observedGeneration":{turn}}}}}"#),
    );
    let applied = format!("{SANDBOXES}/applied?fieldManager=bench&force=true");
    write("apply that changes a field", &Method::PATCH, &applied, APPLY, &|turn| {
        sandbox("applied").replace(r#""team":"a""#, &format!(r#""team":"t{turn}""#))
    });
    write("apply that changes nothing", &Method::PATCH, &applied, APPLY, &|_| {
        sandbox("applied")
    });
    bed.send(&Method::POST, DEPLOYMENTS, JSON, DEPLOYMENT);
    write(
        "strategic merge patch of a Deployment",
        &Method::PATCH,
        &format!("{DEPLOYMENTS}/web"),
        STRATEGIC,
        &|turn| {
            format!(
                r#"{{"spec":{{"template":{{"spec":{{"containers":[{{"name":"web","env":[{{"name":"TURN","value":"{turn}"}}]}}]}}}}}}}}"#
            )
        },
    );
}

fn watches(criterion: &mut Criterion<CpuTime>) {
    let bed = Bed::new();
    bed.fill(1000);
    let mut watches = bed.watch(100);
    let mut turn = 0_u64;
    criterion.bench_function("deliver a write to 100 watches", |bencher| {
        bencher.iter(|| {
            turn += 1;
            let patch = format!(r#"{{"metadata":{{"annotations":{{"turn":"{turn}"}}}}}}"#);
            bed.send(&Method::PATCH, &format!("{SANDBOXES}/s500"), MERGE, patch);
            bed.deliver(&mut watches)
        });
    });
}

const DEPLOYMENT: &str = r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","labels":{"app":"web"}},"spec":{"replicas":2,
"selector":{"matchLabels":{"app":"web"}},"template":{"metadata":{"labels":{"app":"web"}},"spec":{
"containers":[{"name":"web","image":"nginx","env":[{"name":"A","value":"1"},{"name":"TURN","value":"0"}],"ports":[{"containerPort":80}]},
{"name":"side","image":"busybox"}]}}}}"#;

/// A length-delimited field.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).unwrap_or(u8::MAX);
    [&[number << 3 | 2], varint(length).as_slice(), content].concat()
}

fn varint(number: u8) -> Vec<u8> {
    if number < 128 { vec![number] } else { vec![number, 1] }
}

/// A Pod as Go clients send it.
fn protobuf_pod(name: &str) -> Vec<u8> {
    let labels = field(11, &[field(1, b"app"), field(2, b"x")].concat());
    let metadata = [field(1, name.as_bytes()), labels].concat();
    let quantity = field(1, &[field(1, b"cpu"), field(2, &field(1, b"100m"))].concat());
    let container = [field(1, b"a"), field(2, b"img"), field(8, &quantity)].concat();
    let pod = [field(1, &metadata), field(2, &field(2, &container))].concat();
    let type_meta = [field(1, b"v1"), field(2, b"Pod")].concat();
    [b"k8s\0".to_vec(), field(1, &type_meta), field(2, &pod)].concat()
}

criterion_group! {
    name = apiserver;
    config = Criterion::default()
        .with_measurement(CpuTime)
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = creates, reads, writes, watches
}
criterion_main!(apiserver);
