//! The manifests of `deploy/kubernetes` are what `install` applies.

use std::{fs, path::PathBuf};

use clap::Parser;
use serde_json::Value;

use super::{
    found::{Found, Servers},
    objects,
    plan::{Bucket, Certificate, Limits, Plan, Records, Volume},
};
use crate::args::{Args, Command};

fn plan(records: Records, artifacts: Option<Bucket>) -> Plan {
    let (image, launcher_image) = objects::images();
    Plan {
        namespace: "ferroflow".to_owned(),
        runs: "kubeflow".to_owned(),
        image,
        launcher_image,
        replicas: if records == Records::Volume { 1 } else { 2 },
        volume: (records == Records::Volume).then(|| Volume { size: "20Gi".to_owned(), class: None }),
        records,
        artifacts,
        names: Vec::new(),
        limits: Limits::default(),
        certificate: Certificate::Own,
    }
}

fn shared() -> Plan {
    let artifacts = Bucket {
        place: "s3://BUCKET/PREFIX".to_owned(),
        endpoint: String::new(),
        region: "us-east-1".to_owned(),
        credentials: Some("[default]\naws_access_key_id = KEY\naws_secret_access_key = SECRET\n".to_owned()),
    };
    plan(Records::Database("postgres://USER:PASSWORD@HOST/DATABASE".to_owned()), Some(artifacts))
}

const MANIFESTS: [(&str, &str); 2] = [
    (
        "ferroflow.yaml",
        "# Ferroflow in a cluster: two servers, records in PostgreSQL, artifacts in a bucket. Written by `make manifests`.\n\
         # Change what is in capitals in the Secret and the ConfigMap, and the two images; then kubectl apply -f this file.\n",
    ),
    (
        "ferroflow-single.yaml",
        "# Ferroflow in a cluster: one server, records and artifacts on a volume. Written by `make manifests`.\n\
         # Change the two images; then kubectl apply -f this file.\n",
    ),
];

#[test]
fn the_manifests_are_what_is_installed() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../deploy/kubernetes");
    for ((name, head), plan) in MANIFESTS.into_iter().zip([shared(), plan(Records::Volume, None)]) {
        let text = format!("{head}{}", serde_saphyr::to_string_multiple(&objects::all(&plan)).unwrap());
        let path = folder.join(name);
        if std::env::var_os("FERROFLOW_WRITE_MANIFESTS").is_some() {
            fs::create_dir_all(&folder).unwrap();
            fs::write(&path, &text).unwrap();
        }
        let found = fs::read_to_string(&path).unwrap_or_default();
        assert!(found == text, "{} is another; run `make manifests`", path.display());
    }
}

#[test]
fn servers_have_no_more_rights_than_what_they_do() {
    let all = objects::all(&shared());
    let role = all.iter().find(|one| one["kind"] == "ClusterRole" && one["metadata"]["name"] == "ferroflow").unwrap();
    let text = role["rules"].to_string();
    for never in ["*", "secrets", "nodes", "exec", "impersonate", "escalate", "bind", "patch", "update", "rolebindings"]
    {
        assert!(!text.contains(never), "{never}: {text}");
    }
}

#[test]
fn servers_run_as_a_namespace_of_the_strictest_level_wants_it() {
    for plan in [shared(), plan(Records::Volume, None)] {
        let all = objects::all(&plan);
        let pod = &all.iter().find(|one| one["kind"] == "Deployment").unwrap()["spec"]["template"]["spec"];
        let container = &pod["containers"][0]["securityContext"];
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
        assert_eq!(container["allowPrivilegeEscalation"], false);
        assert_eq!(container["readOnlyRootFilesystem"], true);
        assert_eq!(container["capabilities"]["drop"], serde_json::json!(["ALL"]));
        let claims = pod["volumes"].as_array().unwrap().iter().filter(|one| one.get("persistentVolumeClaim").is_some());
        assert_eq!(claims.count(), usize::from(plan.records == Records::Volume));
    }
}

#[test]
fn secrets_stand_in_secrets_alone() {
    for object in objects::all(&shared()) {
        let is_secret = object["kind"] == "Secret";
        let text = Value::to_string(&object);
        assert_eq!(text.contains("PASSWORD") || text.contains("SECRET"), is_secret, "{text}");
    }
}

fn asked(words: &[&str], found: Found) -> Result<Plan, String> {
    let args = Args::try_parse_from([&["ferroflow", "install"], words].concat()).unwrap();
    let Command::Install(install) = args.command else { panic!("{words:?}") };
    Plan::of(&install, found).map_err(|error| error.to_string())
}

fn old_bucket() -> Bucket {
    Bucket {
        place: "s3://old/p".to_owned(),
        endpoint: "http://minio:9000".to_owned(),
        region: "eu-1".to_owned(),
        credentials: Some("old".to_owned()),
    }
}

