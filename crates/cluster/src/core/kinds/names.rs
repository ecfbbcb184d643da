//! Formats of names, labels, ports and paths, with the messages of
//! `k8s.io/apimachinery/pkg/util/validation`.
//!
//! Each check returns the faults it found, none for a valid value. Nothing here knows a field's place.

/// What is wrong with a value; empty when nothing is.
pub type Faults = Vec<String>;

/// How the name of a kind must look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameRule {
    /// RFC 1123 subdomain, most kinds.
    Subdomain,
    /// RFC 1123 label: namespaces.
    Label,
    /// RFC 1035 label: services.
    Label1035,
    /// Anything that can stand in a URL path: roles and bindings.
    PathSegment,
    /// An IP address in canonical form.
    IpAddress,
    /// No rule of its own.
    Any,
}

impl NameRule {
    /// The faults of a whole name.
    pub fn check(self, name: &str) -> Faults {
        match self {
            Self::Subdomain => dns_subdomain(name),
            Self::Label => dns_label(name),
            Self::Label1035 => dns1035_label(name),
            Self::PathSegment => path_segment(name),
            Self::IpAddress => super::address::canonical_ip_faults(name),
            Self::Any => Faults::new(),
        }
    }

    /// The faults of a `generateName`, to which a suffix will be added.
    pub fn check_prefix(self, name: &str) -> Faults {
        match self {
            Self::PathSegment => path_segment_prefix(name),
            Self::IpAddress | Self::Any => self.check(name),
            Self::Subdomain | Self::Label | Self::Label1035 => self.check(&mask_trailing_dash(name)),
        }
    }
}

/// A prefix may end in a dash, since a suffix follows.
fn mask_trailing_dash(name: &str) -> String {
    match name.strip_suffix('-') {
        Some(rest) if !rest.is_empty() => {
            let mut masked = rest.to_owned();
            masked.pop();
            masked.push('a');
            masked
        }
        _ => name.to_owned(),
    }
}

const QUALIFIED_NAME: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";

/// `must be no more than N characters`.
pub fn max_length(length: usize) -> String {
    format!("must be no more than {length} characters")
}

/// `must be between A and B, inclusive`.
pub fn range(low: i64, high: i64) -> String {
    format!("must be between {low} and {high}, inclusive")
}

fn regex(message: &str, pattern: &str, examples: &[&str]) -> String {
    if examples.is_empty() {
        return format!("{message} (regex used for validation is '{pattern}')");
    }
    let examples: Vec<String> = examples.iter().map(|example| format!("'{example}', ")).collect();
    format!("{message} (e.g. {}regex used for validation is '{pattern}')", examples.join(" or "))
}

