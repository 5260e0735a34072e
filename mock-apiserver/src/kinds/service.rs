//! Services: type, ports, and an address from the service network.

use crate::api::error::{ApiError, ApiResult};
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
    if service["spec"]["type"] == "ExternalName" {
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

/// Keeps the allotted address when an update leaves it out.
pub(super) fn prepare_update(old: &Value, service: &mut Value) {
    for member in ["clusterIP", "clusterIPs"] {
        if service["spec"]
            .get(member)
            .is_none_or(|value| value.is_null() || value == "")
            && let Some(value) = old["spec"].get(member)
        {
            service["spec"][member] = value.clone();
        }
    }
}
