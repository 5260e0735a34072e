//! Where the handlers let admission have its say: before an object is validated, and before it is stored.

use super::decode;
use super::dispatch::{Call, Method};
use crate::admission::{Admitted, Attributes, GroupVersionKind, Operation, Phase, check_policies};
use crate::api::error::ApiResult;
use crate::api::meta;
use crate::core::Core;
use crate::store::Object;
use serde_json::{Value, json};
use std::sync::Arc;

/// An object after the mutating webhooks.
pub(super) struct Mutated {
    pub(super) object: Value,
    /// What the client asked for, where webhooks were asked: their changes are nobody's fields.
    pub(super) requested: Option<Value>,
}

/// Lets the mutating webhooks change an object that is to be created or, if there is an `old` one, updated.
pub(super) fn mutate(
    core: &mut Core,
    call: &mut Call<'_>,
    object: Value,
    old: Option<&Arc<Object>>,
    dry_run: bool,
) -> ApiResult<Mutated> {
    if core.webhooks.is_empty(Phase::Mutating) {
        return Ok(Mutated {
            object,
            requested: None,
        });
    }
    let attributes = attributes(call, None, meta::name(&object), old.is_some(), dry_run);
    Ok(
        match call
            .admission
            .ask(core, Phase::Mutating, attributes, Some(object), old)?
        {
            Admitted::Unasked(object) => Mutated {
                object: object.unwrap_or_default(),
                requested: None,
            },
            Admitted::Passed { asked, left } => {
                let mut object = left.unwrap_or_default();
                decode::undeclared(&call.resource, &mut object)?;
                decode::settle_metadata(&call.resource, &mut object);
                Mutated {
                    object,
                    requested: asked,
                }
            }
        },
    )
}

/// Lets the validating webhooks look at an object as it would be stored. Gives the object that they looked at: if the
/// request has been carried out before, it keeps the name and the UID from then.
pub(super) fn validate(
    core: &mut Core,
    call: &mut Call<'_>,
    object: Value,
    old: Option<&Arc<Object>>,
    dry_run: bool,
) -> ApiResult<Value> {
    if core.webhooks.is_empty(Phase::Validating) && core.webhooks.policies.is_empty() {
        return Ok(object);
    }
    let attributes = attributes(call, None, meta::name(&object), old.is_some(), dry_run);
    obey(core, call, &attributes, Some(&object), old)?;
    let admitted = call
        .admission
        .ask(core, Phase::Validating, attributes, Some(object), old)?;
    Ok(match admitted {
        Admitted::Unasked(object) => object,
        Admitted::Passed { left, .. } => left,
    }
    .unwrap_or_default())
}

/// Holds a request against the policies.
fn obey(
    core: &Core,
    call: &mut Call<'_>,
    attributes: &Attributes,
    object: Option<&Value>,
    old: Option<&Arc<Object>>,
) -> ApiResult<()> {
    let warnings = check_policies(core, attributes, object, old.map(|old| &***old))?;
    call.warnings.extend(warnings);
    Ok(())
}

/// Lets all webhooks look at the object of a subresource, which is of a `kind` of its own; `old` is absent where the operation
/// creates.
pub(super) fn subresource(
    core: &mut Core,
    call: &mut Call<'_>,
    kind: &GroupVersionKind,
    mut object: Value,
    old: Option<&Arc<Object>>,
    dry_run: bool,
) -> ApiResult<Value> {
    for phase in [Phase::Mutating, Phase::Validating] {
        if core.webhooks.is_empty(phase) && core.webhooks.policies.is_empty() {
            continue;
        }
        let attributes = attributes(call, Some(kind), "", old.is_some(), dry_run);
        if phase == Phase::Validating {
            obey(core, call, &attributes, Some(&object), old)?;
        }
        object = match call.admission.ask(core, phase, attributes, Some(object), old)? {
            Admitted::Unasked(object) => object,
            Admitted::Passed { left, .. } => left,
        }
        .unwrap_or_default();
    }
    Ok(object)
}

/// Lets all webhooks look at a deletion, before anything of it is done.
pub(super) fn delete(core: &mut Core, call: &mut Call<'_>, object: &Arc<Object>, dry_run: bool) -> ApiResult<()> {
    for phase in [Phase::Mutating, Phase::Validating] {
        if core.webhooks.is_empty(phase) && core.webhooks.policies.is_empty() {
            continue;
        }
        let attributes = Attributes {
            operation: Operation::Delete,
            options: options("DeleteOptions", call),
            ..attributes(call, None, meta::name(object), true, dry_run)
        };
        if phase == Phase::Validating {
            obey(core, call, &attributes, None, Some(object))?;
        }
        call.admission.ask(core, phase, attributes, None, Some(object))?;
    }
    Ok(())
}

/// The attributes of a request; `name` is that of the object, for requests whose path does not tell.
fn attributes(call: &Call<'_>, kind: Option<&GroupVersionKind>, name: &str, exists: bool, dry_run: bool) -> Attributes {
    let (operation, options_kind) = match (exists, call.request.method) {
        (false, _) => (Operation::Create, "CreateOptions"),
        (true, Method::Patch) => (Operation::Update, "PatchOptions"),
        (true, _) => (Operation::Update, "UpdateOptions"),
    };
    Attributes {
        operation,
        kind: kind.cloned().unwrap_or_else(|| GroupVersionKind::of(&call.resource)),
        resource: call.resource.clone(),
        subresource: call.path.subresource.clone().unwrap_or_default(),
        namespace: call.namespace().to_owned(),
        name: call.path.name.clone().unwrap_or_else(|| name.to_owned()),
        user: call.user.clone(),
        dry_run,
        options: options(options_kind, call),
    }
}

fn options(kind: &str, call: &Call<'_>) -> Value {
    let mut options = json!({"kind": kind, "apiVersion": "meta.k8s.io/v1"});
    for member in ["fieldManager", "fieldValidation"] {
        if let Some(value) = call.request.query.get(member) {
            options[member] = value.into();
        }
    }
    if let Some(dry_run) = call.request.query.get("dryRun") {
        options["dryRun"] = json!([dry_run]);
    }
    options
}
