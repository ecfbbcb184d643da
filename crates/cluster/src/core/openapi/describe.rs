//! The few descriptions that documents carry: what `kubectl explain` shows of fields that every kind has.

/// `apiVersion` of any kind.
pub(super) const API_VERSION: &str =
    "APIVersion defines the group and version of this object's schema, such as apps/v1.";
/// `kind` of any kind.
pub(super) const KIND: &str = "Kind names what this object is, in CamelCase. It cannot be changed.";
/// `metadata` of any kind.
pub(super) const METADATA: &str = "Standard object's metadata: name, namespace, labels, annotations, owners.";
/// `metadata` of a list.
pub(super) const LIST_METADATA: &str = "Standard list metadata: the resource version and how to continue.";

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const LIST_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";

const OBJECT_META_FIELDS: &[(&str, &str)] = &[
    ("annotations", "Annotations are free-form notes of tools; they cannot be selected by."),
    ("creationTimestamp", "CreationTimestamp is a timestamp that the server sets when it creates the object (UTC)."),
    ("deletionGracePeriodSeconds", "Seconds that the object may take to end after its deletion was asked for."),
    (
        "deletionTimestamp",
        "DeletionTimestamp is the time at which the object goes away, set when deletion is asked for.",
    ),
    ("finalizers", "Finalizers keep a deleted object until each of them has been removed by its owner."),
    ("generateName", "GenerateName is a prefix from which the server makes a unique name where no name is given."),
    ("generation", "Generation counts the changes of the desired state."),
    ("labels", "Labels are pairs of keys and values by which objects are grouped and selected."),
    ("managedFields", "ManagedFields tell which manager set which field, for server-side apply."),
    ("name", "Name is unique in the namespace and cannot be changed."),
    ("namespace", "Namespace is the space in which the name is unique; cluster-scoped objects have none."),
    ("ownerReferences", "OwnerReferences name the objects that this one belongs to; it is deleted when all are gone."),
    (
        "resourceVersion",
        "ResourceVersion identifies the stored state of the object, for watches and conditional updates.",
    ),
    ("selfLink", "SelfLink is no longer filled in."),
    ("uid", "UID tells this object from any other that ever had its name."),
];

const LIST_META_FIELDS: &[(&str, &str)] = &[
    ("continue", "Continue is the token with which the next part of the list is asked for."),
    ("remainingItemCount", "RemainingItemCount is how many items follow this part."),
    ("resourceVersion", "ResourceVersion is the state of the server that the list shows."),
    ("selfLink", "SelfLink is no longer filled in."),
];

/// The description of a definition.
pub(super) fn definition(name: &str) -> Option<&'static str> {
    match name {
        OBJECT_META => Some("ObjectMeta is what every stored object has beside its own fields."),
        LIST_META => Some("ListMeta is what every list has beside its items."),
        _ => None,
    }
}

/// The description of a definition's field.
pub(super) fn field(definition: &str, name: &str) -> Option<&'static str> {
    let find = |table: &[(&str, &'static str)]| table.iter().find(|row| row.0 == name).map(|row| row.1);
    match (definition, name) {
        (OBJECT_META, _) => find(OBJECT_META_FIELDS),
        (LIST_META, _) => find(LIST_META_FIELDS),
        (_, "apiVersion") => Some(API_VERSION),
        (_, "kind") => Some(KIND),
        (list, "metadata") if list.ends_with("List") => Some(LIST_METADATA),
        (_, "metadata") => Some(METADATA),
        _ => None,
    }
}
