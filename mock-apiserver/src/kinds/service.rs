//! Services: type, ports, and an address from the service network that stays.

use crate::api::error::{ApiError, ApiResult};
use crate::api::field::FieldError;
use crate::core::Core;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The size of the service network 10.96.0.0/16 without its edges.
const ADDRESSES: u32 = 65_000;

pub(super) fn default_fields(service: &mut Value) {
    super::default_to(service, "spec", json!({}));
    let spec = &mut service["spec"];
    super::default_to(spec, "type", "ClusterIP");
    super::default_to(spec, "sessionAffinity", "None");
    if spec["type"] != "ExternalName" {
        super::default_to(spec, "ipFamilies", json!(["IPv4"]));
        super::default_to(spec, "ipFamilyPolicy", "SingleStack");
        super::default_to(spec, "internalTrafficPolicy", "Cluster");
    }
    for port in spec["ports"].as_array_mut().into_iter().flatten() {
        super::default_to(port, "protocol", "TCP");
        let number = port["port"].clone();
        super::default_to(port, "targetPort", number);
    }
}

/// Allots the lowest free address, unless one was asked for or the service is headless.
pub(super) fn prepare_create(core: &Core, service: &mut Value) -> ApiResult<()> {
    if !is_addressed(service) {
        return Ok(());
    }
    let address = match service["spec"]["clusterIP"].as_str() {
        Some(asked) if !asked.is_empty() => asked.to_owned(),
        _ => {
            let taken: BTreeSet<String> = core
                .store
                .scan("services", None)
                .filter_map(|(_, service)| service["spec"]["clusterIP"].as_str().map(str::to_owned))
                .collect();
            (10..ADDRESSES)
                .map(|number| format!("10.96.{}.{}", number / 256, number % 256))
                .find(|address| !taken.contains(address))
                .ok_or_else(|| ApiError::internal("failed to allocate a serviceIP: range is full"))?
        }
    };
    service["spec"]["clusterIPs"] = json!([address]);
    service["spec"]["clusterIP"] = address.into();
    Ok(())
}

/// Whether the service has an address of the service network, or asks for none.
fn is_addressed(service: &Value) -> bool {
    service["spec"]["type"] != "ExternalName"
}

/// Keeps the allotted address when an update leaves it out; a change of the type gives an address or takes it away.
pub(super) fn prepare_update(core: &Core, old: &Value, service: &mut Value) -> ApiResult<()> {
    match (is_addressed(old), is_addressed(service)) {
        (false, false) => {}
        (false, true) => prepare_create(core, service)?,
        (true, false) => drop_address(old, service),
        (true, true) => keep_address(old, service),
    }
    Ok(())
}

fn keep_address(old: &Value, service: &mut Value) {
    let (old, spec) = (&old["spec"], &mut service["spec"]);
    for member in ["clusterIP", "clusterIPs"] {
        if spec.get(member).is_none_or(|value| value.is_null() || value == "")
            && let Some(value) = old.get(member)
        {
            spec[member] = value.clone();
        }
    }
    // Clients that know only the older member change that alone.
    if spec["clusterIP"] != old["clusterIP"] && spec["clusterIPs"] == old["clusterIPs"] {
        spec["clusterIPs"] = json!([spec["clusterIP"]]);
    }
}

/// Takes the address away that the update did not change.
fn drop_address(old: &Value, service: &mut Value) {
    for member in ["clusterIP", "clusterIPs"] {
        if service["spec"].get(member) == old["spec"].get(member)
            && let Some(spec) = service["spec"].as_object_mut()
        {
            spec.remove(member);
        }
    }
}

/// An address stays for good.
pub(super) fn problems(old: Option<&Value>, service: &Value) -> Vec<FieldError> {
    let now = &service["spec"]["clusterIPs"];
    match old {
        Some(old) if is_addressed(old) && is_addressed(service) && old["spec"]["clusterIPs"][0] != now[0] => {
            vec![FieldError::invalid(
                "spec.clusterIPs[0]",
                now,
                "may not change once set",
            )]
        }
        Some(_) | None => Vec::new(),
    }
}
