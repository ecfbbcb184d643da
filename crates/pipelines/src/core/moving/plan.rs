//! What of an export is new where it goes. Names decide, as they do for users: an experiment or a pipeline that is there
//! under its name and namespace is that one, whatever its id.

use std::collections::{BTreeMap, HashMap};

use super::manifest::{Manifest, Named, VersionOf};
use crate::core::id;

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

    /// The id that an experiment of a namespace of the export has where it is new. That of a default experiment follows from
    /// its namespace, so that it becomes the default one of the namespace that it goes to.
    fn experiment(&self, id: &str, old: &str) -> String {
        if id == id::default_experiment(old) { id::default_experiment(self.namespace(old)) } else { id.to_owned() }
    }
}

/// What becomes of a thing of the export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is added, with this id and under this name.
    New { id: String, name: String },
    /// It is there, under this id.
    There { id: String },
}

impl Fate {
    /// The id that it has then.
    pub fn id(&self) -> &str {
        match self {
            Self::New { id, .. } | Self::There { id } => id,
        }
    }
}

/// What is where the export goes.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    pub experiments: Vec<Named>,
    pub pipelines: Vec<Named>,
    /// Of pipelines that the export may add to.
    pub versions: Vec<VersionOf>,
    /// The pipelines of all versions, by the ids of the versions.
    pub owners: HashMap<String, String>,
}

/// What becomes of everything, by its id in the export.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    pub experiments: HashMap<String, Fate>,
    pub pipelines: HashMap<String, Fate>,
    pub versions: HashMap<String, Fate>,
}

impl Plan {
    /// The id that an experiment has then which something in `namespace` of the export names.
    pub fn experiment(&self, id: &str, namespace: &str, renames: &Renames) -> String {
        // One that the export does not have is gone, or the default one that nobody has used yet.
        self.experiments.get(id).map_or_else(|| renames.experiment(id, namespace), |fate| fate.id().to_owned())
    }
}

/// Says what becomes of everything, or why some of it cannot be: a line each.
///
/// # Errors
/// All that is in the way.
pub fn plan(manifest: &Manifest, standing: &Standing, renames: &Renames) -> Result<Plan, Vec<String>> {
    let mut faults = unknown_namespaces(manifest, renames);
    let default = |one: &Named| renames.experiment(&one.id, &one.namespace);
    let experiments = named("experiment", &manifest.experiments, &standing.experiments, renames, default, &mut faults);
    let same = |one: &Named| one.id.clone();
    let pipelines = named("pipeline", &manifest.pipelines, &standing.pipelines, renames, same, &mut faults);
    let versions = versions(manifest, standing, &pipelines, renames, &mut faults);
    if faults.is_empty() { Ok(Plan { experiments, pipelines, versions }) } else { Err(faults) }
}

/// Namespaces that are renamed and that the export does not have: what was meant would keep its name for good.
fn unknown_namespaces(manifest: &Manifest, renames: &Renames) -> Vec<String> {
    let unknown = renames.namespaces.iter().filter(|(old, _)| !manifest.namespaces.contains(old));
    let has = if manifest.namespaces.is_empty() { "none".to_owned() } else { manifest.namespaces.join(", ") };
    unknown
        .map(|(old, new)| {
            format!("nothing in the archive is of namespace {old}, which would be {new} now; it has {has}")
        })
        .collect()
}

