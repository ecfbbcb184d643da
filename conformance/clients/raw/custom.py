"""CustomResourceDefinitions: schemas, versions, subresources, CEL, selectable fields."""

import threading

from kit import case, check, repeat, same, subset

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
COUNTER = iter(range(1, 10**6))
LOCK = threading.Lock()

SCHEMA = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "required": ["size"],
            "properties": {
                "size": {"type": "integer", "minimum": 1, "maximum": 9},
                "color": {"type": "string", "enum": ["red", "blue"], "default": "red"},
                "replicas": {"type": "integer"},
                "note": {"type": "string", "maxLength": 5, "nullable": True},
                "port": {"x-kubernetes-int-or-string": True},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                "steps": {
                    "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                    "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}, "run": {"type": "string", "default": "true"}}},
                },
                "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
                "when": {"type": "string", "format": "date-time"},
            },
        },
        "status": {"type": "object", "properties": {"replicas": {"type": "integer"}, "selector": {"type": "string"}, "phase": {"type": "string"}}},
    },
}


def version(name="v1", schema=None, **more):
    return {"name": name, "served": True, "storage": True, "schema": {"openAPIV3Schema": schema or SCHEMA}, **more}


def definition(k, *versions, scope="Namespaced", **spec):
    """A definition of a group of its own, established; it goes when the case is over."""
    with LOCK:
        group = k.unique("g").replace("-", "") + f"x{next(COUNTER)}.conformance.example.com"
    name = f"widgets.{group}"
    body = {
        "metadata": {"name": name},
        "spec": {
            "group": group, "scope": scope, "versions": list(versions) or [version()],
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList", "shortNames": ["wd"], "categories": ["conformance"]},
            **spec,
        },
    }
    k.post(DEFINITIONS, body).ok(201)
    k.finally_delete(f"{DEFINITIONS}/{name}")
    k.wait_for(DEFINITIONS, name, established)
    return Widgets(k, group, name, scope)


def established(found):
    conditions = {one["type"]: one["status"] for one in found.get("status", {}).get("conditions") or []}
    return conditions.get("Established") == "True" and conditions.get("NamesAccepted") == "True"


class Widgets:
    def __init__(self, k, group, name, scope):
        self.k, self.group, self.name, self.scope = k, group, name, scope

    def path(self, name=None, sub=None, version="v1"):
        if self.scope == "Cluster":
            return "/".join(part for part in (f"/apis/{self.group}/{version}/widgets", name, sub) if part)
        return self.k.url(f"{self.group}/{version}", "widgets", name, sub)

    def body(self, name="w", version="v1", **spec):
        return {"apiVersion": f"{self.group}/{version}", "kind": "Widget", "metadata": {"name": name}, "spec": {"size": 1, **spec}}

    def create(self, name="w", version="v1", query=None, **spec):
        return self.k.post(self.path(version=version), self.body(name, version, **spec), query)


@case
def a_definition_becomes_established_and_accepted(k):
    widgets = definition(k)
    found = k.get(f"{DEFINITIONS}/{widgets.name}").ok()
    conditions = {one["type"]: (one["status"], one["reason"], one["message"]) for one in found["status"]["conditions"]}
    same(conditions["NamesAccepted"], ("True", "NoConflicts", "no conflicts found"))
    same(conditions["Established"], ("True", "InitialNamesAccepted", "the initial names have been accepted"))
    same(found["status"]["storedVersions"], ["v1"])
    same(found["status"]["acceptedNames"]["kind"], "Widget")
    same(found["spec"]["conversion"], {"strategy": "None"})


