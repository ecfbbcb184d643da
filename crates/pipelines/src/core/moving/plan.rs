//! What of an export is new where it goes. Names decide, as they do for users: an experiment or a pipeline that is there
//! under its name and namespace is that one, whatever its id.

use std::collections::{BTreeMap, HashMap};

use super::manifest::{Manifest, Named, VersionOf};

/// How things are called where they go.
#[derive(Clone, Debug, Default)]
pub struct Renames {
    /// Namespaces by what they are called in the export.
    pub namespaces: BTreeMap<String, String>,
    /// For all that [`namespaces`](Self::namespaces) does not have; `None` leaves them.
    pub namespace: Option<String>,
    /// What is added to the name of a version where there is another one of that name.
    pub suffix: Option<String>,
}

impl Renames {
    /// What a namespace of the export is called.
    pub fn namespace<'a>(&'a self, old: &'a str) -> &'a str {
        self.namespaces.get(old).or(self.namespace.as_ref()).map_or(old, String::as_str)
    }
}

/// What becomes of a thing of the export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is added, under this name.
    New { name: String },
    /// It is there, under this id.
    There { id: String },
}

/// What is where the export goes.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    pub experiments: Vec<Named>,
    pub pipelines: Vec<Named>,
    pub versions: Vec<VersionOf>,
}

/// What becomes of everything, by its id in the export.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    pub experiments: HashMap<String, Fate>,
    pub pipelines: HashMap<String, Fate>,
    pub versions: HashMap<String, Fate>,
}

/// Says what becomes of everything, or why some of it cannot be: a line each.
///
/// # Errors
/// All that is in the way.
pub fn plan(manifest: &Manifest, standing: &Standing, renames: &Renames) -> Result<Plan, Vec<String>> {
    let mut faults = Vec::new();
    let experiments = named("experiment", &manifest.experiments, &standing.experiments, renames, &mut faults);
    let pipelines = named("pipeline", &manifest.pipelines, &standing.pipelines, renames, &mut faults);
    let versions = versions(manifest, standing, &pipelines, renames, &mut faults);
    if faults.is_empty() { Ok(Plan { experiments, pipelines, versions }) } else { Err(faults) }
}

fn named(
    kind: &str,
    given: &[Named],
    there: &[Named],
    renames: &Renames,
    faults: &mut Vec<String>,
) -> HashMap<String, Fate> {
    let mut by_name: HashMap<(&str, &str), &str> =
        there.iter().map(|one| ((one.namespace.as_str(), one.name.as_str()), one.id.as_str())).collect();
    let by_id: HashMap<&str, &Named> = there.iter().map(|one| (one.id.as_str(), one)).collect();
    let mut fates = HashMap::new();
    for one in given {
        let namespace = renames.namespace(&one.namespace);
        let fate = match (by_name.get(&(namespace, one.name.as_str())), by_id.get(one.id.as_str())) {
            (Some(id), _) => Fate::There { id: (*id).to_owned() },
            (None, Some(other)) => {
                faults.push(format!(
                    "{kind} \"{}\" is there already, as \"{}\" in namespace {}, and would be in {namespace} now; import \
                     it into the namespace that it was imported into before",
                    one.name, other.name, other.namespace
                ));
                continue;
            }
            (None, None) => {
                by_name.insert((namespace, &one.name), &one.id);
                Fate::New { name: one.name.clone() }
            }
        };
        fates.insert(one.id.clone(), fate);
    }
    fates
}