fn named(
    kind: &str,
    given: &[Named],
    there: &[Named],
    renames: &Renames,
    new_id: impl Fn(&Named) -> String,
    faults: &mut Vec<String>,
) -> HashMap<String, Fate> {
    let mut by_name: HashMap<(&str, &str), String> =
        there.iter().map(|one| ((one.namespace.as_str(), one.name.as_str()), one.id.clone())).collect();
    let mut by_id: HashMap<String, (&str, &str)> =
        there.iter().map(|one| (one.id.clone(), (one.namespace.as_str(), one.name.as_str()))).collect();
    let mut fates = HashMap::new();
    for one in given {
        let namespace = renames.namespace(&one.namespace);
        let called = (namespace, one.name.as_str());
        let id = new_id(one);
        let fate = match (by_name.get(&called), by_id.get(&id)) {
            (Some(id), _) => Fate::There { id: id.clone() },
            (None, Some((other_namespace, other))) => {
                faults.push(format!(
                    "{kind} \"{}\" is there already, as \"{other}\" in namespace {other_namespace}, and would be in \
                     {namespace} now; import it into the namespace that it was imported into before",
                    one.name
                ));
                continue;
            }
            (None, None) => {
                by_name.insert(called, id.clone());
                by_id.insert(id.clone(), called);
                Fate::New { id, name: one.name.clone() }
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
    let given: HashMap<&str, &Named> = manifest.pipelines.iter().map(|one| (one.id.as_str(), one)).collect();
    let mut taken: HashMap<(String, String), (String, String)> = HashMap::new();
    let keyed = |pipeline: &str, name: &str| (pipeline.to_owned(), name.to_owned());
    for one in &standing.versions {
        taken.insert(keyed(&one.pipeline_id, &one.name), (one.id.clone(), one.digest.clone()));
    }
    let mut fates = HashMap::new();
    for one in &manifest.versions {
        // Its pipeline is in the way already.
        let Some(pipeline) = pipelines.get(&one.pipeline_id).map(Fate::id) else { continue };
        let named = given.get(one.pipeline_id.as_str()).map_or("", |named| named.name.as_str());
        match standing.owners.get(&one.id) {
            // It is there from before, whatever it is called.
            Some(owner) if owner == pipeline => {
                fates.insert(one.id.clone(), Fate::There { id: one.id.clone() });
                continue;
            }
            Some(owner) => {
                faults.push(owned_elsewhere(one, named, owner, standing));
                continue;
            }
            None => {}
        }
        let renamed = renames.suffix.as_ref().map(|suffix| format!("{}{suffix}", one.name));
        let same = |name: &str| taken.get(&keyed(pipeline, name)).filter(|(_, digest)| *digest == one.digest);
        let is_free = |name: &str| !taken.contains_key(&keyed(pipeline, name));
        let there = same(&one.name).or_else(|| renamed.as_deref().and_then(same)).map(|(id, _)| id.clone());
        let free = is_free(&one.name).then(|| one.name.clone()).or_else(|| renamed.filter(|name| is_free(name)));
        let fate = match (there, free) {
            (Some(id), _) => Fate::There { id },
            (None, Some(name)) => {
                taken.insert(keyed(pipeline, &name), (one.id.clone(), one.digest.clone()));
                Fate::New { id: one.id.clone(), name }
            }
            (None, None) => {
                faults.push(format!(
                    "pipeline \"{named}\" has another version \"{}\" there; give versions that differ a suffix that none \
                     has yet, with --suffix=-imported",
                    one.name
                ));
                continue;
            }
        };
        fates.insert(one.id.clone(), fate);
    }
    fates
}

/// Why a version cannot be added whose id one of another pipeline has.
fn owned_elsewhere(one: &VersionOf, pipeline: &str, owner: &str, standing: &Standing) -> String {
    let owner = standing.pipelines.iter().find(|other| other.id == owner);
    let place = owner.map_or_else(
        || "a pipeline that is gone".to_owned(),
        |owner| format!("pipeline \"{}\" in namespace {}", owner.name, owner.namespace),
    );
    format!(
        "version \"{}\" of pipeline \"{pipeline}\" is there already, of {place}; import it into the namespace that it was \
         imported into before",
        one.name
    )
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

    fn new(id: &str, name: &str) -> Fate {
        Fate::New { id: id.to_owned(), name: name.to_owned() }
    }

    fn all_there(experiments: Vec<Named>, pipelines: Vec<Named>, versions: Vec<VersionOf>) -> Standing {
        let owners = versions.iter().map(|one| (one.id.clone(), one.pipeline_id.clone())).collect();
        Standing { experiments, pipelines, versions, owners }
    }

    fn into_one(namespace: &str) -> Renames {
        Renames { namespace: Some(namespace.to_owned()), ..Renames::default() }
    }

    /// What there is after an import.
    fn after(manifest: &Manifest, standing: &Standing, plan: &Plan, renames: &Renames) -> Standing {
        let mut all = standing.clone();
        let added = |given: &[Named], fates: &HashMap<String, Fate>| -> Vec<Named> {
            let new = given.iter().filter(|one| matches!(fates[&one.id], Fate::New { .. }));
            new.map(|one| named(fates[&one.id].id(), renames.namespace(&one.namespace), &one.name)).collect()
        };
        all.experiments.extend(added(&manifest.experiments, &plan.experiments));
        all.pipelines.extend(added(&manifest.pipelines, &plan.pipelines));
        for one in &manifest.versions {
            if let Fate::New { id, name } = &plan.versions[&one.id] {
                all.versions.push(version(id, plan.pipelines[&one.pipeline_id].id(), name, &one.digest));
            }
        }
        all_there(all.experiments, all.pipelines, all.versions)
    }

    #[test]
    fn names_decide_what_is_there_and_contents_whether_a_version_is() {
        let manifest = Manifest {
            experiments: vec![named("e1", "a", "Default"), named("e2", "a", "mine")],
            pipelines: vec![named("p1", "a", "train"), named("p2", "a", "score")],
            versions: vec![version("v1", "p1", "1", "x"), version("v2", "p1", "2", "y"), version("v3", "p2", "1", "z")],
            ..Manifest::default()
        };
        let standing = all_there(
            vec![named("E", "team", "Default")],
            vec![named("P", "team", "train")],
            vec![version("V", "P", "1", "x"), version("W", "P", "2", "other")],
        );
        let into_team = into_one("team");
        let faults = plan(&manifest, &standing, &into_team).unwrap_err();
        assert_eq!(faults.len(), 1);
        assert!(faults[0].contains("\"train\"") && faults[0].contains("\"2\""), "{faults:?}");
        let renames = Renames { suffix: Some("-moved".to_owned()), ..into_team };
        let found = plan(&manifest, &standing, &renames).unwrap();
        assert_eq!(
            found.experiments,
            HashMap::from([("e1".to_owned(), is("E")), ("e2".to_owned(), new("e2", "mine"))])
        );
        assert_eq!(found.pipelines, HashMap::from([("p1".to_owned(), is("P")), ("p2".to_owned(), new("p2", "score"))]));
        let versions = [("v1", is("V")), ("v2", new("v2", "2-moved")), ("v3", new("v3", "1"))];
        assert_eq!(found.versions, versions.map(|(id, fate)| (id.to_owned(), fate)).into());
        let elsewhere = into_one("other");
        let again = after(&manifest, &standing, &found, &renames);
        let faults = plan(&manifest, &again, &elsewhere).unwrap_err();
        assert!(faults.iter().any(|fault| fault.contains("\"mine\"") && fault.contains("team")), "{faults:?}");
    }

    #[test]
    fn a_default_experiment_becomes_that_of_the_namespace_that_it_goes_to() {
        let default = |namespace: &str| named(&id::default_experiment(namespace), namespace, "Default");
        let manifest = Manifest { experiments: vec![default("a"), default("b")], ..Manifest::default() };
        let (a, b, team) = (default("a").id, default("b").id, default("team").id);
        // Where the export comes from the same cluster, or another one that has its own.
        let standing = all_there(vec![default("a")], Vec::new(), Vec::new());
        let found = plan(&manifest, &standing, &into_one("team")).unwrap();
        let fates = HashMap::from([(a.clone(), new(&team, "Default")), (b.clone(), is(&team))]);
        assert_eq!(found.experiments, fates, "the second joins the first");
        let renames = into_one("team");
        assert_eq!(found.experiment(&a, "a", &renames), team);
        let unlisted = id::default_experiment("c");
        assert_eq!(found.experiment(&unlisted, "c", &renames), team, "one that the export does not have");
        assert_eq!(found.experiment("e", "a", &renames), "e");
        let stays = plan(&manifest, &standing, &Renames::default()).unwrap();
        assert_eq!(stays.experiments, HashMap::from([(a.clone(), is(&a)), (b.clone(), new(&b, "Default"))]));
        let other = all_there(vec![named(&team, "c", "x")], Vec::new(), Vec::new());
        let faults = plan(&manifest, &other, &into_one("team")).unwrap_err();
        assert!(faults[0].contains("\"x\" in namespace c"), "an id that is taken for another reason: {faults:?}");
    }

    #[test]
    fn a_version_that_is_there_under_another_name_is_that_one_and_under_another_pipeline_is_in_the_way() {
        let manifest = Manifest {
            pipelines: vec![named("p", "a", "train")],
            versions: vec![version("v", "p", "2", "x")],
            ..Manifest::default()
        };
        // As an import with --suffix=-moved has left it, and then one with another suffix comes.
        let versions = vec![version("w", "p", "2", "other"), version("v", "p", "2-moved", "x")];
        let standing = all_there(Vec::new(), vec![named("p", "a", "train")], versions);
        let renames = Renames { suffix: Some("-friday".to_owned()), ..Renames::default() };
        assert_eq!(plan(&manifest, &standing, &renames).unwrap().versions, HashMap::from([("v".to_owned(), is("v"))]));
        // That of the other pipeline is known by its id alone.
        let pipelines = vec![named("p", "team-a", "train"), named("q", "team-b", "train")];
        let owners = HashMap::from([("v".to_owned(), "p".to_owned())]);
        let standing = Standing { pipelines, owners, ..Standing::default() };
        let faults = plan(&manifest, &standing, &into_one("team-b")).unwrap_err();
        assert_eq!(faults.len(), 1);
        assert!(faults[0].contains("version \"2\"") && faults[0].contains("in namespace team-a"), "{faults:?}");
    }

    #[test]
    fn a_namespace_that_the_export_does_not_have_is_not_renamed_silently() {
        let manifest = Manifest { namespaces: vec!["a".to_owned(), "b".to_owned()], ..Manifest::default() };
        let of = |old: &str| Renames { namespaces: [(old.to_owned(), "team".to_owned())].into(), ..Renames::default() };
        assert!(plan(&manifest, &Standing::default(), &of("b")).is_ok());
        let faults = plan(&manifest, &Standing::default(), &of("c")).unwrap_err();
        assert_eq!(faults, ["nothing in the archive is of namespace c, which would be team now; it has a, b"]);
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
            let standing = all_there(pipelines.clone(), pipelines, versions);
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
