//! Which places of the store a namespace's runs may name and read.
//!
//! What a step writes lies at `<root>/<pipeline>/<run>/…`, so that a place tells by its parts whose it is: it belongs to the
//! run that it names. A place has one name, whatever URI leads to it (`Blobs::artifact`).

use std::collections::BTreeSet;

/// What is known of a run by its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Empty where the run is gone and its files are about to be.
    pub namespace: String,
}

/// What is recorded of a place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Of the runs that the place names.
    pub owners: Vec<Owner>,
    /// Whether runs of other namespaces lie below it.
    pub holds_others: bool,
}

/// Who wants to reach what.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    pub namespace: &'a str,
    /// As the user wrote it.
    pub uri: &'a str,
    /// The place of the URI.
    pub name: &'a str,
    /// The place of the server's own pipeline root.
    pub root: Option<&'a str>,
}

/// Whether `uri` is `above`, or leads below it and nowhere else.
pub fn is_within(uri: &str, above: &str) -> bool {
    let rest = uri.strip_prefix(above.trim_end_matches('/'));
    let is_below = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    is_below && !uri.split('/').any(|part| matches!(part, "." | ".."))
}

/// The parts of a place that may be ids of runs.
pub fn runs(name: &str) -> BTreeSet<&str> {
    name.split('/').filter(|part| is_uuid(part)).collect()
}

fn is_uuid(part: &str) -> bool {
    let is_dash = |at: usize| matches!(at, 8 | 13 | 18 | 23);
    part.len() == 36
        && part.bytes().enumerate().all(|(at, byte)| if is_dash(at) { byte == b'-' } else { byte.is_ascii_hexdigit() })
}

/// A place and all above it, the highest first.
pub fn above(name: &str) -> impl Iterator<Item = &str> {
    let ends = name.match_indices('/').map(|(at, _)| at).chain([name.len()]);
    ends.map(|end| &name[..end])
}

/// Says why a place is out of reach, and the way out.
///
/// # Errors
/// Where it is another namespace's, holds what is, or is of the server's root and of no run of the namespace.
pub fn check(wanted: Wanted<'_>, standing: &Standing) -> Result<(), String> {
    let Wanted { namespace, uri, name, root } = wanted;
    if standing.owners.iter().any(|owner| owner.namespace != namespace) {
        return Err(format!(
            "{uri} belongs to a run of another namespace; let those who may read it put a copy elsewhere, and name that"
        ));
    }
    let way_out = format!("import what a run of namespace {namespace:?} has made, or put the data elsewhere");
    if standing.holds_others || root.is_some_and(|root| is_within(root, name)) {
        return Err(format!("{uri} holds what runs of other namespaces have made; {way_out}"));
    }
    if standing.owners.is_empty() && root.is_some_and(|root| is_within(name, root)) {
        return Err(format!("{uri} lies where runs put what they make, and is of none of them; {way_out}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "minio/mlpipeline/v2/artifacts";
    const RUN: &str = "0a1b2c3d-0a1b-8a1b-aa1b-0a1b2c3d4e5f";

    fn checked(name: &str, owners: &[&str], holds_others: bool) -> Result<(), String> {
        let owners = owners.iter().map(|namespace| Owner { namespace: (*namespace).to_owned() }).collect();
        let wanted = Wanted { namespace: "a", uri: "the://uri", name, root: Some(ROOT) };
        check(wanted, &Standing { owners, holds_others })
    }

    #[test]
    fn a_place_is_reached_by_the_namespace_of_the_run_that_it_names_and_what_is_nobodys_by_all() {
        let (below, above, beside) = (format!("{ROOT}/p/{RUN}/x"), "minio/mlpipeline", format!("{ROOT}-b/x"));
        for (name, owners, holds_others, why) in [
            (below.as_str(), &["a"][..], false, None),
            (&below, &["b"], false, Some("another namespace")),
            // Within the other.
            (&below, &["a", "b"], false, Some("another namespace")),
            // It is being removed.
            (&below, &[""], false, Some("another namespace")),
            (&below, &[], false, Some("is of none of them")),
            (&format!("{ROOT}/p"), &[], false, Some("is of none of them")),
            (ROOT, &[], false, Some("holds what runs of other namespaces")),
            (above, &[], false, Some("holds what runs of other namespaces")),
            (&beside, &[], false, None),
            ("gs/bucket/data", &[], false, None),
            ("gs/bucket/data", &["b"], false, Some("another namespace")),
            ("gs/bucket", &[], true, Some("holds what runs of other namespaces")),
        ] {
            match (checked(name, owners, holds_others), why) {
                (Ok(()), None) => {}
                (Err(told), Some(why)) => assert!(told.contains(why) && told.contains("the://uri"), "{name}: {told}"),
                (found, why) => panic!("{name}: {found:?}, not {why:?}"),
            }
        }
    }

    #[test]
    fn a_place_names_the_runs_that_its_parts_are_ids_of() {
        let other = RUN.replace('0', "f");
        assert_eq!(runs(&format!("gs/b/{RUN}/x/{other}")), BTreeSet::from([RUN, &other]));
        assert!(runs(&format!("gs/b/x{RUN}/{}/{}", &RUN[1..], RUN.replace('-', "a"))).is_empty());
    }

    #[test]
    fn what_is_above_a_place_begins_with_the_scheme_and_ends_with_itself() {
        assert_eq!(above("gs/b/c").collect::<Vec<_>>(), ["gs", "gs/b", "gs/b/c"]);
    }

    #[test]
    fn within_is_at_or_below_and_never_around_a_corner() {
        for (uri, is) in [("a/b", true), ("a/b/c", true), ("a/bc", false), ("a", false), ("a/b/../c", false)] {
            assert_eq!((is_within(uri, "a/b"), is_within(uri, "a/b/")), (is, is), "{uri}");
        }
    }
}
