//! Makes the Pod of a sandbox from its template.
//!
//! Decides names, owner, labels, volumes, the environment that the agent reads, and that containers never
//! restart by themselves: a container that begins anew has lost its memory, and would bring back an
//! older checkpoint without anybody having asked for it.

use k8s_openapi::api::core::v1::{
    Container, EnvVar, EnvVarSource, ObjectFieldSelector, PersistentVolumeClaimVolumeSource, Pod, PodSpec, Volume,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use serde_json::Value;
use torpor_api::{CheckpointRecord, Sandbox, annotation, env, label};

use crate::companions::claim_name;
use crate::front::Front;

/// Why no Pod can be made from a template.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TemplateError {
    /// Neither or both of the two ways to name a template are used.
    #[error("set exactly one of spec.template and spec.templateRef")]
    Ambiguous,
    /// The reference leads nowhere.
    #[error(
        "spec.templateRef.name: there is no SandboxTemplate {name} in namespace {namespace}; create it or name another"
    )]
    NotFound {
        /// `metadata.name` that was looked for.
        name: String,
        /// Where it was looked for.
        namespace: String,
    },
    /// The definition in this cluster let through what ours refuses.
    #[error("{field}: {message}")]
    Unsupported {
        /// Where it is asked for.
        field: &'static str,
        /// What is not supported, and what to do instead.
        message: &'static str,
    },
    /// It is not a Pod template.
    #[error("spec.template: {message}")]
    Malformed {
        /// What is wrong, with the field.
        message: String,
    },
    /// There is nothing to run.
    #[error("spec.template.spec.containers: at least one container is needed")]
    NoContainer,
}

/// `PodTemplateSpec`, of which only what is needed is looked at.
#[derive(Deserialize)]
struct Template {
    #[serde(default)]
    metadata: ObjectMeta,
    spec: PodSpec,
}

/// The Pod of `sandbox`, fresh or from a checkpoint.
///
/// # Errors
/// [`TemplateError`] when the template is not one of a Pod.
pub(crate) fn build(
    front: Front,
    sandbox: &Sandbox,
    template: &Value,
    restore: Option<&CheckpointRecord>,
    store_url: &str,
) -> Result<Pod, TemplateError> {
    let Template { metadata, mut spec } =
        Template::deserialize(template).map_err(|error| TemplateError::Malformed {
            message: error.to_string(),
        })?;
    refuse_unsupported(sandbox)?;
    let container = spec.containers.first_mut().ok_or(TemplateError::NoContainer)?;
    set_env(container, environment(sandbox, restore, store_url));
    spec.restart_policy = Some("Never".to_owned());
    set_volumes(&mut spec, sandbox);

    let mut labels = metadata.labels.unwrap_or_default();
    labels.insert(label::CREATED_BY.to_owned(), label::CREATED_BY_SANDBOX.to_owned());
    labels.extend(front.labels(sandbox));
    let mut annotations = metadata.annotations.unwrap_or_default();
    annotations.remove(annotation::RESTORE_GENERATION);
    if let Some(record) = restore {
        annotations.insert(annotation::RESTORE_GENERATION.to_owned(), record.generation.to_string());
    }
    let metadata = ObjectMeta {
        name: sandbox.metadata.name.clone(),
        namespace: sandbox.metadata.namespace.clone(),
        labels: Some(labels),
        annotations: Some(annotations),
        owner_references: front.owner(sandbox),
        ..ObjectMeta::default()
    };
    Ok(Pod {
        metadata,
        spec: Some(spec),
        status: None,
    })
}

/// What would change the meaning of a pause must not be passed over in silence.
fn refuse_unsupported(sandbox: &Sandbox) -> Result<(), TemplateError> {
    let strategy = sandbox.spec.pause_strategy.as_ref();
    if strategy.is_some_and(|strategy| strategy.kind != "Hibernate") {
        return Err(TemplateError::Unsupported {
            field: "spec.pauseStrategy.type",
            message: "only Hibernate is supported; leave it out, memory and files are kept",
        });
    }
    let kept = |content: &String| content == "memory" || content == "filesystem";
    if !sandbox.spec.persistent_contents.iter().all(kept) {
        return Err(TemplateError::Unsupported {
            field: "spec.persistentContents",
            message: "only memory and filesystem can be kept; leave ip out and reach the sandbox by its Service",
        });
    }
    Ok(())
}

