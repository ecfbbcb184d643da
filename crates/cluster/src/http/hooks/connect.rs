//! Commands, streams and proxied requests: what webhooks are told of them.

use serde_json::{Value, json};

use super::Matter;
use crate::{
    core::{
        hooks::Kind,
        status::{Failure, Outcome},
    },
    http::server::Call,
};

/// Asks whether what a call begins may begin.
///
/// # Errors
/// What the first webhook or policy that refuses says; 500 for one that would change the options, which have been read
/// already.
pub async fn ask(call: &Call<'_>) -> Outcome<()> {
    let Some(options) = options(call) else { return Ok(()) };
    let request = call.request();
    let kind = Kind::of("v1", options["kind"].as_str().unwrap_or_default());
    let matter = Matter::of_connection(&request, kind);
    let mut told = options.clone();
    matter.ask_all(Some(&mut told), None, &mut Vec::new()).await?;
    if told != options {
        let what = format!("{}/{}", call.path.resource, call.path.subresource);
        return Err(Failure::internal(format!("a webhook changed the options of {what}, which is not supported here")));
    }
    Ok(())
}

/// The options of a call in their own kind.
fn options(call: &Call<'_>) -> Option<Value> {
    let (kind, named) = match (call.path.resource.as_str(), call.path.subresource.as_str()) {
        ("pods", "exec") => ("PodExecOptions", true),
        ("pods", "attach") => ("PodAttachOptions", true),
        ("pods", "portforward") => ("PodPortForwardOptions", false),
        ("pods", "proxy") => ("PodProxyOptions", false),
        ("services", "proxy") => ("ServiceProxyOptions", false),
        ("nodes", "proxy") => ("NodeProxyOptions", false),
        _ => return None,
    };
    let mut options = json!({"kind": kind, "apiVersion": "v1"});
    if named {
        for name in ["stdin", "stdout", "stderr", "tty"].into_iter().filter(|name| call.options.flag(name)) {
            options[name] = true.into();
        }
        if let Some(container) = call.options.get("container").filter(|container| !container.is_empty()) {
            options["container"] = container.into();
        }
    }
    match kind {
        "PodExecOptions" => options["command"] = call.options.all("command").collect::<Vec<_>>().into(),
        "PodPortForwardOptions" => {
            let ports = call.options.all("ports").flat_map(|ports| ports.split(','));
            let ports: Vec<u16> = ports.filter_map(|port| port.parse().ok()).collect();
            if !ports.is_empty() {
                options["ports"] = ports.into();
            }
        }
        "PodAttachOptions" => {}
        _ => options["path"] = call.path.rest.as_str().into(),
    }
    Some(options)
}