fn lower_alnum(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

fn label_shape(value: &str) -> bool {
    let bytes = value.as_bytes();
    match (bytes.first(), bytes.last()) {
        (Some(&first), Some(&last)) => {
            lower_alnum(first) && lower_alnum(last) && bytes.iter().all(|&byte| lower_alnum(byte) || byte == b'-')
        }
        _ => false,
    }
}

fn subdomain_shape(value: &str) -> bool {
    value.split('.').all(label_shape)
}

/// RFC 1123 label.
pub fn dns_label(value: &str) -> Faults {
    let mut faults = Faults::new();
    if value.len() > 63 {
        faults.push(max_length(63));
    }
    if !label_shape(value) {
        faults.push(if subdomain_shape(value) {
            "must not contain dots".to_owned()
        } else {
            regex(
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character",
                LABEL,
                &["my-name", "123-abc"],
            )
        });
    }
    faults
}

/// RFC 1123 subdomain.
pub fn dns_subdomain(value: &str) -> Faults {
    let mut faults = Faults::new();
    if value.len() > 253 {
        faults.push(max_length(253));
    }
    if !subdomain_shape(value) {
        faults.push(regex(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character",
            &format!("{LABEL}(\\.{LABEL})*"),
            &["example.com"],
        ));
    }
    faults
}

/// RFC 1123 subdomain whose labels may hold underscores: DNS search paths.
pub fn dns_subdomain_with_underscore(value: &str) -> Faults {
    const UNDERSCORED: &str = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?";
    let shape = |part: &str| {
        let part = part.strip_prefix('_').unwrap_or(part);
        let bytes = part.as_bytes();
        bytes.first().is_some_and(|&byte| lower_alnum(byte))
            && bytes.last().is_some_and(|&byte| lower_alnum(byte))
            && bytes.iter().all(|&byte| lower_alnum(byte) || byte == b'-' || byte == b'_')
    };
    let mut faults = Faults::new();
    if value.len() > 253 {
        faults.push(max_length(253));
    }
    if !value.split('.').all(shape) {
        faults.push(regex(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must start and end with an alphanumeric character",
            &format!("{UNDERSCORED}(\\.{UNDERSCORED})*"),
            &["example.com"],
        ));
    }
    faults
}

/// `*.` followed by a subdomain: hosts of ingresses.
pub fn wildcard_subdomain(value: &str) -> Faults {
    let mut faults = Faults::new();
    if value.len() > 253 {
        faults.push(max_length(253));
    }
    if !value.strip_prefix("*.").is_some_and(subdomain_shape) {
        faults.push(regex(
            "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
            &format!("\\*\\.{LABEL}(\\.{LABEL})*"),
            &["*.example.com"],
        ));
    }
    faults
}

/// RFC 1035 label.
pub fn dns1035_label(value: &str) -> Faults {
    let mut faults = Faults::new();
    if value.len() > 63 {
        faults.push(max_length(63));
    }
    if !(label_shape(value) && value.as_bytes()[0].is_ascii_lowercase()) {
        faults.push(regex(
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character",
            "[a-z]([-a-z0-9]*[a-z0-9])?",
            &["my-name", "abc-123"],
        ));
    }
    faults
}

fn qualified_shape(name: &str) -> bool {
    let bytes = name.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

fn qualified_message() -> String {
    regex(
        "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
        QUALIFIED_NAME,
        &["MyName", "my.name", "123-abc"],
    )
}

/// `name` or `prefix/name`: label keys, finalizers, resource names.
pub fn qualified_name(value: &str) -> Faults {
    let mut faults = Faults::new();
    let mut parts = value.split('/');
    let (first, second, rest) = (parts.next().unwrap_or(""), parts.next(), parts.next());
    let name = match (second, rest) {
        (None, _) => first,
        (Some(name), None) => {
            if first.is_empty() {
                faults.push("prefix part must be non-empty".to_owned());
            } else {
                faults.extend(dns_subdomain(first).into_iter().map(|fault| format!("prefix part {fault}")));
            }
            name
        }
        (Some(_), Some(_)) => {
            faults.push(format!(
                "a qualified name {} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
                qualified_message()
            ));
            return faults;
        }
    };
    if name.is_empty() {
        faults.push("name part must be non-empty".to_owned());
    } else if name.len() > 63 {
        faults.push(format!("name part {}", max_length(63)));
    }
    if !qualified_shape(name) {
        faults.push(format!("name part {}", qualified_message()));
    }
    faults
}

/// The value of a label.
pub fn label_value(value: &str) -> Faults {
    let mut faults = Faults::new();
    if value.len() > 63 {
        faults.push(max_length(63));
    }
    if !value.is_empty() && !qualified_shape(value) {
        faults.push(regex(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
            &format!("({QUALIFIED_NAME})?"),
            &["MyValue", "my_value", "12345"],
        ));
    }
    faults
}

/// A name that can stand in a URL path.
pub fn path_segment(name: &str) -> Faults {
    if name == "." || name == ".." {
        return vec![format!("may not be '{name}'")];
    }
    path_segment_prefix(name)
}

fn path_segment_prefix(name: &str) -> Faults {
    ["/", "%"].iter().filter(|part| name.contains(*part)).map(|part| format!("may not contain '{part}'")).collect()
}

/// A key of a ConfigMap or Secret.
pub fn config_map_key(value: &str) -> Faults {
    let mut faults = Faults::new();
    if value.len() > 253 {
        faults.push(max_length(253));
    }
    let shape = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if value.is_empty() || !value.as_bytes().iter().all(shape) {
        faults.push(regex(
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
            "[-._a-zA-Z0-9]+",
            &["key.name", "KEY_NAME", "key-name"],
        ));
    }
    match value {
        "." => faults.push("must not be '.'".to_owned()),
        ".." => faults.push("must not be '..'".to_owned()),
        _ if value.starts_with("..") => faults.push("must not start with '..'".to_owned()),
        _ => {}
    }
    faults
}

/// The name of an environment variable.
pub fn env_var_name(value: &str) -> Faults {
    let mut faults = Faults::new();
    if value.is_empty() {
        faults.push("environment variable name must be non-empty".to_owned());
    }
    if value.chars().any(|letter| !(' '..='~').contains(&letter) || letter == '=') {
        faults.push(
            "a valid environment variable name must consist only of printable ASCII characters other than '='"
                .to_owned(),
        );
    }
    faults
}

/// A port number.
pub fn port_number(port: i64) -> Faults {
    if (1..=65535).contains(&port) { Faults::new() } else { vec![range(1, 65535)] }
}

/// The name of a container's port.
pub fn port_name(port: &str) -> Faults {
    let bytes = port.as_bytes();
    let mut faults = Faults::new();
    if port.len() > 15 {
        faults.push(max_length(15));
    }
    if bytes.is_empty() || !bytes.iter().all(|&byte| lower_alnum(byte) || byte == b'-') {
        faults.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".to_owned());
    }
    if !bytes.iter().any(u8::is_ascii_lowercase) {
        faults.push("must contain at least one letter (a-z)".to_owned());
    }
    if port.contains("--") {
        faults.push("must not contain consecutive hyphens".to_owned());
    }
    if port.starts_with('-') || port.ends_with('-') {
        faults.push("must not begin or end with a hyphen".to_owned());
    }
    faults
}

/// `50%`.
pub fn percent(value: &str) -> Faults {
    let digits = value.strip_suffix('%').unwrap_or("");
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Faults::new();
    }
    vec![regex("a valid percent string must be a numeric string followed by an ending '%'", "[0-9]+%", &["1%", "93%"])]
}

/// The name of an HTTP header.
pub fn http_header_name(value: &str) -> Faults {
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Faults::new();
    }
    vec![regex(
        "a valid HTTP header must consist of alphanumeric characters or '-'",
        "[-A-Za-z0-9]+",
        &["X-Header-Name"],
    )]
}

