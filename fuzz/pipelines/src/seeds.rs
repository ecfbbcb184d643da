//! The first inputs of each target. Any target writes them all when it is started with [`VARIABLE`] set.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The directory that seeds are to be written to.
const VARIABLE: &str = "FERROFLOW_FUZZ_SEEDS";

/// Pipelines that were written by hand for the conformance of clients.
const PIPELINES: [&str; 5] = [
    include_str!("../../../conformance/kfp/cases/conditions-by-hand.yaml"),
    include_str!("../../../conformance/kfp/cases/literals.yaml"),
    include_str!("../../../conformance/kfp/cases/placeholders-as-text.yaml"),
    include_str!("../../../conformance/kfp/cases/selectors.yaml"),
    include_str!("../../../conformance/kfp/cases/skipped-dependents.yaml"),
];

const LARGE: &str = r#"{"pipelineInfo":{"name":"p"},"schemaVersion":"2.1.0","sdkVersion":"kfp-2.17.0","defaultPipelineRoot":"s3://b",
"deploymentSpec":{"executors":{"e":{"container":{"image":"i","command":["sh"],"args":["{{$}}"],"env":[{"name":"A","value":"b"}],
"resources":{"cpuLimit":1.0,"resourceMemoryLimit":"1G","accelerator":{"resourceType":"nvidia.com/gpu","resourceCount":"1"}}}},
"f":{"importer":{"artifactUri":{"constant":"gs://a"},"typeSchema":{"schemaTitle":"system.Dataset","schemaVersion":"0.0.1"},"metadata":{"k":[1]}}}}},
"components":{"c":{"executorLabel":"e","inputDefinitions":{"parameters":{"n":{"parameterType":"NUMBER_INTEGER","defaultValue":1.0,
"isOptional":true,"literals":[1]}},"artifacts":{"a":{"artifactType":{"schemaTitle":"system.Dataset"},"isArtifactList":true,"isOptional":true}}},
"outputDefinitions":{"parameters":{"o":{"parameterType":"LIST"}},"artifacts":{"m":{"artifactType":{"instanceSchema":"title: x\ntype: object"},"metadata":{}}}}},
"i":{"executorLabel":"f","outputDefinitions":{"artifacts":{"artifact":{"artifactType":{"schemaTitle":"system.Dataset"}}}}},
"d":{"dag":{"tasks":{"t":{"componentRef":{"name":"c"},"inputs":{"parameters":{"n":{"componentInputParameter":"x"}}}}},
"outputs":{"parameters":{"o":{"valueFromParameter":{"producerSubtask":"t","outputParameterKey":"o"}}}}},"inputDefinitions":{"parameters":
{"x":{"parameterType":"NUMBER_INTEGER"}}},"outputDefinitions":{"parameters":{"o":{"parameterType":"LIST"}}}}},
"root":{"dag":{"tasks":{"l":{"componentRef":{"name":"d"},"parameterIterator":{"itemInput":"x","items":{"raw":"[1,2]"}},
"iteratorPolicy":{"parallelismLimit":2},"triggerPolicy":{"condition":"1 == 1"}},"i":{"componentRef":{"name":"i"}},
"u":{"componentRef":{"name":"c"},"taskInfo":{"name":"u"},"dependentTasks":["l"],"cachingOptions":{"enableCache":true,"cacheKey":"k"},
"retryPolicy":{"maxRetryCount":2,"backoffDuration":"2s","backoffFactor":2.0,"backoffMaxDuration":"3600s"},
"triggerPolicy":{"strategy":"ALL_UPSTREAM_TASKS_COMPLETED"},"inputs":{"parameters":{"n":{"runtimeValue":{"constant":3.0},
"parameterExpressionSelector":"parseJson(string_value)[\"a\"]"}},"artifacts":{"a":{"taskOutputArtifact":{"producerTask":"i","outputArtifactKey":"artifact"}}}}}}}}}"#;

const PLATFORM: &str = "---\nplatforms:\n  kubernetes:\n    deploymentSpec:\n      executors:\n        e:\n          nodeSelector: {labels: {a: b}}\n          \
tolerations: [{key: k, operator: Exists, effect: NoSchedule, tolerationSeconds: '5'}]\n          secretAsEnv: [{secretName: s, keyToEnv: [{secretKey: a, envVar: B}]}]\n          \
pvcMount: [{constant: c, mountPath: /a}]\n          podMetadata: {labels: {a: b}}\n    pipelineConfig: {workspace: {size: 1Gi}}\n";

const EXPRESSIONS: [&str; 9] = [
    "inputs.parameter_values['s'] == 'heads' && !(int(inputs.parameter_values['n']) > 5)",
    "double(int(inputs.parameter_values['n'])) <= 5.0 || has(inputs.parameter_values.z)",
    "parseJson(string_value)[\"k\"]",
    "inputs.parameter_values['l'].exists(x, x == 'x') ? size('é') == 1 : 1 + 2 * 3 % 4 == -3",
    "inputs.parameter_values.many.all(a, inputs.parameter_values.many.exists(b, a == b))",
    "[1, 2.5, r'\\n'].map(x, x != 1, [x]).filter(y, y.size() == 1) == {'a': [0x1F]}.a",
    "inputs.parameter_values['s'].matches('^h.*s$') && 's' in inputs.parameter_values['o']",
    "string(1e21) + \"\\u00e9\\x41\" < 'b'.startsWith('a')",
    "struct_value.o['a'].b",
];

