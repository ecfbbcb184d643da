//! Kinds of the group `apiregistration.k8s.io`.

use serde_json::Value;

use super::column::{AGE, NAME, Printer, text};
use super::view::View;

pub(super) const PRINTERS: &[Printer] = &[Printer::new(
    "apiregistration.k8s.io",
    "APIService",
    &[
        NAME,
        text("Service", "The service that serves the group and version"),
        text("Available", "Whether the group and version is served"),
        AGE,
    ],
    api_service,
)];

fn api_service(service: &View<'_>) -> Vec<Value> {
    let backend = service.part("/spec/service");
    let backend = match service.has("/spec/service") {
        true => format!("{}/{}", backend.text("/namespace"), backend.text("/name")),
        false => "Local".to_owned(),
    };
    let available = match service.condition("/status/conditions", "Available") {
        None => "Unknown".to_owned(),
        Some(condition) => match (condition.text("/status"), condition.text("/reason")) {
            ("True", _) => "True".to_owned(),
            (status, "") => status.to_owned(),
            (status, reason) => format!("{status} ({reason})"),
        },
    };
    vec![service.name(), Value::from(backend), Value::from(available), service.age()]
}