/// A user or group number.
pub fn user_or_group_id(id: i64) -> Faults {
    if (0..=i64::from(i32::MAX)).contains(&id) { Faults::new() } else { vec![range(0, i64::from(i32::MAX))] }
}

/// Whether a string is the path part of a URL.
pub fn http_path_shape(path: &str) -> bool {
    !path.is_empty() && path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&byte))
}

/// The message for a path that is none.
pub fn http_path_fault() -> String {
    regex("Invalid path", r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+", &[])
}

/// The reason of a condition.
pub fn condition_reason(value: &str) -> Faults {
    let bytes = value.as_bytes();
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let shape = bytes.first().is_some_and(u8::is_ascii_alphabetic)
        && bytes.last().is_some_and(|&byte| word(byte))
        && bytes.iter().all(|&byte| word(byte) || byte == b',' || byte == b':');
    if shape {
        return Faults::new();
    }
    vec![regex(
        "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric characters or '_,:', and must end with an alphanumeric character or '_'",
        "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?",
        &["my_name", "MY_NAME", "MyName", "ReasonA,ReasonB", "ReasonA:ReasonB"],
    )]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_refused_with_upstream_texts() {
        assert_eq!(
            dns_subdomain("A_b"),
            [
                "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
            ]
        );
        assert_eq!(dns_label("a.b"), ["must not contain dots"]);
        assert_eq!(qualified_name("a/b/c").len(), 1);
        assert!(qualified_name("example.com/MyName").is_empty());
        assert!(label_value("").is_empty());
        assert!(dns1035_label("9a").len() == 1 && dns1035_label("").len() == 1);
        assert_eq!(path_segment(".."), ["may not be '..'"]);
    }

    #[test]
    fn a_generated_name_may_end_in_a_dash() {
        assert!(NameRule::Subdomain.check_prefix("abc-").is_empty());
        assert_eq!(NameRule::Subdomain.check("abc-").len(), 1);
        assert_eq!(NameRule::Subdomain.check_prefix("-").len(), 1);
    }
}
