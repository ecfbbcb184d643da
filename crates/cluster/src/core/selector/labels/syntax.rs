//! What a label's key and value may look like, in the words of Kubernetes.

const NAME_MAX_BYTES: usize = 63;
const SUBDOMAIN_MAX_BYTES: usize = 253;
const NAME_FAULT: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
     alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
     '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const VALUE_FAULT: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or \
     '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex \
     used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const SUBDOMAIN_FAULT: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' \
     or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
     '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

/// What is wrong with `[prefix/]name`; nothing when it is a qualified name.
pub(super) fn qualified_name_faults(key: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let name = match key.split('/').collect::<Vec<_>>().as_slice() {
        [name] => *name,
        [prefix, name] => {
            if prefix.is_empty() {
                faults.push("prefix part must be non-empty".to_owned());
            } else {
                faults.extend(subdomain_faults(prefix).into_iter().map(|fault| format!("prefix part {fault}")));
            }
            *name
        }
        _ => {
            let optional = " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
            return vec![format!("a qualified name {NAME_FAULT}{optional}")];
        }
    };
    if name.is_empty() {
        faults.push("name part must be non-empty".to_owned());
    } else if name.len() > NAME_MAX_BYTES {
        faults.push(format!("name part must be no more than {NAME_MAX_BYTES} characters"));
    }
    if !is_name(name) {
        faults.push(format!("name part {NAME_FAULT}"));
    }
    faults
}

/// What is wrong with a label's value; nothing when it may stand.
pub(super) fn label_value_faults(value: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if value.len() > NAME_MAX_BYTES {
        faults.push(format!("must be no more than {NAME_MAX_BYTES} characters"));
    }
    if !value.is_empty() && !is_name(value) {
        faults.push(VALUE_FAULT.to_owned());
    }
    faults
}

fn subdomain_faults(text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if text.len() > SUBDOMAIN_MAX_BYTES {
        faults.push(format!("must be no more than {SUBDOMAIN_MAX_BYTES} characters"));
    }
    let lower = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    if !text.split('.').all(|label| starts_ends_and_holds(label, lower, |byte| lower(byte) || byte == b'-')) {
        faults.push(SUBDOMAIN_FAULT.to_owned());
    }
    faults
}

fn is_name(text: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_alphanumeric();
    starts_ends_and_holds(text, alphanumeric, |byte| alphanumeric(byte) || b"-_.".contains(&byte))
}

fn starts_ends_and_holds(text: &str, edge: impl Fn(u8) -> bool, inner: impl Fn(u8) -> bool) -> bool {
    let bytes = text.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    edge(*first) && edge(*last) && bytes.iter().all(|byte| inner(*byte))
}
