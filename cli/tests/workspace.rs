//! Rules about the whole workspace that the compiler does not check.

#![expect(clippy::expect_used, reason = "a test ends where something it needs is missing")]

#[path = "support/mod.rs"]
#[expect(dead_code, reason = "this test needs only the root of the repository")]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// What each crate may depend on. A crate that is not listed fails the test.
const DIRECTION: [(&str, &[&str]); 14] = [
    ("torpor-api", &[]),
    ("torpor-userfaultfd", &[]),
    ("torpor-runtime", &["torpor-api", "torpor-userfaultfd"]),
    ("torpor-agent", &["torpor-api", "torpor-runtime"]),
    ("torpor-controller", &["torpor-api"]),
    ("torpor-gateway", &["torpor-api"]),
    ("mock-apiserver", &[]),
    (
        "mock-node",
        &["mock-apiserver", "torpor-agent", "torpor-api", "torpor-runtime"],
    ),
    ("docker-runtime", &["mock-apiserver", "mock-node", "torpor-api"]),
    (
        "process-runtime",
        &["mock-apiserver", "mock-node", "torpor-agent", "torpor-api"],
    ),
    ("torpor-harness", &["mock-apiserver"]),
    ("torpor-testbed", &[]),
    (
        "torpor-cli",
        &[
            "docker-runtime",
            "mock-apiserver",
            "mock-node",
            "process-runtime",
            "torpor-agent",
            "torpor-api",
            "torpor-controller",
            "torpor-gateway",
            "torpor-harness",
            "torpor-runtime",
            "torpor-testbed",
        ],
    ),
    // Benchmarks may use all; what they do not measure yet is not in the list.
    ("torpor-benches", &["mock-apiserver", "torpor-runtime"]),
];

/// What cargo says of the packages of the workspace.
fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"])
        .arg(support::root().join("Cargo.toml"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo describes the workspace");
    let Value::Array(packages) = metadata["packages"].take() else {
        panic!("no packages in {metadata}")
    };
    packages
}

/// The name of a package or of a dependency.
fn name(described: &Value) -> String {
    described["name"].as_str().expect("everything has a name").to_owned()
}

/// Our crates and those of ours that each depends on outside of tests.
fn workspace_dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let packages = packages();
    let ours: BTreeSet<String> = packages.iter().map(name).collect();
    let dependencies = |package: &Value| {
        let all = package["dependencies"].as_array().expect("a list of dependencies");
        // A dependency that the code itself has is of no kind, beside "dev" and "build".
        let normal = all.iter().filter(|dependency| dependency["kind"].is_null());
        normal.map(name).filter(|name| ours.contains(name)).collect()
    };
    packages
        .iter()
        .map(|package| (name(package), dependencies(package)))
        .collect()
}

#[test]
fn crates_depend_on_each_other_in_one_direction_only() {
    let allowed: BTreeMap<&str, &[&str]> = DIRECTION.into_iter().collect();
    for (name, dependencies) in workspace_dependencies() {
        let allowed = allowed
            .get(name.as_str())
            .unwrap_or_else(|| panic!("{name} has no place in the direction"));
        for dependency in dependencies {
            assert!(
                allowed.contains(&dependency.as_str()),
                "{name} must not depend on {dependency}"
            );
        }
    }
}

#[test]
fn the_suite_shares_no_code_with_what_it_judges() {
    let graph = workspace_dependencies();
    let mut reached: BTreeSet<&str> = BTreeSet::from(["torpor-harness"]);
    let mut open = vec!["torpor-harness"];
    while let Some(name) = open.pop() {
        open.extend(
            graph[name]
                .iter()
                .map(String::as_str)
                .filter(|dependency| reached.insert(dependency)),
        );
    }
    let allowed = BTreeSet::from(["mock-apiserver", "torpor-harness"]);
    assert!(reached.is_subset(&allowed), "{reached:?}");
}

/// Files under `src` that no `mod` declaration reaches. The compiler skips such a file in
/// silence, and its tests with it.
fn orphans(src: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut dirs = vec![src.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).expect("a source folder is readable").flatten() {
            let path = entry.path();
            if path.is_dir() && !path.ends_with("src/bin") {
                dirs.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") && !is_declared(src, &path) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn is_declared(src: &Path, file: &Path) -> bool {
    let stem = file
        .file_stem()
        .and_then(|stem| stem.to_str())
        .expect("source names are UTF-8");
    let dir = file.parent().expect("a source file has a folder");
    if dir == src && matches!(stem, "lib" | "main") {
        return true;
    }
    // `a/b.rs` and `a/b/mod.rs` are both declared as `mod b` in the module of `a`.
    let (name, home) = match stem {
        "mod" => (
            dir.file_name()
                .and_then(|name| name.to_str())
                .expect("a module folder has a name"),
            dir.parent(),
        ),
        stem => (stem, Some(dir)),
    };
    let home = home.expect("a module folder has a parent");
    let parents = [
        home.join("lib.rs"),
        home.join("main.rs"),
        home.join("mod.rs"),
        home.with_extension("rs"),
    ];
    let declaration = format!("mod {name};");
    parents
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .any(|text| text.contains(&declaration))
}

#[test]
fn every_source_file_is_compiled() {
    for dir in fs::read_dir(support::root())
        .expect("the root is readable")
        .flatten()
        .map(|entry| entry.path())
    {
        let crates = [dir.clone()].into_iter().chain(
            fs::read_dir(&dir)
                .into_iter()
                .flatten()
                .flatten()
                .map(|entry| entry.path()),
        );
        for source in crates
            .filter(|folder| folder.join("Cargo.toml").exists())
            .map(|folder| folder.join("src"))
        {
            if source.is_dir() {
                assert_eq!(orphans(&source), Vec::<PathBuf>::new());
            }
        }
    }
}

#[test]
fn an_undeclared_source_file_is_found() {
    let temp = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| fs::write(temp.path().join(name), text).expect("written");
    write("lib.rs", "mod known;\n");
    write("known.rs", "");
    write("forgotten.rs", "");
    assert_eq!(orphans(temp.path()), [temp.path().join("forgotten.rs")]);
}

/// The committed definitions are those of the Rust types. Rewrite them with `UPDATE_CRDS=1`.
#[test]
fn the_committed_definitions_are_generated_from_the_types() {
    for definition in torpor_api::custom_resource_definitions() {
        let name = definition.metadata.name.clone().expect("a definition has a name");
        let path = support::root().join("fixtures/crds").join(format!("{name}.yaml"));
        let yaml = serde_saphyr::to_string(&definition).expect("a definition is YAML");
        if std::env::var_os("UPDATE_CRDS").is_some() {
            fs::create_dir_all(path.parent().expect("a folder")).expect("the folder is writable");
            fs::write(&path, &yaml).expect("the definition is writable");
        }
        let committed = fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(
            committed,
            yaml,
            "{} differs; rewrite it with UPDATE_CRDS=1",
            path.display()
        );
    }
}
