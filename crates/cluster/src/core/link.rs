//! Links in what a proxied program answers, so that they lead back to it through this server.
//!
//! Upstream's rules (k8s.io/apimachinery, `util/proxy/transport.go`): a link that is relative, or that names another
//! host, stays as it is; a path from the root gets the proxy's path before it, once.

/// Attributes that hold one link, by element: HTML 4.01 and HTML 5, as upstream has them.
const ATTRIBUTES: [(&str, &[&str]); 25] = [
    ("a", &["href"]),
    ("applet", &["codebase"]),
    ("area", &["href"]),
    ("audio", &["src"]),
    ("base", &["href"]),
    ("blockquote", &["cite"]),
    ("body", &["background"]),
    ("button", &["formaction"]),
    ("command", &["icon"]),
    ("del", &["cite"]),
    ("embed", &["src"]),
    ("form", &["action"]),
    ("frame", &["longdesc", "src"]),
    ("head", &["profile"]),
    ("html", &["manifest"]),
    ("iframe", &["longdesc", "src"]),
    ("img", &["longdesc", "src", "usemap"]),
    ("input", &["formaction", "src", "usemap"]),
    ("ins", &["cite"]),
    ("link", &["href"]),
    ("object", &["classid", "codebase", "data", "usemap"]),
    ("q", &["cite"]),
    ("script", &["src"]),
    ("source", &["src"]),
    ("video", &["poster", "src"]),
];

/// The attributes of an element that hold links; `element` in lower case.
pub fn attributes(element: &str) -> &'static [&'static str] {
    ATTRIBUTES.iter().find(|(name, _)| *name == element).map_or(&[], |(_, attributes)| *attributes)
}

/// Where links lead to.
#[derive(Clone, Debug)]
pub struct Inside {
    /// The path of the proxy, without the slash at its end.
    pub before: String,
    /// The host that the program was told it is.
    pub told: String,
    /// The host that the client asked.
    pub asked: String,
}

impl Inside {
    /// The link that leads to the same place through this server; `None` where it does already, or leads elsewhere.
    pub fn link(&self, link: &str) -> Option<String> {
        let link = link.trim();
        let (host, rest) = split(link)?;
        let is_asked = host == Some(self.asked.as_str());
        if host.is_some_and(|host| host != self.told) && !is_asked {
            return None;
        }
        let end = rest.find(['?', '#']).unwrap_or(rest.len());
        let (path, tail) = rest.split_at(end);
        if !path.starts_with('/') {
            return None;
        }
        // A client's own host stays: what it asked is where it finds us.
        let origin = if is_asked { link.strip_suffix(rest).unwrap_or_default() } else { "" };
        let clean = clean(path);
        let led = if clean == self.before || clean.starts_with(&format!("{}/", self.before)) {
            format!("{origin}{path}{tail}")
        } else {
            format!("{origin}{}{clean}{tail}", self.before)
        };
        (led != link).then_some(led)
    }
}

/// The host of a link, where it names one, and what follows it; `None` for a link of another kind than the web's.
fn split(link: &str) -> Option<(Option<&str>, &str)> {
    let after = match link.split_once("://") {
        Some((scheme, after)) if scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https") => after,
        Some((scheme, _)) if scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) => return None,
        _ => match link.strip_prefix("//") {
            Some(after) => after,
            None => return Some((None, link)),
        },
    };
    let (host, rest) = after.split_at(after.find(['/', '?', '#']).unwrap_or(after.len()));
    Some((Some(host), rest))
}

/// A path from the root without `.`, `..` and empty parts, so that no link leads out of the proxy's path.
fn clean(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let slash = if path.ends_with('/') && !parts.is_empty() { "/" } else { "" };
    format!("/{}{slash}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BEFORE: &str = "/api/v1/namespaces/a/services/b:80/proxy";

    fn inside() -> Inside {
        Inside { before: BEFORE.to_owned(), told: "localhost".to_owned(), asked: "127.0.0.1:6443".to_owned() }
    }

    #[test]
    fn links_are_led_through_the_proxy_as_upstream_leads_them() {
        let rows = [
            ("/", Some(format!("{BEFORE}/"))),
            ("/x?y=/z#/w", Some(format!("{BEFORE}/x?y=/z#/w"))),
            ("/static//app.css", Some(format!("{BEFORE}/static/app.css"))),
            ("/folder/", Some(format!("{BEFORE}/folder/"))),
            ("/../../secrets", Some(format!("{BEFORE}/secrets"))),
            ("http://localhost/x", Some(format!("{BEFORE}/x"))),
            ("//localhost/x", Some(format!("{BEFORE}/x"))),
            ("https://127.0.0.1:6443/x", Some(format!("https://127.0.0.1:6443{BEFORE}/x"))),
            (" /x ", Some(format!("{BEFORE}/x"))),
            ("x.html", None),
            ("../x.html", None),
            ("?page=2", None),
            ("#part", None),
            ("", None),
            ("http://localhost", None),
            ("http://elsewhere/x", None),
            ("//elsewhere/x", None),
            ("mailto:a@b.c", None),
            ("javascript:void(0)", None),
            ("data:image/png;base64,iVBORw0KGgo=", None),
            ("ftp://localhost/x", None),
            (&format!("{BEFORE}/x"), None),
        ];
        for (link, expected) in rows {
            assert_eq!(inside().link(link), expected, "{link}");
        }
    }

    #[test]
    fn elements_have_the_attributes_that_the_standard_gives_them() {
        assert_eq!(attributes("a"), ["href"]);
        assert_eq!(attributes("img"), ["longdesc", "src", "usemap"]);
        assert_eq!(attributes("source"), ["src"]);
        assert!(attributes("p").is_empty());
    }

    proptest! {
        #[test]
        fn a_link_that_was_led_through_the_proxy_is_not_led_again(path in "/([a-z.][a-z./]{0,19})?([?#][a-z/]{0,5})?") {
            let led = inside().link(&path).unwrap_or(path);
            prop_assert!(led.starts_with(BEFORE) , "{}", led);
            prop_assert_eq!(inside().link(&led), None);
        }
    }
}
