//! URIs of artifacts.

use super::fault::Fault;

/// Bytes of the longest URI that is recorded. PostgreSQL's indexes take 2,704 bytes a row; keys of S3 end at 1,024.
const LONGEST: usize = 2000;

/// Refuses a URI that no record can have, and what is none: without a scheme it would be a name of the server's own.
///
/// # Errors
/// [`Fault`] at `place`.
pub fn check(place: impl Into<String>, uri: &str) -> Result<(), Fault> {
    if !uri.contains("://") {
        let what = format!("is no URI: {uri:?} has no scheme; begin it with minio://, s3://, gs:// or another");
        return Err(Fault::new(place, what));
    }
    if uri.len() <= LONGEST {
        return Ok(());
    }
    let what = format!("is a URI of {} bytes, and {LONGEST} is the most; give a shorter one", uri.len());
    Err(Fault::new(place, what))
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
    fn a_uri_that_no_index_takes_is_refused_with_its_length() {
        let of_length = |length: usize| format!("s3://{}", "u".repeat(length - 5));
        assert_eq!(check("x", &of_length(2000)), Ok(()));
        let fault = check("importer.artifactUri", &of_length(2001)).unwrap_err().to_string();
        assert!(fault.contains("importer.artifactUri") && fault.contains("2001 bytes"), "{fault}");
    }

    #[test]
    fn what_has_no_scheme_is_no_uri() {
        for uri in ["pipelines/logs", "/etc/passwd", "own/x", "minio:/b/x", ""] {
            let fault = check("importer.artifactUri", uri).unwrap_err().to_string();
            assert!(fault.contains("has no scheme") && fault.contains(uri), "{fault}");
        }
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