fn versions(
    manifest: &Manifest,
    standing: &Standing,
    pipelines: &HashMap<String, Fate>,
    renames: &Renames,
    faults: &mut Vec<String>,
) -> HashMap<String, Fate> {
    let names: HashMap<&str, &str> =
        manifest.pipelines.iter().map(|one| (one.id.as_str(), one.name.as_str())).collect();
    let mut taken: HashMap<(String, String), (String, String)> = HashMap::new();
    let keyed = |pipeline: &str, name: &str| (pipeline.to_owned(), name.to_owned());
    for one in &standing.versions {
        taken.insert(keyed(&one.pipeline_id, &one.name), (one.id.clone(), one.digest.clone()));
    }
    let mut fates = HashMap::new();
    for one in &manifest.versions {
        let pipeline = match pipelines.get(&one.pipeline_id) {
            Some(Fate::There { id }) => id.clone(),
            Some(Fate::New { .. }) => one.pipeline_id.clone(),
            // Its pipeline is in the way already.
            None => continue,
        };
        let renamed = renames.suffix.as_ref().map(|suffix| format!("{}{suffix}", one.name));
        let same = |name: &str| taken.get(&keyed(&pipeline, name)).filter(|(_, digest)| *digest == one.digest);
        let is_free = |name: &str| !taken.contains_key(&keyed(&pipeline, name));
        let there = same(&one.name).or_else(|| renamed.as_deref().and_then(same)).map(|(id, _)| id.clone());
        let free = is_free(&one.name).then(|| one.name.clone()).or_else(|| renamed.filter(|name| is_free(name)));
        let fate = match (there, free) {
            (Some(id), _) => Fate::There { id },
            (None, Some(name)) => {
                taken.insert(keyed(&pipeline, &name), (one.id.clone(), one.digest.clone()));
                Fate::New { name }
            }
            (None, None) => {
                let pipeline = names.get(one.pipeline_id.as_str()).copied().unwrap_or_default();
                faults.push(format!(
                    "pipeline \"{pipeline}\" has another version \"{}\" there; give versions that differ a suffix that \
                     none has yet, with --suffix=-imported",
                    one.name
                ));
                continue;
            }
        };
        fates.insert(one.id.clone(), fate);
    }
    fates
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn named(id: &str, namespace: &str, name: &str) -> Named {
        Named { id: id.to_owned(), namespace: namespace.to_owned(), name: name.to_owned() }
    }

    fn version(id: &str, pipeline: &str, name: &str, digest: &str) -> VersionOf {
        VersionOf {
            id: id.to_owned(),
            pipeline_id: pipeline.to_owned(),
            name: name.to_owned(),
            digest: digest.to_owned(),
        }
    }

    fn is(id: &str) -> Fate {
        Fate::There { id: id.to_owned() }
    }

    fn new(name: &str) -> Fate {
        Fate::New { name: name.to_owned() }
    }

    /// What there is after an import.
    fn after(manifest: &Manifest, standing: &Standing, plan: &Plan, renames: &Renames) -> Standing {
        let mut all = standing.clone();
        let added = |given: &[Named], fates: &HashMap<String, Fate>| -> Vec<Named> {
            let new = given.iter().filter(|one| matches!(fates[&one.id], Fate::New { .. }));
            new.map(|one| named(&one.id, renames.namespace(&one.namespace), &one.name)).collect()
        };
        all.experiments.extend(added(&manifest.experiments, &plan.experiments));
        all.pipelines.extend(added(&manifest.pipelines, &plan.pipelines));
        for one in &manifest.versions {
            if let Fate::New { name } = &plan.versions[&one.id] {
                let pipeline = match &plan.pipelines[&one.pipeline_id] {
                    Fate::There { id } => id,
                    Fate::New { .. } => &one.pipeline_id,
                };
                all.versions.push(version(&one.id, pipeline, name, &one.digest));
            }
        }
        all
    }

    #[test]
    fn names_decide_what_is_there_and_contents_whether_a_version_is() {
        let manifest = Manifest {
            experiments: vec![named("e1", "a", "Default"), named("e2", "a", "mine")],
            pipelines: vec![named("p1", "a", "train"), named("p2", "a", "score")],
            versions: vec![version("v1", "p1", "1", "x"), version("v2", "p1", "2", "y"), version("v3", "p2", "1", "z")],
            ..Manifest::default()
        };
        let standing = Standing {
            experiments: vec![named("E", "team", "Default")],
            pipelines: vec![named("P", "team", "train")],
            versions: vec![version("V", "P", "1", "x"), version("W", "P", "2", "other")],
        };
        let into_team = Renames { namespace: Some("team".to_owned()), ..Renames::default() };
        let faults = plan(&manifest, &standing, &into_team).unwrap_err();
        assert_eq!(faults.len(), 1);
        assert!(faults[0].contains("\"train\"") && faults[0].contains("\"2\""), "{faults:?}");
        let renames = Renames { suffix: Some("-moved".to_owned()), ..into_team };
        let found = plan(&manifest, &standing, &renames).unwrap();
        assert_eq!(found.experiments, HashMap::from([("e1".to_owned(), is("E")), ("e2".to_owned(), new("mine"))]));
        assert_eq!(found.pipelines, HashMap::from([("p1".to_owned(), is("P")), ("p2".to_owned(), new("score"))]));
        let versions = [("v1", is("V")), ("v2", new("2-moved")), ("v3", new("1"))];
        assert_eq!(found.versions, versions.map(|(id, fate)| (id.to_owned(), fate)).into());
        let elsewhere = Renames { namespace: Some("other".to_owned()), ..Renames::default() };
        let again = after(&manifest, &standing, &found, &renames);
        let faults = plan(&manifest, &again, &elsewhere).unwrap_err();
        assert!(faults.iter().any(|fault| fault.contains("\"mine\"") && fault.contains("team")), "{faults:?}");
    }

    proptest! {
        #[test]
        fn what_was_imported_is_all_there_when_it_is_imported_again(
            given in proptest::collection::btree_map((0..3_u8, 0..3_u8), proptest::collection::btree_map(0..3_u8, 0..2_u8, 0..3), 0..5),
            there in proptest::collection::btree_map((0..3_u8, 0..3_u8), proptest::collection::btree_map(0..3_u8, 0..2_u8, 0..3), 0..5),
            is_one in any::<bool>(),
        ) {
            let make = |all: &BTreeMap<(u8, u8), BTreeMap<u8, u8>>, own: &str| {
                let (mut pipelines, mut versions) = (Vec::new(), Vec::new());
                for ((namespace, name), of) in all {
                    let id = format!("{own}{namespace}{name}");
                    pipelines.push(named(&id, &namespace.to_string(), &name.to_string()));
                    for (version_name, digest) in of {
                        let version_id = format!("{id}{version_name}");
                        versions.push(version(&version_id, &id, &version_name.to_string(), &digest.to_string()));
                    }
                }
                (pipelines, versions)
            };
            let (pipelines, versions) = make(&given, "g");
            let manifest = Manifest { experiments: pipelines.clone(), pipelines, versions, ..Manifest::default() };
            let (pipelines, versions) = make(&there, "t");
            let standing = Standing { experiments: pipelines.clone(), pipelines, versions };
            let renames = Renames {
                namespace: is_one.then(|| "0".to_owned()), suffix: Some("+".to_owned()), ..Renames::default()
            };
            if let Ok(first) = plan(&manifest, &standing, &renames) {
                let after = after(&manifest, &standing, &first, &renames);
                let mut names: Vec<_> = after.versions.iter().map(|one| (&one.pipeline_id, &one.name)).collect();
                names.sort();
                let count = names.len();
                names.dedup();
                prop_assert_eq!(names.len(), count, "two versions of one name");
                let second = plan(&manifest, &after, &renames);
                let second = second.map_err(|faults| TestCaseError::fail(faults.join("; ")))?;
                let mut fates = second.experiments.values().chain(second.pipelines.values()).chain(second.versions.values());
                prop_assert!(fates.all(|fate| matches!(fate, Fate::There { .. })), "something is new");
            }
        }
    }
}
