//! URLs as Go's `net/url.ParseRequestURI` reads them, for the `uri` format and for CEL.
//!
//! Answers the parts of a URL or why it is none; it never resolves or fetches one.

/// The parts of a request URI.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Url {
    pub scheme: String,
    /// With the port, without user information.
    pub host: String,
    /// As written.
    pub path: String,
    pub query: String,
    pub opaque: bool,
}

/// Whether the text is an absolute URL or an absolute path.
pub fn is_request_uri(text: &str) -> bool {
    parse(text).is_ok()
}

/// Parses a request URI.
///
/// # Errors
/// The reason in Go's words, without the `parse "…": ` before it.
pub fn parse(text: &str) -> Result<Url, String> {
    if text.bytes().any(|byte| byte < 0x20 || byte == 0x7f) {
        return Err("net/url: invalid control character in URL".to_owned());
    }
    if text.is_empty() {
        return Err("empty url".to_owned());
    }
    if text == "*" {
        return Ok(Url { path: "*".to_owned(), ..Url::default() });
    }
    let (scheme, rest) = scheme(text)?;
    let scheme = scheme.to_ascii_lowercase();
    let (rest, query) = match rest.strip_suffix('?') {
        Some(trimmed) if !trimmed.contains('?') => (trimmed, ""),
        _ => rest.split_once('?').unwrap_or((rest, "")),
    };
    let query = query.to_owned();
    if !rest.starts_with('/') {
        if scheme.is_empty() {
            return Err("invalid URI for request".to_owned());
        }
        return Ok(Url { scheme, query, opaque: true, ..Url::default() });
    }
    let mut url = Url { scheme, query, ..Url::default() };
    let mut path = rest;
    if let Some(after) = rest.strip_prefix("//").filter(|_| !url.scheme.is_empty()) {
        let end = after.find('/').unwrap_or(after.len());
        url.host = authority(&after[..end])?;
        path = &after[end..];
    }
    unescape(path, Part::Path)?;
    path.clone_into(&mut url.path);
    Ok(url)
}

fn scheme(text: &str) -> Result<(&str, &str), String> {
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' => {
                if at == 0 {
                    return Ok(("", text));
                }
            }
            b':' if at == 0 => return Err("missing protocol scheme".to_owned()),
            b':' => return Ok((&text[..at], &text[at + 1..])),
            _ => return Ok(("", text)),
        }
    }
    Ok(("", text))
}

fn authority(text: &str) -> Result<String, String> {
    let (user, host) = match text.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, text),
    };
    let host = parse_host(host)?;
    if let Some(user) = user {
        let valid = |char: char| char.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(char);
        if !user.chars().all(valid) {
            return Err("net/url: invalid userinfo".to_owned());
        }
        let (name, password) = user.split_once(':').unwrap_or((user, ""));
        unescape(name, Part::User)?;
        unescape(password, Part::User)?;
    }
    Ok(host)
}

fn parse_host(host: &str) -> Result<String, String> {
    if host.starts_with('[') {
        let Some(end) = host.rfind(']') else { return Err("missing ']' in host".to_owned()) };
        let port = &host[end + 1..];
        if !valid_port(port) {
            return Err(format!("invalid port {} after host", quote(port)));
        }
        if let Some(zone) = host[..end].find("%25") {
            let plain = unescape(&host[..zone], Part::Host)?;
            let zone_text = unescape(&host[zone..end], Part::Zone)?;
            let tail = unescape(&host[end..], Part::Host)?;
            return Ok(plain + &zone_text + &tail);
        }
    } else if let Some(at) = host.rfind(':') {
        let port = &host[at..];
        if !valid_port(port) {
            return Err(format!("invalid port {} after host", quote(port)));
        }
    }
    unescape(host, Part::Host)
}

fn valid_port(text: &str) -> bool {
    text.is_empty() || text.strip_prefix(':').is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Path,
    Host,
    Zone,
    User,
}

/// Go's `unescape`: percent decoding with the checks of the part.
fn unescape(text: &str, part: Part) -> Result<String, String> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        if byte == b'%' {
            let pair = bytes.get(at + 1..at + 3).filter(|pair| pair.iter().all(u8::is_ascii_hexdigit));
            let Some(pair) = pair else {
                let shown = String::from_utf8_lossy(&bytes[at..bytes.len().min(at + 3)]).into_owned();
                return Err(format!("invalid URL escape {}", quote(&shown)));
            };
            let value =
                std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok()).unwrap_or_default();
            let shown = String::from_utf8_lossy(&bytes[at..at + 3]).into_owned();
            if part == Part::Host && pair[0] < b'8' && &bytes[at..at + 3] != b"%25" {
                return Err(format!("invalid URL escape {}", quote(&shown)));
            }
            if part == Part::Zone && &bytes[at..at + 3] != b"%25" && value != b' ' && invalid_host_byte(value) {
                return Err(format!("invalid URL escape {}", quote(&shown)));
            }
            out.push(value);
            at += 3;
            continue;
        }
        if matches!(part, Part::Host | Part::Zone) && byte < 0x80 && invalid_host_byte(byte) {
            let shown = text[at..at + 1].to_owned();
            return Err(format!("invalid character {} in host name", quote(&shown)));
        }
        out.push(byte);
        at += 1;
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}

fn invalid_host_byte(byte: u8) -> bool {
    !(byte.is_ascii_alphanumeric() || b"-_.~!$&'()*+,;=:[]<>\"".contains(&byte))
}

fn quote(text: &str) -> String {
    format!("{text:?}")
}

impl Url {
    /// The host without its port, as Go's `Hostname`.
    pub fn hostname(&self) -> &str {
        match self.host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((inside, _)) => inside,
            None => self.host.rsplit_once(':').map_or(&*self.host, |(name, _)| name),
        }
    }

    /// The port's digits, or nothing.
    pub fn port(&self) -> &str {
        let after = self.host.rfind(']').map_or(&*self.host, |end| &self.host[end + 1..]);
        after.rsplit_once(':').map_or("", |(_, port)| port)
    }
}

impl Url {
    /// The path with what must not stand in a path escaped, as Go's `EscapedPath`.
    pub fn escaped_path(&self) -> String {
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@!'()*[]%".contains(&byte);
        if self.path.bytes().all(valid) {
            return self.path.clone();
        }
        let decoded = unescape(&self.path, Part::Path).unwrap_or_default();
        let keep = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@".contains(&byte);
        decoded
            .bytes()
            .map(|byte| if keep(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
            .collect()
    }

    /// The query's values by key, malformed pairs left out, as Go's `Query`.
    pub fn query_values(&self) -> Vec<(String, Vec<String>)> {
        let mut found: Vec<(String, Vec<String>)> = Vec::new();
        for pair in self.query.split('&').filter(|pair| !pair.is_empty() && !pair.contains(';')) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decode = |text: &str| unescape(&text.replace('+', " "), Part::Path);
            let (Ok(key), Ok(value)) = (decode(key), decode(value)) else { continue };
            match found.iter_mut().find(|(known, _)| *known == key) {
                Some((_, values)) => values.push(value),
                None => found.push((key, vec![value])),
            }
        }
        found
    }
}