const PLACEHOLDERS: [&str; 7] = [
    "x-{{$.pipeline_job_name}}-{{$.inputs.parameters['n']}}",
    "{{$.inputs.parameters[\"s\"]}}{{$.inputs.artifacts[''n''].metadata['k']}}\0v",
    "{\"a\": \"{{$.inputs.parameters['s']}}\"}\0\"\\\n",
    "[\"{{$.inputs.parameters[\\\"s\\\"]}}\", {{$.inputs.parameters['n']}}]\0{{$}}",
    "{{$}}{{$.json_escape[1]}}{{$.outputs.parameters['o'].output_file}}",
    "{{$ {{$.pipeline_job_name}} {{$.nothing}}",
    "{\"{{$.outputs.artifacts['a'].uri}}\": 1}",
];

const REQUESTS: [(u8, &str); 12] = [
    (
        0,
        r#"{"cron_schedule":{"cron":"0 */5 * * * *","start_time":"2023-01-01T00:00:00Z","end_time":"2030-01-01T00:00:00Z"}}"#,
    ),
    (0, r#"{"periodicSchedule":{"interval_second":"60","startTime":"2023-11-14T22:00:00Z"}}"#),
    (0, r#"{"cron_schedule":{"cron":"@every 1h"}}"#),
    (0, r#"{"cron_schedule":{"cron":"0 0 12 ? JAN-MAR/2 MON,WED"}}"#),
    (
        1,
        r#"{"predicates":[{"operation":1,"key":"display_name","stringValue":"x"},{"operation":"IN","key":"state","string_values":{"values":["a"]}}]}"#,
    ),
    (
        1,
        r#"{"predicates":[{"operation":7,"key":"created_at","timestamp_value":"2024-01-01T00:00:00Z"},{"operation":9,"key":"name","stringValue":"b"}]}"#,
    ),
    (2, "\010\0created_at desc\0{\"predicates\":[]}"),
    (
        2,
        "eyJvZiI6InJ1biIsInNvcnQiOiJuYW1lIiwiZGVzYyI6ZmFsc2UsImZpbHRlciI6IiIsImFmdGVyIjp7InRleHQiOiJhIn0sImlkIjoiYiJ9\05",
    ),
    (3, "a-[[CurrentTime.2006-01-02T15:04:05Z07:00]]-[[RunUUID]]-{{$.scheduledTime.strftime('%Y-%j %A')}}"),
    (3, "[[ScheduledTime.Mon Jan _2 3:04PM]] [[Index]] {{$.currentTime.strftime('%s%%%f')}}"),
    (
        4,
        "sh\0-c\0\nif ! [ -x \"$(command -v pip)\" ]; then\n python3 -m ensurepip\nfi\n\nPIP_DISABLE_PIP_VERSION_CHECK=1 python3 -m pip install --quiet 'kfp==2.14.3' '--no-deps' 'a>=1; python_version<\"3.9\"' && \"$0\" \"$@\"\n",
    ),
    (4, "bash\0-ec\0pip3 install -q a==1 b[c] --index-url https://x/ ; echo $(pip install d) | cat"),
];

const WORDS: [&str; 40] = [
    "pipelineInfo",
    "schemaVersion",
    "2.1.0",
    "deploymentSpec",
    "executors",
    "container",
    "importer",
    "components",
    "executorLabel",
    "inputDefinitions",
    "parameterType",
    "NUMBER_INTEGER",
    "STRING",
    "STRUCT",
    "defaultValue",
    "isOptional",
    "literals",
    "dag",
    "tasks",
    "componentRef",
    "taskOutputParameter",
    "producerTask",
    "componentInputParameter",
    "runtimeValue",
    "constant",
    "parameterIterator",
    "artifactIterator",
    "itemInput",
    "triggerPolicy",
    "condition",
    "inputs.parameter_values",
    "parseJson(",
    ".exists(x, ",
    "{{$.",
    "json_escape[1]",
    "metadata['",
    "cron_schedule",
    "predicates",
    "[[CurrentTime.",
    "strftime('",
];

/// Where seeds are asked for, writes them and ends the process.
pub fn write_if_asked() {
    let Some(root) = std::env::var_os(VARIABLE).map(PathBuf::from) else { return };
    if let Err(error) = write_all(&root) {
        eprintln!("error: {}: {error}", root.display());
        std::process::exit(1);
    }
    std::process::exit(0);
}

fn write_all(root: &Path) -> std::io::Result<()> {
    let first = |choice: u8, text: &str| [&[choice], text.as_bytes()].concat();
    let json = [first(1, LARGE)];
    let yaml = PIPELINES.iter().map(|text| first(0, text));
    // Together with what it says of an executor.
    let both = [first(0, &format!("{LARGE}\n{PLATFORM}"))];
    write(root, "pipeline", json.into_iter().chain(yaml).chain(both))?;
    write(root, "expression", EXPRESSIONS.iter().map(|text| text.as_bytes().to_vec()))?;
    write(root, "placeholder", PLACEHOLDERS.iter().map(|text| text.as_bytes().to_vec()))?;
    write(root, "request", REQUESTS.iter().map(|(choice, text)| first(*choice, text)))?;
    let words = WORDS.iter().map(|word| format!("{word:?}\n").replace("\\'", "'"));
    fs::write(root.join("pipelines.dict"), words.collect::<String>())
}

fn write(root: &Path, target: &str, inputs: impl Iterator<Item = Vec<u8>>) -> std::io::Result<()> {
    let directory = root.join(target);
    fs::create_dir_all(&directory)?;
    for (number, input) in inputs.enumerate() {
        fs::write(directory.join(format!("seed-{number:03}")), input)?;
    }
    Ok(())
}
