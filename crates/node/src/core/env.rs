//! A container's variables, and the references to them in its command.
//!
//! Answers what a kubelet answers, in its order: service variables, `envFrom`, then `env`, where later
//! ones win and `$(NAME)` stands for one that came before. Reads no object: they are handed in.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{ConfigMap, Container, EnvVarSource, Pod, Secret, Service};

use super::fields::{self, Facts};

/// Objects that containers refer to, by name; those that do not exist are absent.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    pub config_maps: BTreeMap<String, ConfigMap>,
    pub secrets: BTreeMap<String, Secret>,
}

/// Names of objects that must be fetched before a container can start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct References {
    pub config_maps: BTreeSet<String>,
    pub secrets: BTreeSet<String>,
}

/// The objects that a container's variables refer to.
pub fn references(container: &Container, found: &mut References) {
    for source in container.env_from.iter().flatten() {
        found.config_maps.extend(source.config_map_ref.as_ref().map(|reference| reference.name.clone()));
        found.secrets.extend(source.secret_ref.as_ref().map(|reference| reference.name.clone()));
    }
    for source in container.env.iter().flatten().filter_map(|variable| variable.value_from.as_ref()) {
        found.config_maps.extend(source.config_map_key_ref.as_ref().map(|reference| reference.name.clone()));
        found.secrets.extend(source.secret_key_ref.as_ref().map(|reference| reference.name.clone()));
    }
}

/// A container's variables.
///
/// # Errors
/// The message of `CreateContainerConfigError` when something that is referred to is missing.
pub fn resolve(
    pod: &Pod,
    container: &Container,
    services: &BTreeMap<String, String>,
    sources: &Sources,
    facts: &Facts,
) -> Result<BTreeMap<String, String>, String> {
    let mut own = BTreeMap::new();
    for source in container.env_from.iter().flatten() {
        let prefix = source.prefix.as_deref().unwrap_or_default();
        if let Some(reference) = &source.config_map_ref {
            let optional = reference.optional.unwrap_or(false);
            let Some(map) = config_map(sources, &reference.name, optional)? else { continue };
            let data = map.data.iter().flatten();
            own.extend(data.map(|(key, value)| (format!("{prefix}{key}"), value.clone())));
        } else if let Some(reference) = &source.secret_ref {
            let optional = reference.optional.unwrap_or(false);
            let Some(secret) = secret(sources, &reference.name, optional)? else { continue };
            let data = secret.data.iter().flatten();
            own.extend(
                data.map(|(key, value)| (format!("{prefix}{key}"), String::from_utf8_lossy(&value.0).into_owned())),
            );
        }
    }
    for variable in container.env.iter().flatten() {
        let literal = variable.value.as_deref().unwrap_or_default();
        let value = match &variable.value_from {
            _ if !literal.is_empty() => Some(expand(literal, |name| lookup(name, &own, services))),
            Some(source) => resolve_source(pod, container, source, sources, facts)?,
            None => Some(String::new()),
        };
        if let Some(value) = value {
            own.insert(variable.name.clone(), value);
        }
    }
    let mut all = services.clone();
    all.extend(own);
    Ok(all)
}

fn lookup(name: &str, own: &BTreeMap<String, String>, services: &BTreeMap<String, String>) -> Option<String> {
    own.get(name).or_else(|| services.get(name)).cloned()
}

fn resolve_source(
    pod: &Pod,
    container: &Container,
    source: &EnvVarSource,
    sources: &Sources,
    facts: &Facts,
) -> Result<Option<String>, String> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    if let Some(field) = &source.field_ref {
        return fields::pod_field(pod, &field.field_path, facts).map(Some);
    }
    if let Some(selector) = &source.resource_field_ref {
        return fields::resource_field(selector, container, facts).map(Some);
    }
    if let Some(reference) = &source.config_map_key_ref {
        let optional = reference.optional.unwrap_or(false);
        let Some(map) = config_map(sources, &reference.name, optional)? else { return Ok(None) };
        let value = map.data.as_ref().and_then(|data| data.get(&reference.key)).cloned();
        if value.is_none() && !optional {
            return Err(format!("couldn't find key {} in ConfigMap {namespace}/{}", reference.key, reference.name));
        }
        return Ok(value);
    }
    if let Some(reference) = &source.secret_key_ref {
        let optional = reference.optional.unwrap_or(false);
        let Some(secret) = secret(sources, &reference.name, optional)? else { return Ok(None) };
        let value = secret.data.as_ref().and_then(|data| data.get(&reference.key));
        if value.is_none() && !optional {
            return Err(format!("couldn't find key {} in Secret {namespace}/{}", reference.key, reference.name));
        }
        return Ok(value.map(|value| String::from_utf8_lossy(&value.0).into_owned()));
    }
    Ok(Some(String::new()))
}

