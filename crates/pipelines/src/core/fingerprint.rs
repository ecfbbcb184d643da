//! What a step stands for in the cache: two steps with one fingerprint would make the same.
//!
//! Upstream's key (`driver/cache.go`): names of input artifacts, input parameters as they were resolved and without
//! defaults, what is declared of outputs, image, command and claims that are mounted. Ours has defaults, the environment
//! and what else the platform document mounts or sets in it, since all of these change what a step does. (The digest of the image
//! is compared beside it: when a step is looked up its image may not be here yet, and then it is not known.) The pipeline's name is in it too, which upstream has beside it.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{
    ir::{Component, Container, Task},
    value::{Artifact, Values},
};

/// Settings of the platform document that a step can see, by their fields.
const VISIBLE: [&str; 7] = [
    "secretAsEnv",
    "secretAsVolume",
    "configMapAsEnv",
    "configMapAsVolume",
    "fieldPathAsEnv",
    "genericEphemeralVolume",
    "initContainers",
];

/// The fingerprint of a step: 64 hexadecimal digits.
///
/// `settings` are the executor's as [`pod::settings`](super::pod::settings) gave them. With `cacheKey` only that and the component's name count.
pub fn of(
    pipeline: &str,
    task: &Task,
    component: &Component,
    container: &Container,
    inputs: &Values,
    settings: &Map<String, Value>,
) -> String {
    if let Some(key) = &task.caching.key {
        return hash(format!("{pipeline}\0{}\0{key}", task.component).as_bytes());
    }
    let artifacts: Map<String, Value> = inputs
        .artifacts
        .iter()
        .map(|(name, list)| (name.clone(), list.iter().map(identity).collect::<Vec<_>>().into()))
        .collect();
    let outputs: Map<String, Value> = component
        .outputs
        .artifacts
        .iter()
        .map(|(name, output)| {
            let declared = json!([output.schema.title, output.schema.version, output.metadata, output.is_list]);
            (name.clone(), declared)
        })
        .collect();
    let kinds: Map<String, Value> =
        component.outputs.parameters.iter().map(|(name, kind)| (name.clone(), kind.name().into())).collect();
    let claims: BTreeSet<String> = super::pod::claims(settings).collect();
    let env: Vec<Value> = container.env.iter().map(|(name, value)| json!([name, value])).collect();
    let visible: Map<String, Value> =
        VISIBLE.iter().filter_map(|field| Some(((*field).to_owned(), settings.get(*field)?.clone()))).collect();
    let key = json!({
        "pipeline": pipeline,
        "inputArtifacts": artifacts,
        "inputParameters": parameters(component, inputs),
        "outputArtifacts": outputs,
        "outputParameters": kinds,
        "image": container.image,
        "command": container.command,
        "args": container.args,
        "claims": claims,
        "env": env,
        "platform": visible,
    });
    hash(canonical(&key).to_string().as_bytes())
}

