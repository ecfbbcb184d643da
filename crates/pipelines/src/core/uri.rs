//! URIs of artifacts.

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
    fn a_place_beside_an_output_stays_beside_it() {
        assert_eq!(beside("minio://b/task/model", "best/w").unwrap(), "minio://b/task/best/w");
        for at in ["", "/etc", "../other/model", "a/../../b", "a//b", "."] {
            assert_eq!(beside("minio://b/task/model", at), None, "{at}");
        }
        assert_eq!(beside("minio://b", "x"), None);
    }
}