fn config_map<'a>(sources: &'a Sources, name: &str, optional: bool) -> Result<Option<&'a ConfigMap>, String> {
    match sources.config_maps.get(name) {
        None if !optional => Err(format!("configmap {name:?} not found")),
        found => Ok(found),
    }
}

fn secret<'a>(sources: &'a Sources, name: &str, optional: bool) -> Result<Option<&'a Secret>, String> {
    match sources.secrets.get(name) {
        None if !optional => Err(format!("secret {name:?} not found")),
        found => Ok(found),
    }
}

/// Replaces `$(NAME)` by its value; `$$` is a dollar, and an unknown reference stays as it is.
pub fn expand(text: &str, value_of: impl Fn(&str) -> Option<String>) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        result.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(after) = after.strip_prefix('$') {
            result.push('$');
            rest = after;
        } else if let Some((name, after)) = after.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            match value_of(name) {
                Some(value) => result.push_str(&value),
                None => result.push_str(&format!("$({name})")),
            }
            rest = after;
        } else {
            result.push('$');
            rest = after;
        }
    }
    result.push_str(rest);
    result
}

/// Variables that name the services of a namespace, and the API server's in any case.
pub fn service_variables<'a>(
    services: impl IntoIterator<Item = &'a Service>,
    namespace: &str,
    links: bool,
) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    for service in services {
        let name = service.metadata.name.as_deref().unwrap_or_default();
        let in_namespace = service.metadata.namespace.as_deref();
        let is_master = in_namespace == Some("default") && name == "kubernetes";
        if is_master || (links && in_namespace == Some(namespace)) {
            insert_service(&mut variables, name, service);
        }
    }
    variables
}

fn insert_service(variables: &mut BTreeMap<String, String>, name: &str, service: &Service) {
    let Some(spec) = &service.spec else { return };
    let Some(address) = spec.cluster_ip.as_deref().filter(|ip| !ip.is_empty() && *ip != "None") else { return };
    let prefix = variable_name(name);
    variables.insert(format!("{prefix}_SERVICE_HOST"), address.to_owned());
    for (index, port) in spec.ports.iter().flatten().enumerate() {
        let number = port.port;
        if index == 0 {
            variables.insert(format!("{prefix}_SERVICE_PORT"), number.to_string());
        }
        if let Some(name) = port.name.as_deref().filter(|name| !name.is_empty()) {
            variables.insert(format!("{prefix}_SERVICE_PORT_{}", variable_name(name)), number.to_string());
        }
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        let lower = protocol.to_lowercase();
        let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
        let url = format!("{lower}://{host}:{number}");
        if index == 0 {
            variables.insert(format!("{prefix}_PORT"), url.clone());
        }
        let port_prefix = format!("{prefix}_PORT_{number}_{}", protocol.to_uppercase());
        variables.insert(format!("{port_prefix}_PROTO"), lower);
        variables.insert(format!("{port_prefix}_PORT"), number.to_string());
        variables.insert(format!("{port_prefix}_ADDR"), address.to_owned());
        variables.insert(port_prefix, url);
    }
}

fn variable_name(name: &str) -> String {
    name.replace('-', "_").to_uppercase()
}

