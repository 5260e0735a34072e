//! Services: type, ports, and an address from the service network that stays.

use crate::api::error::{ApiError, ApiResult};
use crate::api::field::FieldError;
use crate::api::meta;
use crate::core::Core;
use crate::store::ObjectName;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The size of the service network 10.96.0.0/16 without its edges.
const ADDRESSES: u32 = 65_000;

/// The ports of nodes that services may have.
const NODE_PORTS: std::ops::RangeInclusive<u64> = 30_000..=32_767;

pub(super) fn default_fields(service: &mut Value) {
    super::default_to(service, "spec", json!({}));
    let spec = &mut service["spec"];
    if spec["type"] != "ExternalName" {
        super::default_to(spec, "ipFamilies", json!(["IPv4"]));
        super::default_to(spec, "ipFamilyPolicy", "SingleStack");
        super::default_to(spec, "internalTrafficPolicy", "Cluster");
    }
    super::defaults::for_each(spec, "ports[]", &mut |port| {
        let number = port["port"].clone();
        super::default_to(port, "targetPort", number);
    });
}

/// Allots what a new service gets: an address, and ports on the nodes if it is to be reached there.
pub(super) fn prepare_create(core: &Core, service: &mut Value) -> ApiResult<()> {
    allot_node_ports(core, &Value::Null, service)?;
    allot_address(core, service)
}

/// Whether the nodes have ports for it.
fn is_exposed(service: &Value) -> bool {
    let spec = &service["spec"];
    spec["type"] == "NodePort" || (spec["type"] == "LoadBalancer" && spec["allocateLoadBalancerNodePorts"] != false)
}

fn node_ports(service: &Value) -> Vec<u64> {
    let ports = service["spec"]["ports"].as_array().into_iter().flatten();
    ports.filter_map(|port| port["nodePort"].as_u64()).collect()
}

/// Gives the ports of the nodes that are asked for, where they are free, and the lowest free one to each port that has none.
fn allot_node_ports(core: &Core, old: &Value, service: &mut Value) -> ApiResult<()> {
    if !is_exposed(service) {
        return Ok(());
    }
    let own = ObjectName::new(meta::namespace(service), meta::name(service));
    let others = core.store.scan("services", None).filter(|(name, _)| **name != own);
    let mut taken: BTreeSet<u64> = others.flat_map(|(_, other)| node_ports(&other)).collect();
    let kept = node_ports(old);
    for (index, number) in asked_node_ports(service) {
        let why = if kept.contains(&number) {
            continue;
        } else if !NODE_PORTS.contains(&number) {
            let (first, last) = (NODE_PORTS.start(), NODE_PORTS.end());
            format!("provided port is not in the valid range. The range of valid ports is {first}-{last}")
        } else if taken.contains(&number) {
            "provided port is already allocated".to_owned()
        } else {
            continue;
        };
        let path = format!("spec.ports[{index}].nodePort");
        return Err(refused(service, &FieldError::invalid(path, &number.into(), why)));
    }
    taken.extend(node_ports(service));
    for port in service["spec"]["ports"].as_array_mut().into_iter().flatten() {
        if port["nodePort"].is_null() {
            let free = NODE_PORTS.into_iter().find(|number| !taken.contains(number));
            let free = free.ok_or_else(|| ApiError::internal("failed to allocate a nodePort: range is full"))?;
            taken.insert(free);
            port["nodePort"] = free.into();
        }
    }
    Ok(())
}

fn asked_node_ports(service: &Value) -> Vec<(usize, u64)> {
    let ports = service["spec"]["ports"].as_array().into_iter().flatten().enumerate();
    ports
        .filter_map(|(index, port)| Some((index, port["nodePort"].as_u64()?)))
        .collect()
}

fn refused(service: &Value, error: &FieldError) -> ApiError {
    ApiError::invalid("Service", "", meta::name(service), std::slice::from_ref(error))
}