/// An installation with everything chosen.
fn standing() -> Found {
    let words = [
        "server",
        "--namespace=ml",
        "--launcher-image=registry.example.com:5000/launcher:1",
        "--running-steps=500",
        "--tls-certificate=/etc/ferroflow-tls/tls.crt",
        "--name=ferroflow",
        "--name=ml-pipeline.ml.svc",
        "--name=ml.example.com",
    ];
    let servers = Servers {
        image: "registry.example.com:5000/ferroflow:1".to_owned(),
        replicas: 3,
        words: words.map(str::to_owned).to_vec(),
        variables: Vec::new(),
    };
    Found {
        records: Some("postgres://old".to_owned()),
        artifacts: Some(old_bucket()),
        volume: None,
        servers: Some(servers),
    }
}

#[test]
fn what_is_not_said_again_stays_as_it_was_found() {
    let plan = asked(&["--image", "new:2"], standing()).unwrap();
    assert_eq!((plan.image.as_str(), plan.replicas, plan.runs.as_str()), ("new:2", 3, "ml"));
    assert_eq!(plan.launcher_image, "registry.example.com:5000/launcher:1");
    assert_eq!(plan.records, Records::Database("postgres://old".to_owned()));
    assert_eq!((plan.artifacts, plan.limits.steps), (Some(old_bucket()), Some(500)));
    assert_eq!(plan.names, ["ml.example.com"]);
    assert!(matches!(plan.certificate, Certificate::Kept));
    let words = ["--records", "postgres://new", "--replicas=1", "--runs-namespace=other", "--name=b.example.com"];
    let plan = asked(&words, standing()).unwrap();
    assert_eq!(plan.image, "registry.example.com:5000/ferroflow:1");
    assert_eq!(plan.records, Records::Database("postgres://new".to_owned()));
    assert_eq!((plan.replicas, plan.runs.as_str()), (1, "other"));
    assert_eq!(plan.names, ["b.example.com"]);
    let unwanted: Vec<_> = objects::unwanted(&plan, Some("ml")).iter().map(super::apply::called).collect();
    assert_eq!(unwanted, ["poddisruptionbudget/ferroflow in ferroflow", "service/ml-pipeline in ml"]);
}

#[test]
fn an_image_under_its_usual_name_becomes_that_of_this_version() {
    let mut found = standing();
    found.servers.as_mut().unwrap().image = "ferroflow:0.0.1".to_owned();
    assert_eq!(asked(&[], found).unwrap().image, objects::images().0);
}

#[test]
fn a_bucket_keeps_what_is_not_said_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let keys = directory.path().join("keys");
    fs::write(
        &keys,
        "[default]\naws_access_key_id = a\naws_secret_access_key = b\n[other]\naws_secret_access_key = c\n",
    )
    .unwrap();
    let keys = keys.to_str().unwrap();
    let plan = asked(&["--artifacts", "s3://old/p", "--s3-credentials", keys], standing()).unwrap();
    let credentials = Some("[default]\naws_access_key_id = a\naws_secret_access_key = b\n".to_owned());
    assert_eq!(plan.artifacts, Some(Bucket { credentials, ..old_bucket() }));
    let plan = asked(&["--s3-endpoint="], standing()).unwrap();
    assert_eq!(plan.artifacts, Some(Bucket { endpoint: String::new(), ..old_bucket() }));
    let new = ["--records", "postgres://new", "--artifacts", "s3://new"];
    assert!(asked(&new, Found::default()).unwrap_err().contains("no credentials"));
    assert!(asked(&["--s3-region=eu-1"], Found::default()).unwrap_err().contains("--s3-region belongs to a bucket"));
    assert!(asked(&["--artifacts", "gs://new"], standing()).unwrap_err().contains("gs://new"));
}

#[test]
fn a_volume_stays_as_it_is_but_for_its_size() {
    let volume = Volume { size: "100Gi".to_owned(), class: Some("fast".to_owned()) };
    let found = || Found { volume: Some(volume.clone()), ..Found::default() };
    let plan = asked(&[], found()).unwrap();
    assert_eq!((plan.records, plan.volume), (Records::Volume, None));
    let plan = asked(&["--size", "200Gi", "--storage-class=fast"], found()).unwrap();
    assert_eq!(plan.volume, Some(Volume { size: "200Gi".to_owned(), class: Some("fast".to_owned()) }));
    assert!(asked(&["--storage-class=slow"], found()).unwrap_err().contains("slow"));
    let fault = asked(&["--records", "postgres://new", "--artifacts", "s3://new"], found()).unwrap_err();
    assert!(fault.contains("would be left behind"), "{fault}");
}