/// Variables for Open MPI, which finds the host's addresses of version 6 in `/proc/net` and would tell its peers of them:
/// the cluster has none.
pub fn network_variables() -> impl Iterator<Item = (String, String)> {
    let rows = [("OMPI_MCA_btl_tcp_disable_family", "6"), ("OMPI_MCA_oob_tcp_disable_ipv6_family", "1")];
    rows.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(container: serde_json::Value, expect: Result<&[(&str, &str)], &str>) {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "ns", "uid": "u", "labels": {"app": "x\"y"}, "annotations": {"a/b": "1"}},
            "spec": {"containers": []}
        }))
        .unwrap();
        let mut sources = Sources::default();
        let map = json!({"metadata": {"name": "cm"}, "data": {"K": "v", "L": "w"}});
        sources.config_maps.insert("cm".to_owned(), serde_json::from_value(map).unwrap());
        let secret = json!({"metadata": {"name": "s"}, "data": {"P": "aHVzaA=="}});
        sources.secrets.insert("s".to_owned(), serde_json::from_value(secret).unwrap());
        let services = BTreeMap::from([("SVC_SERVICE_HOST".to_owned(), "10.96.0.9".to_owned())]);
        let facts = Facts { pod_address: "10.244.0.5".to_owned(), ..Facts::default() };
        let container = serde_json::from_value(container).unwrap();
        let result = resolve(&pod, &container, &services, &sources, &facts).map(|mut all| {
            all.remove("SVC_SERVICE_HOST");
            all
        });
        let expect = expect.map(|rows| rows.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect());
        assert_eq!(result, expect.map_err(str::to_owned));
    }

    #[test]
    fn variables_come_from_everywhere_and_later_ones_win() {
        check(
            json!({"name": "c", "envFrom": [{"configMapRef": {"name": "cm"}, "prefix": "X_"}, {"configMapRef": {"name": "cm"}}],
                "env": [
                    {"name": "K", "value": "own"},
                    {"name": "REF", "value": "$(K)-$(X_L)-$(SVC_SERVICE_HOST)-$$(K)-$(NONE)-$"},
                    {"name": "PASS", "valueFrom": {"secretKeyRef": {"name": "s", "key": "P"}}},
                    {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                    {"name": "LABELS", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels"}}},
                    {"name": "ONE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['a/b']"}}},
                    {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
                    {"name": "MEM", "valueFrom": {"resourceFieldRef": {"resource": "requests.memory", "divisor": "1Mi"}}},
                    {"name": "GONE", "valueFrom": {"configMapKeyRef": {"name": "nope", "key": "K", "optional": true}}}
                ],
                "resources": {"limits": {"cpu": "1500m"}, "requests": {"memory": "100Mi"}}}),
            Ok(&[
                ("X_K", "v"),
                ("X_L", "w"),
                ("K", "own"),
                ("L", "w"),
                ("REF", "own-w-10.96.0.9-$(K)-$(NONE)-$"),
                ("PASS", "hush"),
                ("IP", "10.244.0.5"),
                ("LABELS", "app=\"x\\\"y\""),
                ("ONE", "1"),
                ("CPU", "2"),
                ("MEM", "100"),
            ]),
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        let from = |source: serde_json::Value| json!({"name": "c", "env": [{"name": "V", "valueFrom": source}]});
        check(from(json!({"configMapKeyRef": {"name": "nope", "key": "K"}})), Err("configmap \"nope\" not found"));
        check(from(json!({"secretKeyRef": {"name": "nope", "key": "K"}})), Err("secret \"nope\" not found"));
        check(
            from(json!({"configMapKeyRef": {"name": "cm", "key": "Z"}})),
            Err("couldn't find key Z in ConfigMap ns/cm"),
        );
        check(from(json!({"secretKeyRef": {"name": "s", "key": "Z"}})), Err("couldn't find key Z in Secret ns/s"));
    }

    #[test]
    fn services_are_told_as_variables() {
        let service: Service = serde_json::from_value(json!({
            "metadata": {"name": "my-db", "namespace": "ns"},
            "spec": {"clusterIP": "10.96.0.7", "ports": [{"port": 5432, "name": "sql"}]}
        }))
        .unwrap();
        let variables = service_variables([&service], "ns", true);
        assert_eq!(variables["MY_DB_SERVICE_HOST"], "10.96.0.7");
        assert_eq!(variables["MY_DB_SERVICE_PORT_SQL"], "5432");
        assert_eq!(variables["MY_DB_PORT_5432_TCP"], "tcp://10.96.0.7:5432");
        assert_eq!(variables.len(), 8);
        assert!(service_variables([&service], "ns", false).is_empty());
    }
}
