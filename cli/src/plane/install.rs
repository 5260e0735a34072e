//! What a fresh control plane holds: the custom resource definitions and the sandbox templates.

use anyhow::Context as _;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, PostParams};
use kube::{Client, ResourceExt};
use serde_json::json;
use torpor_api::{SandboxTemplate, SandboxTemplateSpec, custom_resource_definitions};

/// Template names that E2B users pass; all run the embedded code interpreter.
const TEMPLATES: [&str; 3] = ["code-interpreter", "code-interpreter-v1", "base"];

/// The image of the code interpreter.
pub const IMAGE: &str = "torpor/code-interpreter";

/// Creates what is missing, and brings the definitions of an earlier version up to this one: a field that
/// they do not know would be dropped without a word. A fault may `distort` the definitions.
///
/// # Errors
/// The API server refuses an object.
pub(super) async fn resources(
    client: &Client,
    namespace: &str,
    distort: Option<fn(&mut CustomResourceDefinition)>,
) -> anyhow::Result<()> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    for mut definition in custom_resource_definitions() {
        if let Some(distort) = distort {
            distort(&mut definition);
        }
        let name = definition.name_any();
        define(&definitions, definition)
            .await
            .with_context(|| format!("install the definition {name}"))?;
    }
    let templates: Api<SandboxTemplate> = Api::namespaced(client.clone(), namespace);
    for name in TEMPLATES {
        let template = SandboxTemplate::new(
            name,
            SandboxTemplateSpec {
                template: code_interpreter(),
            },
        );
        create(&templates, &template)
            .await
            .with_context(|| format!("install the template {name}"))?;
    }
    Ok(())
}

fn code_interpreter() -> serde_json::Value {
    json!({ "spec": {
        "restartPolicy": "Never",
        "containers": [{
            "name": "sandbox",
            "image": IMAGE,
            "resources": { "requests": { "cpu": "50m", "memory": "64Mi" } },
        }],
    }})
}

async fn define(api: &Api<CustomResourceDefinition>, mut definition: CustomResourceDefinition) -> kube::Result<()> {
    let name = definition.name_any();
    match api.get_opt(&name).await? {
        None => api.create(&PostParams::default(), &definition).await.map(drop),
        Some(existing) => {
            definition.metadata.resource_version = existing.metadata.resource_version;
            api.replace(&name, &PostParams::default(), &definition).await.map(drop)
        }
    }
}

async fn create<K>(api: &Api<K>, object: &K) -> kube::Result<()>
where
    K: kube::Resource + Clone + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned,
{
    match api.create(&PostParams::default(), object).await {
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
        other => other.map(drop),
    }
}