/// Allots the lowest free address, unless one was asked for or the service is headless.
fn allot_address(core: &Core, service: &mut Value) -> ApiResult<()> {
    if !is_addressed(service) {
        return Ok(());
    }
    let taken = || -> BTreeSet<String> {
        let own = ObjectName::new(meta::namespace(service), meta::name(service));
        let others = core.store.scan("services", None).filter(|(name, _)| **name != own);
        others
            .filter_map(|(_, other)| other["spec"]["clusterIP"].as_str().map(str::to_owned))
            .collect()
    };
    let address = match service["spec"]["clusterIP"].as_str() {
        Some("None") => "None".to_owned(),
        Some(asked) if !asked.is_empty() => {
            if taken().contains(asked) {
                let why = format!("failed to allocate IP {asked}: provided IP is already allocated");
                return Err(refused(
                    service,
                    &FieldError::invalid("spec.clusterIPs", &json!([asked]), why),
                ));
            }
            asked.to_owned()
        }
        Some(_) | None => {
            let taken = taken();
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
        (false, true) => allot_address(core, service)?,
        (true, false) => drop_address(old, service),
        (true, true) => keep_address(old, service),
    }
    if is_exposed(old) && !is_exposed(service) && node_ports(old) == node_ports(service) {
        drop_node_ports(service);
    }
    keep_node_ports(old, service);
    allot_node_ports(core, old, service)
}

/// Takes the ports of nodes away that the update did not change, as it makes them of no use.
fn drop_node_ports(service: &mut Value) {
    let ports = service["spec"]["ports"].as_array_mut().into_iter().flatten();
    for port in ports.filter_map(Value::as_object_mut) {
        port.remove("nodePort");
    }
}

/// Keeps the ports of nodes that an update leaves out, as long as the service is to be reached there.
fn keep_node_ports(old: &Value, service: &mut Value) {
    if !is_exposed(service) {
        return;
    }
    let before = old["spec"]["ports"].as_array().cloned().unwrap_or_default();
    for port in service["spec"]["ports"].as_array_mut().into_iter().flatten() {
        let same = |known: &&Value| known["port"] == port["port"] && known["protocol"] == port["protocol"];
        if let Some(number) = before.iter().find(same).and_then(|known| known.get("nodePort")) {
            super::default_to(port, "nodePort", number.clone());
        }
    }
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

/// What a service must say, and that its address stays for good.
pub(super) fn problems(old: Option<&Value>, service: &Value) -> Vec<FieldError> {
    let mut errors = port_problems(&service["spec"]);
    errors.extend(address_problem(old, service));
    errors
}

fn port_problems(spec: &Value) -> Vec<FieldError> {
    let ports = spec["ports"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut errors = Vec::new();
    match spec["type"].as_str() {
        Some("ExternalName") if spec["externalName"].as_str().unwrap_or_default().is_empty() => {
            errors.push(FieldError::required("spec.externalName", ""));
        }
        Some("ExternalName") => {}
        Some(_) | None if ports.is_empty() && spec["clusterIP"] != "None" => {
            errors.push(FieldError::required("spec.ports", ""));
        }
        Some(_) | None => {}
    }
    for (index, port) in ports.iter().enumerate() {
        let path = format!("spec.ports[{index}]");
        if ports.len() > 1 && port["name"].as_str().unwrap_or_default().is_empty() {
            errors.push(FieldError::required(format!("{path}.name"), ""));
        }
        if port["port"]
            .as_i64()
            .is_some_and(|number| !(1..=65_535).contains(&number))
        {
            let detail = "must be between 1 and 65535, inclusive";
            errors.push(FieldError::invalid(format!("{path}.port"), &port["port"], detail));
        }
        if spec["type"] == "ClusterIP" && port["nodePort"].as_u64().is_some_and(|number| number > 0) {
            let detail = "may not be used when `type` is 'ClusterIP'";
            errors.push(FieldError::forbidden(format!("{path}.nodePort"), detail));
        }
    }
    errors
}

fn address_problem(old: Option<&Value>, service: &Value) -> Option<FieldError> {
    let now = &service["spec"]["clusterIPs"];
    match old {
        Some(old) if is_addressed(old) && is_addressed(service) && old["spec"]["clusterIPs"][0] != now[0] => Some(
            FieldError::invalid("spec.clusterIPs[0]", now, "may not change once set"),
        ),
        Some(_) | None => None,
    }
}
