//! Classes that claims and ingresses get by default, the finalizers that protect volumes in use, and
//! which claims may grow.

use std::cmp::Reverse;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{Denied, Lookup, Operation, Request, child, list, set, text};
use crate::core::quota::amounts;

const LEGACY_CLASS: &str = "volume.beta.kubernetes.io/storage-class";

/// DefaultStorageClass: a new claim that names no class gets the default one.
pub(super) fn set_default_class(
    request: &Request,
    lookup: &dyn Lookup,
    object: &mut Value,
    _old: Option<&Value>,
) -> Result<(), Denied> {
    let names_one = object["spec"].get("storageClassName").is_some_and(|class| !class.is_null())
        || object["metadata"]["annotations"].get(LEGACY_CLASS).is_some();
    if !request.creates("", "persistentvolumeclaims") || names_one {
        return Ok(());
    }
    let marks = ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
    let class = newest_default(lookup.list("storage.k8s.io", "storageclasses", ""), &marks);
    if let (Some(class), Some(spec)) = (class, child(object, "spec")) {
        set(spec, "storageClassName", class["metadata"]["name"].clone());
    }
    Ok(())
}

/// DefaultIngressClass: a new ingress that names no class gets the default one.
pub(super) fn set_default_ingress_class(
    request: &Request,
    lookup: &dyn Lookup,
    object: &mut Value,
    _old: Option<&Value>,
) -> Result<(), Denied> {
    let names_one = object["spec"].get("ingressClassName").is_some_and(|class| !class.is_null())
        || object["metadata"]["annotations"].get("kubernetes.io/ingress.class").is_some();
    if !request.creates("networking.k8s.io", "ingresses") || names_one {
        return Ok(());
    }
    let marks = ["ingressclass.kubernetes.io/is-default-class"];
    let class = newest_default(lookup.list("networking.k8s.io", "ingressclasses", ""), &marks);
    if let (Some(class), Some(spec)) = (class, child(object, "spec")) {
        set(spec, "ingressClassName", class["metadata"]["name"].clone());
    }
    Ok(())
}

/// Of several classes that are marked as default, the newest counts, then the first by name.
fn newest_default(classes: Vec<Arc<Value>>, marks: &[&str]) -> Option<Arc<Value>> {
    let is_default = |class: &Arc<Value>| {
        marks.iter().any(|mark| class["metadata"]["annotations"].get(*mark) == Some(&json!("true")))
    };
    classes.into_iter().filter(is_default).min_by_key(|class| {
        let metadata = &class["metadata"];
        let created = metadata["creationTimestamp"].as_str().unwrap_or_default().to_owned();
        (Reverse(created), metadata["name"].as_str().unwrap_or_default().to_owned())
    })
}

/// StorageObjectInUseProtection: new volumes, claims and classes of attributes stay until nobody uses them.
pub(super) fn protect_in_use(
    request: &Request,
    _lookup: &dyn Lookup,
    object: &mut Value,
    _old: Option<&Value>,
) -> Result<(), Denied> {
    let finalizer = match () {
        () if request.creates("", "persistentvolumes") => "kubernetes.io/pv-protection",
        () if request.creates("", "persistentvolumeclaims") => "kubernetes.io/pvc-protection",
        () if request.creates("storage.k8s.io", "volumeattributesclasses") => "kubernetes.io/vac-protection",
        () => return Ok(()),
    };
    if let Some(finalizers) = child(object, "metadata").and_then(|metadata| list(metadata, "finalizers"))
        && !finalizers.iter().any(|one| one == finalizer)
    {
        finalizers.push(json!(finalizer));
    }
    Ok(())
}

/// PersistentVolumeClaimResize: only bound claims of a class that allows it may grow.
pub(super) fn check_resize(
    request: &Request,
    lookup: &dyn Lookup,
    object: &Value,
    old: Option<&Value>,
) -> Result<(), Denied> {
    let Some(old) = old.filter(|_| request.operation == Operation::Update) else { return Ok(()) };
    let size = |claim: &Value| amounts::read(claim["spec"]["resources"].get("requests")).remove("storage");
    if !request.is_object("", "persistentvolumeclaims") || size(object) <= size(old) {
        return Ok(());
    }
    if old["status"]["phase"] != "Bound" {
        let cause = "Only bound persistent volume claims can be expanded";
        return Err(Denied::forbidden(request, Some(object), cause));
    }
    let class = |claim: &Value| {
        let legacy = claim["metadata"]["annotations"][LEGACY_CLASS].as_str().map(str::to_owned);
        legacy.or_else(|| text(&claim["spec"], "storageClassName").map(str::to_owned))
    };
    let name = class(object).filter(|name| class(old).as_ref() == Some(name));
    let found = name.and_then(|name| lookup.get("storage.k8s.io", "storageclasses", "", &name));
    if found.is_some_and(|class| class["allowVolumeExpansion"] == true) {
        return Ok(());
    }
    let cause = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must \
                 support resize";
    Err(Denied::forbidden(request, Some(object), cause))
}
