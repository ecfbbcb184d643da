//! Parts of URIs: of requests, and of places beside an artifact's.

/// Text with its `%XX` read; `None` where that is no UTF-8, or no hexadecimal.
pub fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first == b'%' {
            let two = std::str::from_utf8(after.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(two, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

/// The value of a name in a query; a broken one is as none.
pub fn query(query: &str, name: &str) -> Option<String> {
    query.split('&').find_map(|pair| {
        let (own, value) = pair.split_once('=')?;
        (own == name).then(|| decoded(value)).flatten()
    })
}

/// The place `at`, relative to where `uri` lies: `minio://b/task/model` and `best/weights` are
/// `minio://b/task/best/weights`. `None` where that would lead elsewhere.
pub fn beside(uri: &str, at: &str) -> Option<String> {
    let (directory, _) = uri.rsplit_once('/')?;
    let inside = at.split('/').all(|part| !matches!(part, "" | "." | ".."));
    (inside && !directory.ends_with('/')).then(|| format!("{directory}/{at}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_signs_are_read_or_refused() {
        assert_eq!(decoded("a%20b%2Fc%C3%A9").unwrap(), "a b/cé");
        for broken in ["%", "%2", "%zz", "%ff"] {
            assert_eq!(decoded(broken), None, "{broken}");
        }
        assert_eq!(query("x=1&at=a%2Fb", "at").unwrap(), "a/b");
        assert_eq!(query("bat=1", "at"), None);
    }

    #[test]
    fn a_place_beside_an_output_stays_beside_it() {
        assert_eq!(beside("minio://b/task/model", "best/w").unwrap(), "minio://b/task/best/w");
        for at in ["", "/etc", "../other/model", "a/../../b", "a//b", "."] {
            assert_eq!(beside("minio://b/task/model", at), None, "{at}");
        }
        assert_eq!(beside("minio://b", "x"), None);
    }
}