/// Input parameters as the step sees them: where nothing was given, a default counts.
fn parameters(component: &Component, inputs: &Values) -> Map<String, Value> {
    let defaults = component.inputs.parameters.iter();
    let defaults = defaults.filter_map(|(name, declared)| Some((name, declared.default.as_ref()?)));
    let given = inputs.parameters.iter().filter(|(_, value)| !value.is_null());
    defaults.chain(given).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// What an input artifact is known by: its id in the store; without one, where it is and what is said of it.
fn identity(artifact: &Artifact) -> Value {
    if artifact.id.is_empty() { json!([artifact.uri, artifact.metadata]) } else { artifact.id.clone().into() }
}

/// The value with the fields of objects in the order of their names, at any depth.
fn canonical(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut sorted: Vec<_> = fields.iter().collect();
            sorted.sort_by_key(|(name, _)| *name);
            sorted.into_iter().map(|(name, value)| (name.clone(), canonical(value))).collect()
        }
        Value::Array(items) => items.iter().map(canonical).collect(),
        other => other.clone(),
    }
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::ir::{Body, Caching, InputParameter, Inputs, Outputs, ParameterType};

    struct Case {
        task: Task,
        component: Component,
        container: Container,
        inputs: Values,
        settings: Map<String, Value>,
    }

    impl Case {
        fn new() -> Self {
            let document = json!({
                "pipelineInfo": {"name": "p"}, "schemaVersion": "2.1.0",
                "deploymentSpec": {"executors": {"e": {"container": {"image": "i"}}}},
                "components": {"c": {"executorLabel": "e"}},
                "root": {"dag": {"tasks": {"t": {"componentRef": {"name": "c"}}}}},
            });
            let pipeline = crate::core::ir::read::pipeline(&document).unwrap();
            let mut inputs = Values::default();
            inputs.parameters.insert("n".to_owned(), json!({"b": 1, "a": 2}));
            let artifact = Artifact { id: "a1".to_owned(), ..Artifact::default() };
            inputs.artifacts.insert("data".to_owned(), vec![artifact]);
            Self {
                task: pipeline.root.dag().unwrap().tasks["t"].clone(),
                component: Component {
                    inputs: Inputs::default(),
                    outputs: Outputs::default(),
                    body: Body::Executor("e".to_owned()),
                    passthroughs: Vec::new(),
                },
                container: Container { image: "i".to_owned(), command: vec!["true".into()], ..Container::default() },
                inputs,
                settings: Map::new(),
            }
        }

        fn fingerprint(&self) -> String {
            of("p", &self.task, &self.component, &self.container, &self.inputs, &self.settings)
        }
    }

    /// A name, whether the fingerprint changes, and what is changed.
    type Row = (&'static str, bool, fn(&mut Case));

    #[test]
    fn what_a_step_can_see_is_in_it_and_nothing_else() {
        let base = Case::new().fingerprint();
        assert_eq!(base, Case::new().fingerprint());
        let rows: [Row; 13] = [
            ("a parameter", true, |case| drop(case.inputs.parameters.insert("n".to_owned(), json!({"a": 2, "b": 2})))),
            ("the order of fields", false, |case| {
                drop(case.inputs.parameters.insert("n".to_owned(), json!({"a": 2, "b": 1})));
            }),
            ("null", false, |case| drop(case.inputs.parameters.insert("o".to_owned(), Value::Null))),
            ("an artifact", true, |case| case.inputs.artifacts.get_mut("data").unwrap()[0].id = "a2".to_owned()),
            ("an artifact's URI", false, |case| case.inputs.artifacts.get_mut("data").unwrap()[0].uri = "u".to_owned()),
            ("the image", true, |case| case.container.image = "j".to_owned()),
            ("an argument", true, |case| case.container.args.push("x".into())),
            ("the environment", true, |case| case.container.env.push(("A".to_owned(), "b".to_owned()))),
            ("resources", false, |case| case.container.resources.cpu_limit = Some("1".to_owned())),
            ("an output", true, |case| {
                case.component.outputs.parameters.insert("o".to_owned(), ParameterType::Integer);
            }),
            ("a claim", true, |case| {
                drop(case.settings.insert("pvcMount".to_owned(), json!([{"pvcName": "p", "mountPath": "/a"}])));
            }),
            ("a toleration", false, |case| drop(case.settings.insert("tolerations".to_owned(), json!([{"key": "k"}])))),
            ("a secret", true, |case| {
                drop(case.settings.insert("secretAsEnv".to_owned(), json!([{"secretName": "s"}])))
            }),
        ];
        for (what, changes, change) in rows {
            let mut case = Case::new();
            change(&mut case);
            assert_eq!(case.fingerprint() != base, changes, "{what}");
        }
    }

    /// A case whose component has the input `d` with a default.
    fn with_default(default: i64, given: Option<Value>) -> Case {
        let mut case = Case::new();
        let declared = InputParameter {
            kind: ParameterType::Integer,
            default: Some(default.into()),
            is_optional: true,
            literals: Vec::new(),
            description: String::new(),
        };
        case.component.inputs.parameters.insert("d".to_owned(), declared);
        case.inputs.parameters.extend(given.map(|value| ("d".to_owned(), value)));
        case
    }

    #[test]
    fn a_default_counts_as_if_it_had_been_given_where_nothing_was() {
        let base = with_default(1, None).fingerprint();
        assert_ne!(with_default(2, None).fingerprint(), base);
        assert_ne!(with_default(1, Some(2.into())).fingerprint(), base);
        assert_eq!(with_default(1, Some(Value::Null)).fingerprint(), base);
        assert_eq!(with_default(2, Some(1.into())).fingerprint(), base);
    }

    #[test]
    fn a_key_of_the_task_is_all_that_counts() {
        let mut case = Case::new();
        case.task.caching = Caching { is_enabled: true, key: Some("k".to_owned()) };
        let base = case.fingerprint();
        case.container.image = "j".to_owned();
        assert_eq!(case.fingerprint(), base);
        case.task.caching.key = Some("l".to_owned());
        assert_ne!(case.fingerprint(), base);
    }
}