@case
def a_definition_shows_in_discovery(k):
    widgets = definition(k)
    group = k.get(f"/apis/{widgets.group}").ok()
    same(group["preferredVersion"], {"groupVersion": f"{widgets.group}/v1", "version": "v1"})
    # The version is listed a moment after the group.
    k.until(lambda: k.get(f"/apis/{widgets.group}/v1").status == 200, "the version is listed")
    found = k.get(f"/apis/{widgets.group}/v1").ok()["resources"][0]
    subset(found, {"name": "widgets", "singularName": "widget", "namespaced": True, "kind": "Widget", "shortNames": ["wd"], "categories": ["conformance"]})
    same(sorted(found["verbs"]), ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"])


@case
def a_custom_object_lives_like_any_other(k):
    widgets = definition(k)
    made = widgets.create().ok(201)
    same(made["metadata"]["generation"], 1)
    same(k.get(widgets.path("w")).ok(), made)
    changed = k.merge(widgets.path("w"), {"spec": {"size": 2}}).ok()
    same(changed["metadata"]["generation"], 2)
    reply = k.get(widgets.path()).ok()
    same((reply["kind"], reply["items"][0]["kind"]), ("WidgetList", "Widget"))
    k.delete(widgets.path("w")).ok(200)
    k.get(widgets.path("w")).fails(404, "NotFound", f'widgets.{widgets.group} "w" not found')


@case
def a_custom_object_must_name_its_kind(k):
    widgets = definition(k)
    body = widgets.body()
    del body["kind"]
    k.post(widgets.path(), body).fails(400, "BadRequest", contains="Object 'Kind' is missing in")
    k.post(widgets.path(), {**widgets.body(), "kind": "Gadget"}).fails(422, "Invalid", f'Gadget.{widgets.group} "w" is invalid: kind: Invalid value: "Gadget": must be Widget')


@case
def defaults_are_filled_in_also_in_lists(k):
    widgets = definition(k)
    found = widgets.create(steps=[{"name": "a"}]).ok(201)["spec"]
    same((found["color"], found["steps"]), ("red", [{"name": "a", "run": "true"}]))


@case
def unknown_fields_are_pruned_unless_they_are_preserved(k):
    widgets = definition(k)
    found = widgets.create(extra=1, free={"any": {"thing": [1]}}).ok(201)["spec"]
    check("extra" not in found, found)
    same(found["free"], {"any": {"thing": [1]}})


@case
def unknown_fields_are_refused_or_told(k):
    widgets = definition(k)
    reply = widgets.create(query={"fieldValidation": "Strict"}, extra=1)
    reply.fails(400, "BadRequest", contains='strict decoding error: unknown field "spec.extra"')
    reply = widgets.create(query={"fieldValidation": "Warn"}, extra=1)
    reply.ok(201)
    same(reply.warnings(), ['unknown field "spec.extra"'])


@case
def a_schema_is_held(k):
    widgets = definition(k)
    rows = [
        ({"size": 10}, "spec.size: Invalid value: 10: spec.size in body should be less than or equal to 9"),
        ({"size": 0}, "spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1"),
        ({"size": "big"}, 'spec.size: Invalid value: "string": spec.size in body must be of type integer: "string"'),
        ({"color": "green"}, 'spec.color: Unsupported value: "green": supported values: "red", "blue"'),
        ({"note": "too long"}, "spec.note: Too long: may not be more than 5 bytes"),
        ({"when": "now"}, 'spec.when: Invalid value: "now": spec.when in body must be of type date-time: "now"'),
        ({"tags": ["a", "a"]}, 'spec.tags[1]: Duplicate value: "a"'),
        ({"steps": [{"name": "a"}, {"name": "a"}]}, 'spec.steps[1]: Duplicate value: {"name":"a"}'),
    ]
    for spec, message in rows:
        widgets.create(**spec).fails(422, "Invalid", contains=message)
    for port in (80, "http"):
        same(widgets.create(f"p{port}", port=port).ok(201)["spec"]["port"], port)
    body = widgets.body()
    del body["spec"]["size"]
    k.post(widgets.path(), body).fails(422, "Invalid", f'Widget.{widgets.group} "w" is invalid: spec.size: Required value', causes=[("FieldValueRequired", "spec.size")])


@case
def null_is_dropped_where_it_is_not_allowed(k):
    widgets = definition(k)
    found = widgets.create(color=None, note=None).ok(201)["spec"]
    same((found["color"], found.get("note", "absent")), ("red", None))


@case
def a_replace_needs_a_revision(k):
    widgets = definition(k)
    widgets.create().ok(201)
    reply = k.put(widgets.path("w"), widgets.body(size=2))
    reply.fails(422, "Invalid", contains="metadata.resourceVersion: Invalid value: 0: must be specified for an update")


@case
def a_strategic_patch_is_415_for_custom_objects(k):
    widgets = definition(k)
    widgets.create().ok(201)
    reply = k.strategic(widgets.path("w"), {"spec": {"size": 2}})
    reply.fails(415, "UnsupportedMediaType")


@case
def custom_objects_are_applied_with_their_keys(k):
    widgets = definition(k)
    k.apply(widgets.path("w"), widgets.body(steps=[{"name": "a", "run": "x"}])).ok(201)
    found = k.apply(widgets.path("w"), {**widgets.body(), "spec": {"steps": [{"name": "b", "run": "y"}]}}, manager="two").ok(200)
    same([step["name"] for step in found["spec"]["steps"]], ["a", "b"])
    reply = k.apply(widgets.path("w"), {**widgets.body(), "spec": {"steps": [{"name": "a", "run": "z"}]}}, manager="two")
    reply.fails(409, "Conflict", contains='conflict with "one": .spec.steps[name="a"].run')


@case
def a_status_subresource_parts_status_and_spec(k):
    widgets = definition(k, version(subresources={"status": {}}))
    made = k.post(widgets.path(), {**widgets.body(), "status": {"phase": "Mine"}}).ok(201)
    check("status" not in made, made)
    found = k.merge(widgets.path("w", "status"), {"status": {"phase": "Ready"}, "spec": {"size": 5}}).ok()
    same((found["status"], found["spec"]["size"], found["metadata"]["generation"]), ({"phase": "Ready"}, 1, 1))
    found = k.merge(widgets.path("w"), {"status": {"phase": "Other"}, "spec": {"size": 5}}).ok()
    same((found["status"], found["spec"]["size"], found["metadata"]["generation"]), ({"phase": "Ready"}, 5, 2))


@case
def without_a_status_subresource_there_is_no_status_path(k):
    widgets = definition(k)
    widgets.create().ok(201)
    same(k.get(widgets.path("w", "status")).status, 404)


@case
def a_scale_subresource_maps_its_paths(k):
    scale = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas", "labelSelectorPath": ".status.selector"}
    widgets = definition(k, version(subresources={"status": {}, "scale": scale}))
    widgets.create(replicas=2).ok(201)
    k.merge(widgets.path("w", "status"), {"status": {"replicas": 1, "selector": "a=b"}}).ok()
    found = k.get(widgets.path("w", "scale")).ok()
    subset(found, {"kind": "Scale", "apiVersion": "autoscaling/v1", "spec": {"replicas": 2}, "status": {"replicas": 1, "selector": "a=b"}})
    k.merge(widgets.path("w", "scale"), {"spec": {"replicas": 4}}).ok()
    same(k.get(widgets.path("w")).ok()["spec"]["replicas"], 4)


@case
def versions_without_conversion_differ_in_their_name_alone(k):
    widgets = definition(k, version("v1", storage=False), version("v2"))
    made = widgets.create().ok(201)
    other = k.get(widgets.path("w", version="v2")).ok()
    same(other["apiVersion"], f"{widgets.group}/v2")
    same((other["metadata"]["uid"], other["spec"]), (made["metadata"]["uid"], made["spec"]))
    same(k.get(f"/apis/{widgets.group}").ok()["preferredVersion"]["version"], "v2")
    with k.watch(widgets.path(version="v2")) as watch:
        event = watch.next()
        same((event["type"], event["object"]["apiVersion"]), ("ADDED", f"{widgets.group}/v2"), str(event)[:500])


@case
def a_version_that_is_not_served_is_404(k):
    widgets = definition(k, version("v1"), version("v2", storage=False, served=False))
    same(k.get(widgets.path(version="v2")).status, 404)


@case
def a_deprecated_version_warns(k):
    widgets = definition(k, version("v1", deprecated=True))
    same(k.get(widgets.path()).warnings(), [f"{widgets.group}/v1 Widget is deprecated"])


@case
def rules_are_held(k):
    schema = {
        "type": "object",
        "properties": {"spec": {
            "type": "object",
            "x-kubernetes-validations": [
                {"rule": "self.low <= self.high", "message": "low must not be above high"},
                {"rule": "self.low >= oldSelf.low", "message": "low must not fall", "reason": "FieldValueForbidden", "fieldPath": ".low"},
            ],
            "properties": {"size": {"type": "integer"}, "low": {"type": "integer", "default": 0}, "high": {"type": "integer", "default": 10}},
        }},
    }
    widgets = definition(k, version(schema=schema))
    widgets.create(low=11).fails(422, "Invalid", contains="low must not be above high", causes=[("FieldValueInvalid", "spec")])
    widgets.create(low=5).ok(201)
    reply = k.merge(widgets.path("w"), {"spec": {"low": 4}})
    reply.fails(422, "Invalid", contains="spec.low: Forbidden: low must not fall", causes=[("FieldValueForbidden", "spec.low")])


@case
def a_rule_that_does_not_compile_is_refused_with_the_definition(k):
    schema = {"type": "object", "properties": {"spec": {"type": "object", "x-kubernetes-validations": [{"rule": "self.none > 1"}]}}}
    body = {"metadata": {"name": "widgets.bad.conformance.example.com"}, "spec": {"group": "bad.conformance.example.com", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"}, "versions": [version(schema=schema)]}}
    k.post(DEFINITIONS, body).fails(422, "Invalid", contains="undefined field 'none'")


@case
def what_was_stored_before_a_rule_may_stay(k):
    loose = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}, "note": {"type": "string"}}}}}
    widgets = definition(k, version(schema=loose))
    widgets.create(size=50).ok(201)
    found = k.get(f"{DEFINITIONS}/{widgets.name}").ok()
    found["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["size"]["maximum"] = 9
    k.put(f"{DEFINITIONS}/{widgets.name}", found).ok(200)
    reply = until_held(lambda: widgets.create("probe", size=50, query={"dryRun": "All"}))
    reply.fails(422, "Invalid")
    k.merge(widgets.path("w"), {"spec": {"note": "changed"}}).ok(200)
    k.merge(widgets.path("w"), {"spec": {"size": 51}}).fails(422, "Invalid", contains="spec.size: Invalid value: 51")


def until_held(ask):
    """Asks until a changed schema is in force; every ask is a request of its own."""
    return repeat(ask, lambda reply: reply.status == 422)


@case
def selectable_fields_select(k):
    widgets = definition(k, version(selectableFields=[{"jsonPath": ".spec.color"}]))
    widgets.create("r", color="red").ok(201)
    widgets.create("b", color="blue").ok(201)
    found = k.get(widgets.path(), {"fieldSelector": "spec.color=blue"}).ok()["items"]
    same([one["metadata"]["name"] for one in found], ["b"])
    k.get(widgets.path(), {"fieldSelector": "spec.size=1"}).fails(400, "BadRequest", contains="field label not supported: spec.size")


@case
def printer_columns_make_the_table(k):
    columns = [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}, {"name": "Color", "type": "string", "jsonPath": ".spec.color", "priority": 1, "description": "its color"}, {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}]
    widgets = definition(k, version(additionalPrinterColumns=columns))
    widgets.create(size=3).ok(201)
    table = k.get(widgets.path(), accept="application/json;as=Table;v=v1;g=meta.k8s.io").ok()
    same([(one["name"], one["type"], one["priority"]) for one in table["columnDefinitions"]], [("Name", "string", 0), ("Size", "integer", 0), ("Color", "string", 1), ("Age", "date", 0)])
    same(table["rows"][0]["cells"][:3], ["w", 3, "red"])


