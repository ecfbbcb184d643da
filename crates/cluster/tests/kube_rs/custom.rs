//! CustomResourceDefinitions and what they define.

use ferroflow_testkit::{
    objects::definition,
    wait::{until, until_gone},
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams},
    core::{ApiResource, GroupVersionKind},
    runtime::conditions::is_crd_established,
};
use serde_json::{Value, json};

use crate::bed::{Bed, refusal};

/// A kind of a case's own, so that cases may run at the same time in one cluster.
struct Custom {
    definitions: Api<CustomResourceDefinition>,
    definition: String,
    api: Api<DynamicObject>,
    kind: String,
}

impl Custom {
    async fn define(bed: &Bed, kind: &str) -> Self {
        let plural = format!("{}s", kind.to_lowercase());
        let definitions: Api<CustomResourceDefinition> = Api::all(bed.client.clone());
        definitions.create(&PostParams::default(), &definition(&plural, kind)).await.unwrap();
        let name = format!("{plural}.testkit.dev");
        until(&definitions, &name, "is established", |found: &CustomResourceDefinition| {
            kube::runtime::wait::Condition::matches_object(&is_crd_established(), Some(found))
        })
        .await;
        let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("testkit.dev", "v1", kind), &plural);
        let api = Api::namespaced_with(bed.client.clone(), &bed.namespace, &resource);
        Self { definitions, definition: name, api, kind: kind.to_owned() }
    }

    fn object(&self, name: &str, spec: Value) -> DynamicObject {
        let object =
            json!({"apiVersion": "testkit.dev/v1", "kind": self.kind, "metadata": {"name": name}, "spec": spec});
        serde_json::from_value(object).unwrap()
    }

    async fn create(&self, name: &str, spec: Value) -> kube::Result<DynamicObject> {
        self.api.create(&PostParams::default(), &self.object(name, spec)).await
    }

    async fn remove(self) {
        self.definitions.delete(&self.definition, &DeleteParams::default()).await.unwrap();
        until_gone(&self.definitions, &self.definition).await;
    }
}

pub async fn a_definition_is_established_and_its_objects_live_and_die(bed: &Bed) {
    let custom = Custom::define(bed, "Lamp").await;
    let made = custom.create("one", json!({"replicas": 1})).await.unwrap();
    assert_eq!(made.metadata.generation, Some(1));
    let patch = Patch::Merge(json!({"spec": {"replicas": 2}}));
    let patched = custom.api.patch("one", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!((patched.metadata.generation, &patched.data["spec"]["replicas"]), (Some(2), &json!(2)));
    let strategic = Patch::Strategic(json!({"spec": {"replicas": 3}}));
    let (code, _) = refusal(custom.api.patch("one", &PatchParams::default(), &strategic).await);
    assert_eq!(code, 415, "a custom kind has no strategic merge");
    let nameless = json!({"apiVersion": "testkit.dev/v1", "kind": "Lamp", "spec": {"color": "red"}});
    let (code, message) = refusal(custom.api.patch("two", &PatchParams::apply("one"), &Patch::Apply(nameless)).await);
    assert_eq!(code, 400);
    assert_eq!(message, "the name of the object (two based on URL) was undeterminable: name must be provided");
    let apply = Patch::Apply(custom.object("two", json!({"color": "red"})));
    let applied = custom.api.patch("two", &PatchParams::apply("one"), &apply).await.unwrap();
    assert_eq!(applied.data["spec"]["color"], "red");
    let list = custom.api.list(&ListParams::default()).await.unwrap();
    assert_eq!(list.items.iter().map(ResourceExt::name_any).collect::<Vec<_>>(), ["one", "two"]);
    custom.api.delete("one", &DeleteParams::default()).await.unwrap();
    let api = custom.api.clone();
    custom.remove().await;
    let (code, _) = refusal(api.list(&ListParams::default()).await);
    assert_eq!(code, 404, "a kind goes with its definition");
}

pub async fn a_custom_object_is_defaulted_pruned_and_validated(bed: &Bed) {
    let custom = Custom::define(bed, "Bulb").await;
    let made = custom.create("one", json!({"replicas": 1, "unknown": true})).await.unwrap();
    assert_eq!(made.data["spec"], json!({"replicas": 1, "color": "green"}));
    let (code, message) = refusal(custom.create("two", json!({"replicas": 11, "color": 3})).await);
    assert_eq!(code, 422);
    assert!(message.starts_with("Bulb.testkit.dev \"two\" is invalid: "), "{message}");
    for part in ["spec.color: Invalid value: \"integer\"", "spec.replicas: Invalid value: 11"] {
        assert!(message.contains(part), "{part} in {message}");
    }
    custom.remove().await;
}

pub async fn a_custom_status_and_spec_are_written_apart(bed: &Bed) {
    let custom = Custom::define(bed, "Torch").await;
    let mut object = custom.object("one", json!({"replicas": 1}));
    object.data["status"] = json!({"replicas": 5});
    let made = custom.api.create(&PostParams::default(), &object).await.unwrap();
    assert!(made.data.get("status").is_none(), "a create carries no status");
    let both = Patch::Merge(json!({"spec": {"replicas": 7}, "status": {"replicas": 6}}));
    let patched = custom.api.patch_status("one", &PatchParams::default(), &both).await.unwrap();
    assert_eq!((&patched.data["spec"]["replicas"], &patched.data["status"]["replicas"]), (&json!(1), &json!(6)));
    assert_eq!(patched.metadata.generation, Some(1));
    let patched = custom.api.patch("one", &PatchParams::default(), &both).await.unwrap();
    assert_eq!((&patched.data["spec"]["replicas"], &patched.data["status"]["replicas"]), (&json!(7), &json!(6)));
    assert_eq!(patched.metadata.generation, Some(2));
    custom.remove().await;
}

pub async fn a_custom_object_scales(bed: &Bed) {
    let custom = Custom::define(bed, "Beam").await;
    custom.create("one", json!({"replicas": 1})).await.unwrap();
    assert_eq!(custom.api.get_scale("one").await.unwrap().spec.unwrap().replicas, Some(1));
    let patch = Patch::Merge(json!({"spec": {"replicas": 4}}));
    custom.api.patch_scale("one", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(custom.api.get("one").await.unwrap().data["spec"]["replicas"], 4);
    let (code, _) = refusal(
        custom.api.patch_scale("one", &PatchParams::default(), &Patch::Merge(json!({"spec": {"replicas": 40}}))).await,
    );
    assert_eq!(code, 422, "the definition's maximum holds for the scale too");
    custom.remove().await;
}