/// Each claim is the volume of its template's name, in place of what the Pod template says under that name.
fn set_volumes(spec: &mut PodSpec, sandbox: &Sandbox) {
    for template in &sandbox.spec.volume_claim_templates {
        let volumes = spec.volumes.get_or_insert_default();
        volumes.retain(|volume| volume.name != template.metadata.name);
        volumes.push(Volume {
            name: template.metadata.name.clone(),
            persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                claim_name: claim_name(sandbox, template),
                read_only: None,
            }),
            ..Volume::default()
        });
    }
}

fn environment(
    sandbox: &Sandbox,
    restore: Option<&CheckpointRecord>,
    store_url: &str,
) -> Vec<(&'static str, Option<String>)> {
    vec![
        (env::SANDBOX_NAMESPACE, sandbox.metadata.namespace.clone()),
        (env::SANDBOX_NAME, sandbox.metadata.name.clone()),
        (env::SANDBOX_UID, sandbox.metadata.uid.clone()),
        (env::STORE, Some(store_url.to_owned())),
        (
            env::RESTORE_GENERATION,
            restore.map(|record| record.generation.to_string()),
        ),
        (env::RESTORE_DIGEST, restore.map(|record| record.digest.clone())),
    ]
}

/// What the template says under these names does not count.
fn set_env(container: &mut Container, environment: Vec<(&'static str, Option<String>)>) {
    let variables = container.env.get_or_insert_default();
    variables.retain(|variable| !variable.name.starts_with(env::PREFIX));
    variables.extend(environment.into_iter().filter_map(|(name, value)| {
        Some(EnvVar {
            name: name.to_owned(),
            // A kubelet would take `$(..)` for another variable.
            value: Some(value?.replace('$', "$$")),
            value_from: None,
        })
    }));
    variables.push(pod_uid());
}

/// Only the API server knows it.
fn pod_uid() -> EnvVar {
    let field_ref = ObjectFieldSelector {
        field_path: "metadata.uid".to_owned(),
        ..ObjectFieldSelector::default()
    };
    EnvVar {
        name: env::POD_UID.to_owned(),
        value: None,
        value_from: Some(EnvVarSource {
            field_ref: Some(field_ref),
            ..EnvVarSource::default()
        }),
    }
}

#[cfg(test)]
mod tests {
    use kube::ResourceExt;
    use serde_json::json;

    use super::*;

    fn sandbox() -> Sandbox {
        let mut sandbox = Sandbox::new("one", torpor_api::SandboxSpec::default());
        sandbox.metadata.namespace = Some("default".to_owned());
        sandbox.metadata.uid = Some("uid-1".to_owned());
        sandbox
    }

    fn record(generation: u64) -> CheckpointRecord {
        CheckpointRecord {
            generation,
            digest: "blake3:aa".to_owned(),
            size_bytes: 1,
            stored_bytes: 1,
            engine: "sim".to_owned(),
        }
    }

    #[test]
    fn the_environment_and_the_annotation_name_the_checkpoint_to_restore() {
        let template = json!({"spec": {"restartPolicy": "Always", "containers": [
            {"name": "sandbox", "env": [
                {"name": "A", "value": "1"}, {"name": "TORPOR_RESTORE_GENERATION", "value": "9"},
                {"name": "TORPOR_POD_UID", "value": "of-another"}, {"name": "TORPOR_RESTORE_DIGEST", "value": "b"},
            ]},
        ]}});
        let pod = build(Front::Kruise, &sandbox(), &template, Some(&record(3)), "file:///$(A)").expect("a Pod");
        let spec = pod.spec.clone().expect("a spec");
        let value = |name: &str| {
            let env = spec.containers[0].env.clone().unwrap_or_default();
            env.into_iter()
                .filter(|variable| variable.name == name)
                .map(|variable| variable.value)
                .collect::<Vec<_>>()
        };
        assert_eq!(value("A"), [Some("1".to_owned())]);
        assert_eq!(value(env::RESTORE_GENERATION), [Some("3".to_owned())]);
        assert_eq!(value(env::RESTORE_DIGEST), [Some("blake3:aa".to_owned())]);
        assert_eq!(value(env::SANDBOX_UID), [Some("uid-1".to_owned())]);
        assert_eq!(value(env::POD_UID), [None]);
        assert_eq!(
            value(env::STORE),
            [Some("file:///$$(A)".to_owned())],
            "it is no reference"
        );
        let variables = serde_json::to_value(&spec.containers[0].env).expect("JSON");
        let pod_uid = json!({"name": "TORPOR_POD_UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}});
        assert!(variables.as_array().expect("a list").contains(&pod_uid), "{variables}");
        assert_eq!(pod.annotations()[annotation::RESTORE_GENERATION], "3");
        assert_eq!(spec.restart_policy.as_deref(), Some("Never"));
        assert_eq!(pod.owner_references()[0].uid, "uid-1");
        assert_eq!(
            (pod.namespace().as_deref(), pod.name_any().as_str()),
            (Some("default"), "one")
        );
    }

    #[test]
    fn a_claim_takes_the_place_of_the_volume_of_its_name() {
        let mut sandbox = sandbox();
        let claim = json!({"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}});
        sandbox.spec.volume_claim_templates = vec![serde_json::from_value(claim).expect("a template")];
        let template = json!({"spec": {"containers": [{"name": "sandbox"}], "volumes": [
            {"name": "data", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}},
        ]}});
        let pod = build(Front::Kruise, &sandbox, &template, None, "memory:///").expect("a Pod");
        let volumes = serde_json::to_value(pod.spec.expect("a spec").volumes).expect("JSON");
        let expected = json!([
            {"name": "tmp", "emptyDir": {}},
            {"name": "data", "persistentVolumeClaim": {"claimName": "data-one"}},
        ]);
        assert_eq!(volumes, expected);
    }

    #[test]
    fn what_would_change_the_meaning_of_a_pause_is_refused_even_if_the_definition_let_it_through() {
        let template = json!({"spec": {"containers": [{"name": "sandbox"}]}});
        let mut ip = sandbox();
        ip.spec.persistent_contents = vec!["memory".to_owned(), "ip".to_owned()];
        let mut stop = sandbox();
        stop.spec.pause_strategy = Some(torpor_api::PauseStrategy {
            kind: "Stop".to_owned(),
        });
        let mut both = sandbox();
        both.spec.persistent_contents = vec!["memory".to_owned(), "filesystem".to_owned()];
        assert!(build(Front::Kruise, &both, &template, None, "memory:///").is_ok());
        for (sandbox, field) in [(ip, "spec.persistentContents"), (stop, "spec.pauseStrategy.type")] {
            let error = build(Front::Kruise, &sandbox, &template, None, "memory:///").expect_err("no Pod");
            assert!(error.to_string().starts_with(field), "{error}");
        }
    }

    #[test]
    fn a_fresh_pod_names_no_checkpoint_even_if_the_template_does() {
        let template = json!({
            "metadata": {"annotations": {"torpor.dev/restore-generation": "7"}},
            "spec": {"containers": [{"name": "sandbox"}]},
        });
        let pod = build(Front::Kruise, &sandbox(), &template, None, "memory:///").expect("a Pod");
        assert!(!pod.annotations().contains_key(annotation::RESTORE_GENERATION));
    }

    #[test]
    fn a_template_that_is_none_is_refused_with_the_field() {
        for (template, part) in [
            (json!({"spec": {"containers": []}}), "at least one container"),
            (json!({"spec": {"containers": "x"}}), "spec.template: "),
            (json!("text"), "spec.template: "),
            (json!({}), "spec"),
        ] {
            let error = build(Front::Kruise, &sandbox(), &template, None, "memory:///")
                .expect_err("no Pod")
                .to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
