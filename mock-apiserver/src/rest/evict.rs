//! Evictions: deletions of pods that keep to the disruption budgets.

use super::admit;
use super::answer::Answer;
use super::decode;
use super::delete::{DeleteOptions, delete_object};
use super::dispatch::Call;
use super::subresource::kind;
use crate::api::error::{ApiError, ApiResult, Reason};
use crate::api::meta;
use crate::api::selector::LabelSelector;
use crate::core::Core;
use crate::store::ObjectName;
use serde_json::{Value, json};

/// Deletes a pod, unless a disruption budget that covers it allows no disruption. What it allows is used up by this.
pub(super) fn evict(core: &mut Core, call: &mut Call<'_>, name: &str) -> ApiResult<Answer> {
    let eviction = decode::parse_body(&call.request.content_type, &call.request.body)?;
    let dry_run = eviction["deleteOptions"]["dryRun"][0] == "All" || call.request.query.get("dryRun") == Some("All");
    let eviction = admit::subresource(core, call, &kind("policy", "Eviction"), eviction, None, dry_run)?;
    let at = ObjectName::new(call.namespace(), name);
    let pod = core.store.get("pods", &at).ok_or_else(|| call.not_found(name))?;
    let options = DeleteOptions {
        grace: eviction["deleteOptions"]["gracePeriodSeconds"].as_i64(),
        dry_run,
        ..DeleteOptions::default()
    };
    // A pod that has ended, or is ending, disturbs nobody by its end.
    let ended = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    if !ended && !meta::is_deleting(&pod) {
        use_budget(core, call.namespace(), &pod, options.dry_run)?;
    }
    delete_object(core, &call.resource, &pod, &options)?;
    let body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
    Ok(Answer::Document { code: 201, body })
}

fn use_budget(core: &mut Core, namespace: &str, pod: &Value, dry_run: bool) -> ApiResult<()> {
    let covering = core
        .store
        .scan("poddisruptionbudgets.policy", Some(namespace))
        .map(|(_, budget)| budget)
        .find(|budget| covers(budget, pod));
    let Some(budget) = covering else { return Ok(()) };
    let status = &budget["status"];
    let allowed = status["disruptionsAllowed"].as_i64().unwrap_or(0);
    if allowed <= 0 {
        let count = |member: &str| status[member].as_i64().unwrap_or(0);
        let cause = format!(
            "The disruption budget {} needs {} healthy pods and has {} currently",
            meta::name(&budget),
            count("desiredHealthy"),
            count("currentHealthy")
        );
        let message = "Cannot evict pod as it would violate the pod's disruption budget.";
        return Err(ApiError::new(Reason::TooManyRequests, message).with_cause("DisruptionBudget", &cause, ""));
    }
    if let (false, Some(resource)) = (dry_run, core.catalog.by_collection("poddisruptionbudgets.policy")) {
        let mut used = Value::clone(&budget);
        used["status"]["disruptionsAllowed"] = (allowed - 1).into();
        used["status"]["disruptedPods"][meta::name(pod)] = core.now();
        core.put(&resource, used);
    }
    Ok(())
}

fn covers(budget: &Value, pod: &Value) -> bool {
    let selector = &budget["spec"]["selector"];
    selector.is_object() && LabelSelector::read(selector).is_some_and(|selector| selector.matches(pod))
}
