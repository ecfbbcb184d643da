//! Names of images, written out in full as container runtimes keep them.

/// The full form of a name: with its registry, its folder there and its tag (`busybox` is
/// `docker.io/library/busybox:latest`).
///
/// Rule: <https://github.com/distribution/reference>, `ParseNormalizedNamed` and `TagNameOnly`.
pub fn in_full(name: &str) -> String {
    let (host, rest) = match name.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest.to_owned()),
        Some(_) => ("docker.io", name.to_owned()),
        None => ("docker.io", format!("library/{name}")),
    };
    let last = rest.rsplit('/').next().unwrap_or_default();
    let tag = if last.contains([':', '@']) { "" } else { ":latest" };
    format!("{host}/{rest}{tag}")
}

#[cfg(test)]
mod tests {
    use super::in_full;

    #[test]
    fn names_are_written_out() {
        for (short, full) in [
            ("busybox", "docker.io/library/busybox:latest"),
            ("ferroflow:dev", "docker.io/library/ferroflow:dev"),
            ("lachlanevenson/tf-mnist:gpu", "docker.io/lachlanevenson/tf-mnist:gpu"),
            ("registry.k8s.io/pause:3.10", "registry.k8s.io/pause:3.10"),
            ("localhost:5000/a", "localhost:5000/a:latest"),
            ("a@sha256:00", "docker.io/library/a@sha256:00"),
        ] {
            assert_eq!(in_full(short), full);
        }
    }
}
