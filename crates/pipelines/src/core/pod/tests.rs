use super::*;
use crate::core::{
    executor::tests::Case,
    ir::{Workspace, read},
    resolve::{Facts, Scope, Sibling},
    value::Values,
};

fn placement(launcher: &LauncherSource) -> Placement<'_> {
    Placement {
        name: "p-train-0",
        labels: [("ferroflow.dev/run".to_owned(), "r-1".to_owned())].into(),
        annotations: BTreeMap::new(),
        service_account: "",
        launcher,
        endpoint: "http://10.96.0.9:8888/pipeline",
        token: "secret",
        retry: Some(2),
    }
}

fn pod(case: &Case) -> Value {
    let launcher = LauncherSource::HostPath("/data/launcher/1".to_owned());
    serde_json::to_value(build(&case.step(), &placement(&launcher)).unwrap()).unwrap()
}

fn settings_of(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap()
}

#[test]
fn a_pod_is_the_container_under_the_launcher() {
    let case = Case::new(
        json!({"inputDefinitions": {"parameters": {"image": {"parameterType": "STRING"}}, "artifacts": {"d": {}}}}),
        json!({"image": "{{$.inputs.parameters['image']}}", "command": ["x"], "env": [{"name": "A", "value": "b"}]}),
    )
    .with(json!({"image": "busybox"}))
    .with_artifact("d", "a1", "s3://b/k");
    let pod = pod(&case);
    assert_eq!(
        pod["metadata"],
        json!({
            "name": "p-train-0", "namespace": "kubeflow", "labels": {"ferroflow.dev/run": "r-1"}, "annotations": {},
        })
    );
    let spec = &pod["spec"];
    assert_eq!(spec["restartPolicy"], "Never");
    let container = &spec["containers"][0];
    assert_eq!((&container["name"], &container["image"]), (&json!("main"), &json!("busybox")));
    assert_eq!(container["command"], json!([LAUNCHER]));
    assert_eq!(container.get("args"), None);
    let names: Vec<_> = container["env"].as_array().unwrap().iter().map(|env| env["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        ["KFP_POD_NAME", "KFP_POD_UID", "KFP_RETRY_INDEX", "A", WORK_VARIABLE, ENDPOINT_VARIABLE, TOKEN_VARIABLE,]
    );
    assert_eq!(
        container["volumeMounts"],
        json!([
            {"name": WORK_VOLUME, "mountPath": WORK},
            {"name": WORK_VOLUME, "mountPath": "/minio", "subPath": "minio"},
            {"name": WORK_VOLUME, "mountPath": "/s3", "subPath": "s3"},
            {"name": BIN_VOLUME, "mountPath": BIN, "readOnly": true},
        ])
    );
    assert_eq!(
        spec["volumes"],
        json!([
            {"name": WORK_VOLUME, "emptyDir": {}},
            {"name": BIN_VOLUME, "hostPath": {"path": "/data/launcher/1", "type": "Directory"}},
        ])
    );
    assert_eq!((spec.get("initContainers"), spec.get("affinity")), (None, None));
}

#[test]
fn the_launcher_may_come_from_an_image() {
    let case = Case::new(json!({}), json!({"command": ["x"]}));
    let launcher = LauncherSource::Image("ferroflow:1".to_owned());
    let pod = serde_json::to_value(build(&case.step(), &placement(&launcher)).unwrap()).unwrap();
    let init = &pod["spec"]["initContainers"][0];
    assert_eq!(init["command"], json!(["/ferroflow-launcher", "install", BIN]));
    assert_eq!(init["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["spec"]["volumes"][1], json!({"name": BIN_VOLUME, "emptyDir": {}}));
}

#[test]
fn the_platform_document_adds_what_it_says() {
    let mut case = Case::new(
        json!({"inputDefinitions": {"parameters": {"cpu": {"parameterType": "STRING", "isOptional": true}, "gpus": {"parameterType": "NUMBER_INTEGER"}}}}),
        json!({"command": ["x"], "resources": {
            "resourceCpuLimit": "{{$.inputs.parameters['cpu']}}", "resourceMemoryLimit": "256Mi",
            "accelerator": {"resourceType": "nvidia.com/gpu", "resourceCount": "{{$.inputs.parameters['gpus']}}"},
        }}),
    )
    .with(json!({"gpus": 1}));
    case.platform = settings_of(json!({
        "secretAsEnv": [{"secretName": "s", "keyToEnv": [{"secretKey": "k", "envVar": "E"}], "optional": false}],
        "secretAsVolume": [{"secretName": "s", "mountPath": "/s", "optional": true}],
        "configMapAsVolume": [{"configMapName": "a.b", "mountPath": "/c"}],
        "pvcMount": [{"pvcName": "p", "mountPath": "/a", "subPath": "x"}, {"pvcName": "p", "mountPath": "/b"}],
        "fieldPathAsEnv": [{"name": "F", "fieldPath": "metadata.name"}],
        "podMetadata": {"labels": {"l": "1", "ferroflow.dev/run": "mine"}, "annotations": {"a": "2"}},
        "tolerations": [{"key": "k", "operator": "Exists", "value": ""}],
        "nodeSelector": {"labels": {"disk": "ssd"}},
        "nodeAffinity": [
            {"matchExpressions": [{"key": "z", "operator": "In", "values": ["a"]}]},
            {"matchExpressions": [{"key": "y", "operator": "Exists"}], "weight": 5},
        ],
        "podAffinity": [{"topologyKey": "host", "matchPodLabels": {"app": "x"}, "anti": true}],
        "imagePullSecret": [{"secretName": "pull"}],
        "imagePullPolicy": "Always",
        "activeDeadlineSeconds": 60,
        "emptyDirMounts": [{"volumeName": "e", "mountPath": "/e", "sizeLimit": "1Gi"}],
        "enabledSharedMemory": {"volumeName": "", "size": "64Mi"},
        "securityContext": {"runAsUser": 1000, "runAsNonRoot": true},
        "initContainers": [{"name": "i", "image": "busybox", "command": ["true"], "volumeMounts": [{"volumeName": "p", "mountPath": "/p"}]}],
    }));
    let spec = pod(&case)["spec"].clone();
    let container = &spec["containers"][0];
    assert_eq!(container["resources"], json!({"limits": {"memory": "256Mi", "nvidia.com/gpu": "1"}}));
    assert_eq!(
        container["env"][3],
        json!({
            "name": "E", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k", "optional": false}},
        })
    );
    assert_eq!(
        container["securityContext"],
        json!({
            "runAsUser": 1000, "runAsNonRoot": true, "capabilities": {"drop": ["ALL"]},
            "allowPrivilegeEscalation": false, "seccompProfile": {"type": "RuntimeDefault"},
        })
    );
    assert_eq!(container["imagePullPolicy"], "Always");
    let mounts = container["volumeMounts"].as_array().unwrap();
    for mount in [
        json!({"name": "p", "mountPath": "/a", "subPath": "x"}),
        json!({"name": "p", "mountPath": "/b"}),
        json!({"name": "s", "mountPath": "/s"}),
        json!({"name": "shm", "mountPath": "/dev/shm"}),
        json!({"name": WORK_VOLUME, "mountPath": "/.cache", "subPath": "home/.cache"}),
    ] {
        assert!(mounts.contains(&mount), "{mount}: {mounts:?}");
    }
    let volumes = spec["volumes"].as_array().unwrap();
    assert_eq!(volumes.iter().filter(|volume| volume["name"] == "p").count(), 1);
    assert!(volumes.contains(&json!({"name": "e", "emptyDir": {"sizeLimit": "1Gi"}})));
    // A name with a dot is none for a volume.
    let config = volumes.iter().find(|volume| volume.get("configMap").is_some()).unwrap();
    assert_eq!(config["configMap"], json!({"name": "a.b", "optional": false}));
    assert!(config["name"].as_str().unwrap().starts_with("volume-"));
    assert_eq!(spec["tolerations"], json!([{"key": "k", "operator": "Exists"}]));
    assert_eq!(spec["nodeSelector"], json!({"disk": "ssd"}));
    let affinity = &spec["affinity"];
    assert_eq!(affinity["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"][0]["weight"], 5);
    let anti = &affinity["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][0];
    assert_eq!(anti["labelSelector"], json!({"matchLabels": {"app": "x"}}));
    assert_eq!(spec["imagePullSecrets"], json!([{"name": "pull"}]));
    assert_eq!(spec["activeDeadlineSeconds"], 60);
    assert_eq!(spec["initContainers"][0]["volumeMounts"], json!([{"name": "p", "mountPath": "/p"}]));
    // What the engine needs cannot be taken from it.
    assert_eq!(pod(&case)["metadata"]["labels"], json!({"l": "1", "ferroflow.dev/run": "r-1"}));
}

#[test]
fn the_workspace_is_mounted_where_it_is_used() {
    let declared = json!({"inputDefinitions": {"parameters": {"path": {"parameterType": "STRING"}}}});
    for (path, command, is_used) in [
        ("/kfp-workspace/a", "x", true),
        ("/a", "x", false),
        ("/a", "ls {{$.workspace_path}}", true),
        ("/a", "print('/kfp-workspace')", false),
    ] {
        let case = Case::new(declared.clone(), json!({"command": [command]})).with(json!({"path": path}));
        let claim = json!({"name": "kfp-workspace", "persistentVolumeClaim": {"claimName": "p-x1-kfp-workspace"}});
        let volumes = pod(&case)["spec"]["volumes"].as_array().unwrap().clone();
        assert_eq!(volumes.contains(&claim), is_used, "{path} {command}");
    }
    let workspace = Workspace { size: "1Gi".to_owned(), claim_patch: settings_of(json!({"storageClassName": "fast"})) };
    let facts = Facts { resource_name: "p-x1".to_owned(), ..Facts::default() };
    assert_eq!(
        workspace_claim(&workspace, &facts)["spec"],
        json!({
            "accessModes": ["ReadWriteOnce"], "storageClassName": "fast", "resources": {"requests": {"storage": "1Gi"}},
        })
    );
}

#[test]
fn a_task_config_takes_fields_from_the_pod_or_shares_them() {
    let mut case = Case::new(
        json!({
            "inputDefinitions": {"parameters": {"config": {"parameterType": "TASK_CONFIG", "isOptional": true}}},
            "taskConfigPassthroughs": [{"field": "ENV", "applyToTask": true}, {"field": "KUBERNETES_TOLERATIONS"}],
        }),
        json!({"command": ["{{$}}"], "env": [{"name": "A", "value": "b"}], "resources": {"resourceCpuLimit": "1"}}),
    );
    case.platform = settings_of(json!({"tolerations": [{"key": "k"}], "nodeSelector": {"labels": {"a": "b"}}}));
    let spec = pod(&case)["spec"].clone();
    assert_eq!(spec.get("tolerations"), None);
    assert_eq!(spec["nodeSelector"], json!({"a": "b"}));
    assert_eq!(spec["containers"][0]["env"][3]["name"], "A");
    assert_eq!(spec["containers"][0]["resources"]["limits"], json!({"cpu": "1"}));
    let input = crate::core::executor::input(&case.step()).unwrap();
    let config = &input["inputs"]["parameterValues"]["config"];
    assert_eq!(config["tolerations"], json!([{"key": "k"}]));
    assert_eq!(config["env"], json!([{"name": "A", "value": "b"}]));
    assert_eq!((&config["nodeSelector"], &config["resources"]), (&Value::Null, &json!({})));
}

#[test]
fn what_makes_no_pod_is_told() {
    let launcher = LauncherSource::HostPath("/x".to_owned());
    for (settings, fault) in [
        (
            json!({"secretAsVolume": [{"secretName": "s", "mountPath": "s"}]}),
            "secretAsVolume[0]: needs a name and a mountPath",
        ),
        (json!({"podAffinity": [{}]}), "podAffinity[0]: needs a topologyKey"),
        (json!({"initContainers": [{"name": "main", "image": "i"}]}), "initContainers[0]: has the name \"main\""),
        (json!({"tolerations": [{"key": 5}]}), "platforms.kubernetes: makes no pod: "),
    ] {
        let mut case = Case::new(json!({}), json!({"command": ["x"]}));
        case.platform = settings_of(settings);
        let error = build(&case.step(), &placement(&launcher)).unwrap_err().to_string();
        assert!(error.contains(fault), "{error}");
    }
}

/// A DAG with inputs and nothing else.
struct Seen(Values, Facts);

impl Scope for Seen {
    fn parameter(&self, name: &str) -> Option<&Value> {
        self.0.parameters.get(name)
    }

    fn artifacts(&self, _name: &str) -> Option<&Vec<Artifact>> {
        None
    }

    fn sibling(&self, _key: &str) -> Option<Sibling<'_>> {
        None
    }

    fn task_id(&self, _key: &str) -> String {
        String::new()
    }

    fn facts(&self) -> &Facts {
        &self.1
    }
}

#[test]
fn settings_take_parameters_and_leave_out_what_has_no_value() {
    let document = json!({
        "pipelineInfo": {"name": "p"}, "schemaVersion": "2.1.0",
        "deploymentSpec": {"executors": {"e": {"container": {"image": "i"}}}},
        "components": {"c": {"executorLabel": "e"}},
        "root": {"dag": {"tasks": {"t": {"componentRef": {"name": "c"}}}}},
    });
    let pipeline = read::pipeline(&document).unwrap();
    let task = &pipeline.root.dag().unwrap().tasks["t"];
    let inputs = json!({"name": "n", "none": null, "one": {"key": "a"}, "many": [{"key": "b"}], "labels": {"x": "y"}});
    let seen =
        Seen(Values { parameters: settings_of(inputs).into_iter().collect(), ..Values::default() }, Facts::default());
    let input = |name: &str| json!({"componentInputParameter": name});
    let config = settings_of(json!({
        "secretAsVolume": [
            {"secretNameParameter": input("name"), "mountPath": "/a"}, {"secretNameParameter": input("none"), "mountPath": "/b"},
        ],
        "imagePullSecret": [{"secretName": "plain"}],
        "pvcMount": [{"constant": "old", "mountPath": "/c"}],
        "nodeSelector": {"nodeSelectorJson": input("labels")},
        "tolerations": [{"tolerationJson": input("one")}, {"tolerationJson": input("many")}, {"tolerationJson": input("none")}],
        "nodeAffinity": [{"nodeAffinityJson": input("none")}],
    }));
    let found = settings(&config, "t", task, &seen).unwrap();
    assert_eq!(
        Value::Object(found),
        json!({
            "secretAsVolume": [{"secretName": "n", "mountPath": "/a"}],
            "imagePullSecret": [{"secretName": "plain"}],
            "pvcMount": [{"pvcName": "old", "mountPath": "/c"}],
            "nodeSelector": {"labels": {"x": "y"}},
            "tolerations": [{"key": "a"}, {"key": "b"}],
            "nodeAffinity": [],
        })
    );
    for (config, fault) in [
        (json!({"imagePullSecret": [{}]}), "imagePullSecret[0]: needs secretName or secretNameParameter"),
        (
            json!({"imagePullSecret": [{"secretNameParameter": input("many")}]}),
            "must be a string with something in it, not a list",
        ),
        (
            json!({"imagePullSecret": [{"secretNameParameter": input("nil")}]}),
            "parent DAG does not have input parameter nil",
        ),
    ] {
        let error = settings(&settings_of(config), "t", task, &seen).unwrap_err().to_string();
        assert!(error.contains(fault), "{error}");
    }
}

#[test]
fn stubs_stand_for_claims() {
    let claimed = |image: &str, inputs: Value| {
        let case = Case::new(json!({}), json!({"image": image}));
        let inputs = Values { parameters: settings_of(inputs).into_iter().collect(), ..Values::default() };
        claim(case.step().container, &inputs, case.step().facts, "t-1")
    };
    let create = |inputs: Value| claimed("argostub/createpvc", inputs);
    let hash = claim::short_hash(&["r-1", "t-1"]);
    for (inputs, name, class) in [
        (json!({"pvc_name": "mine", "storage_class_name": "fast"}), "mine".to_owned(), json!("fast")),
        (json!({"pvc_name_suffix": "-data", "storage_class_name": ""}), format!("p-x1-{hash}-data"), Value::Null),
        (json!({"volume_name": "v"}), format!("p-x1-{hash}"), json!("")),
    ] {
        let mut inputs = inputs;
        inputs["access_modes"] = json!(["ReadWriteOnce"]);
        inputs["size"] = "5Mi".into();
        let Some(Claim::Create(claim)) = create(inputs).unwrap() else { panic!("a claim") };
        assert_eq!(claim["metadata"]["name"], name);
        assert_eq!(claim["spec"]["storageClassName"], class);
        assert_eq!(claim["spec"]["resources"]["requests"]["storage"], "5Mi");
    }
    for (inputs, fault) in [
        (json!({"size": "1"}), "parameter access_modes not provided"),
        (json!({"access_modes": ["Some"], "size": "1"}), "must be of ReadWriteOnce"),
        (json!({"access_modes": ["ReadWriteOnce"]}), "parameter size not provided"),
        (json!({"pvc_name": "a", "pvc_name_suffix": "b"}), "at most one of pvc_name and pvc_name_suffix"),
    ] {
        let error = create(inputs).unwrap_err().to_string();
        assert!(error.contains(fault), "{error}");
    }
    assert_eq!(claimed("argostub/deletepvc", json!({"pvc_name": "a"})).unwrap(), Some(Claim::Delete("a".to_owned())));
    assert_eq!(claimed("busybox", json!({})).unwrap(), None);
}

#[test]
fn a_model_in_an_image_is_copied_out_before_the_step_starts() {
    let component = json!({"inputDefinitions": {"artifacts": {"a": {}, "b": {}, "c": {}}}});
    let case = Case::new(component, json!({"command": ["x"]}))
        .with_artifact("a", "1", "oci://host:5000/team/m:1")
        .with_artifact("b", "2", "oci://host:5000/team/m:1")
        .with_artifact("c", "3", "s3://b/k");
    let pod = pod(&case);
    let inits = pod["spec"]["initContainers"].as_array().unwrap();
    assert_eq!(inits.len(), 1, "once, though two inputs name it");
    assert_eq!((&inits[0]["image"], &inits[0]["name"]), (&json!("host:5000/team/m:1"), &json!("ferroflow-model-0")));
    assert_eq!(inits[0]["command"], json!([LAUNCHER, "copy", "/models", "/ferroflow/model/models"]));
    let mounts = pod["spec"]["containers"][0]["volumeMounts"].as_array().unwrap();
    let mount = json!({"name": "ferroflow-model-0", "mountPath": "/oci/host:5000_team_m:1", "readOnly": true});
    assert!(mounts.contains(&mount), "{mounts:?}");
}