@case
def a_cluster_scoped_kind_has_no_namespace(k):
    widgets = definition(k, scope="Cluster")
    made = widgets.create().ok(201)
    check("namespace" not in made["metadata"], made["metadata"])
    same(k.get(f"/apis/{widgets.group}/v1/namespaces/{k.ns}/widgets").status, 404)


@case
def a_definition_is_named_by_its_plural_and_group(k):
    body = {"metadata": {"name": "wrong.example.com"}, "spec": {"group": "conformance.example.com", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"}, "versions": [version()]}}
    k.post(DEFINITIONS, body).fails(422, "Invalid", contains='metadata.name: Invalid value: "wrong.example.com": must be spec.names.plural+"."+spec.group')


@case
def a_definition_needs_a_structural_schema_and_one_storage_version(k):
    def body(*versions):
        return {"metadata": {"name": "widgets.conformance.example.com"}, "spec": {"group": "conformance.example.com", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"}, "versions": list(versions)}}
    k.post(DEFINITIONS, body({"name": "v1", "served": True, "storage": True})).fails(422, "Invalid", contains="spec.versions[0].schema.openAPIV3Schema: Required value")
    k.post(DEFINITIONS, body(version("v1"), version("v2"))).fails(422, "Invalid", contains="must have exactly one version marked as storage version")
    bad = {"type": "object", "properties": {"spec": {"properties": {"x": {"type": "string"}}}}}
    k.post(DEFINITIONS, body(version(schema=bad))).fails(422, "Invalid", contains="properties[spec].type: Required value: must not be empty for specified object fields")


@case
def deleting_a_definition_deletes_its_objects(k):
    widgets = definition(k)
    widgets.create().ok(201)
    k.delete(f"{DEFINITIONS}/{widgets.name}").ok(200)
    k.wait_gone(DEFINITIONS, widgets.name)
    same(k.get(f"{DEFINITIONS}/{widgets.name}").status, 404)


@case
def two_definitions_cannot_share_their_names(k):
    widgets = definition(k)
    body = {"metadata": {"name": f"others.{widgets.group}"}, "spec": {"group": widgets.group, "scope": "Namespaced", "names": {"plural": "others", "kind": "Widget", "listKind": "WidgetList"}, "versions": [version()]}}
    k.finally_delete(f"{DEFINITIONS}/others.{widgets.group}")
    k.post(DEFINITIONS, body).ok(201)

    def refused(found):
        conditions = {one["type"]: one for one in found.get("status", {}).get("conditions") or []}
        return conditions.get("NamesAccepted", {}).get("status") == "False"

    found = k.wait_for(DEFINITIONS, f"others.{widgets.group}", refused)
    conditions = {one["type"]: one for one in found["status"]["conditions"]}
    same(conditions["NamesAccepted"]["reason"], "ListKindConflict" if "list" in conditions["NamesAccepted"]["message"].lower() else "KindConflict")
    same(conditions["Established"]["status"], "False")


@case
def embedded_objects_keep_their_kind(k):
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "size": {"type": "integer"},
        "template": {"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True},
    }}}}
    widgets = definition(k, version(schema=schema))
    widgets.create(template={"spec": {}}).fails(422, "Invalid", contains=["spec.template.apiVersion: Required value", "spec.template.kind: Required value"])
    template = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "anything": 1}
    same(widgets.create(template=template).ok(201)["spec"]["template"], template)
