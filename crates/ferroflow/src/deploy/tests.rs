//! The manifests of `deploy/kubernetes` are what `install` applies.

use std::{fs, path::PathBuf};

use clap::Parser;
use serde_json::Value;

use super::{
    objects,
    plan::{Bucket, Found, Plan, Records},
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
        records,
        artifacts,
        storage_class: None,
        size: "20Gi".to_owned(),
        certificate: None,
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

#[test]
fn what_is_not_said_again_stays_as_it_was_found() {
    let bucket = Bucket { place: "s3://old".to_owned(), credentials: Some("old".to_owned()), ..Bucket::default() };
    let found =
        || Found { records: Some("postgres://old".to_owned()), artifacts: Some(bucket.clone()), has_volume: false };
    let plan = asked(&["--image", "new:2"], found()).unwrap();
    assert_eq!((plan.image.as_str(), plan.replicas), ("new:2", 2));
    assert_eq!((plan.records, plan.artifacts), (Records::Database("postgres://old".to_owned()), Some(bucket.clone())));
    let plan = asked(&["--records", "postgres://new", "--artifacts", "s3://new"], found()).unwrap();
    assert_eq!(plan.records, Records::Database("postgres://new".to_owned()));
    assert_eq!(plan.artifacts.unwrap().place, "s3://new");
    let on_volume = || Found { has_volume: true, ..Found::default() };
    assert_eq!(asked(&[], on_volume()).unwrap().records, Records::Volume);
    let fault = asked(&["--records", "postgres://new", "--artifacts", "s3://new"], on_volume()).unwrap_err();
    assert!(fault.contains("would be left behind"), "{fault}");
}
