//! Kinds of the group `discovery.k8s.io`.

use serde_json::Value;

use super::column::{AGE, NAME, Printer, text};
use super::service::few;
use super::view::View;

pub(super) const PRINTERS: &[Printer] = &[Printer::new(
    "discovery.k8s.io",
    "EndpointSlice",
    &[
        NAME,
        text("AddressType", "Whether addresses are IPv4, IPv6 or names"),
        text("Ports", "Ports of every endpoint"),
        text("Endpoints", "Addresses of the endpoints"),
        AGE,
    ],
    endpoint_slice,
)];

fn endpoint_slice(slice: &View<'_>) -> Vec<Value> {
    let port = |port: View<'_>| match port.get("/port") {
        Some(number) => number.to_string(),
        None => port.optional_text("/name", "*").to_owned(),
    };
    let ports: Vec<String> = slice.parts("/ports").map(port).collect();
    let addresses: Vec<String> =
        slice.parts("/endpoints").flat_map(|endpoint| endpoint.texts("/addresses")).map(str::to_owned).collect();
    vec![
        slice.name(),
        Value::from(slice.text("/addressType")),
        Value::from(few(&ports)),
        Value::from(few(&addresses)),
        slice.age(),
    ]
}
