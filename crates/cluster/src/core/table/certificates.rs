//! Kinds of the group `certificates.k8s.io`.

use serde_json::Value;

use super::column::{AGE, NAME, Printer, text};
use super::duration;
use super::view::View;

pub(super) const PRINTERS: &[Printer] = &[Printer::new(
    "certificates.k8s.io",
    "CertificateSigningRequest",
    &[
        NAME,
        AGE,
        text("SignerName", "Who is asked to sign"),
        text("Requestor", "Who asks"),
        text("RequestedDuration", "How long the certificate should be valid"),
        text("Condition", "Whether the request is pending, approved or denied, and the certificate issued"),
    ],
    certificate_signing_request,
)];

fn certificate_signing_request(request: &View<'_>) -> Vec<Value> {
    let requested = match request.has("/spec/expirationSeconds") {
        true => duration::human(i128::from(request.integer("/spec/expirationSeconds")) * duration::SECOND),
        false => "<none>".to_owned(),
    };
    vec![
        request.name(),
        request.age(),
        Value::from(request.text_or("/spec/signerName", "<none>")),
        Value::from(request.text("/spec/username")),
        Value::from(requested),
        Value::from(condition(request)),
    ]
}

fn condition(request: &View<'_>) -> String {
    let has = |kind: &str| request.condition("/status/conditions", kind).is_some();
    let mut condition = match (has("Denied"), has("Approved")) {
        (true, _) => "Denied",
        (false, true) => "Approved",
        (false, false) => "Pending",
    }
    .to_owned();
    if has("Failed") {
        condition.push_str(",Failed");
    }
    if !request.text("/status/certificate").is_empty() {
        condition.push_str(",Issued");
    }
    condition
}
