"""Deleting: preconditions, finalizers, grace, propagation and the garbage collector."""

import re

from kit import case, check, same, subset

POD = {"containers": [{"name": "c", "image": "registry.k8s.io/pause:3.10", "command": ["sleep", "1000"]}]}


def owner(found, **more):
    return [{"apiVersion": found["apiVersion"], "kind": found["kind"], "name": found["metadata"]["name"], "uid": found["metadata"]["uid"], **more}]


@case
def deleting_answers_success_with_the_uid(k):
    made = k.config_map()
    reply = k.delete(k.core("configmaps", "a")).ok(200)
    same({key: reply[key] for key in ("kind", "status", "details")}, {
        "kind": "Status", "status": "Success", "details": {"name": "a", "kind": "configmaps", "uid": made["metadata"]["uid"]},
    })
    same(k.get(k.core("configmaps", "a")).status, 404)


@case
def some_kinds_answer_with_the_deleted_object(k):
    k.post(k.core("podtemplates"), {"metadata": {"name": "t"}, "template": {"spec": POD}}).ok(201)
    same(k.delete(k.core("podtemplates", "t")).ok(200)["kind"], "PodTemplate")


@case
def a_precondition_on_the_uid_holds(k):
    made = k.config_map()
    reply = k.delete(k.core("configmaps", "a"), {"preconditions": {"uid": "other"}})
    reply.fails(409, "Conflict", f'Operation cannot be fulfilled on ConfigMap "a": the UID in the precondition (other) does not match the UID in record ({made["metadata"]["uid"]}). The object might have been deleted and then recreated')
    k.delete(k.core("configmaps", "a"), {"preconditions": {"uid": made["metadata"]["uid"]}}).ok(200)


@case
def a_precondition_on_the_revision_holds(k):
    made = k.config_map()
    version = made["metadata"]["resourceVersion"]
    k.merge(k.core("configmaps", "a"), {"data": {"k": "w"}}).ok()
    reply = k.delete(k.core("configmaps", "a"), {"preconditions": {"resourceVersion": version}})
    reply.fails(409, "Conflict", contains=f"the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record (")


@case
def a_finalizer_keeps_an_object_until_it_is_removed(k):
    k.config_map(finalizers=["example.com/wait"])
    found = k.delete(k.core("configmaps", "a")).ok(200)
    same(found["kind"], "ConfigMap")
    check(re.match(r"^\d{4}-", found["metadata"]["deletionTimestamp"]), found["metadata"])
    same(found["metadata"]["deletionGracePeriodSeconds"], 0)
    same(k.get(k.core("configmaps", "a")).status, 200)
    k.merge(k.core("configmaps", "a"), {"metadata": {"finalizers": None}}).ok(200)
    same(k.get(k.core("configmaps", "a")).status, 404)


@case
def the_last_finalizer_removes_with_a_deletion_event(k):
    k.config_map(finalizers=["example.com/a", "example.com/b"])
    marked = k.delete(k.core("configmaps", "a")).ok(200)
    with k.watch(k.core("configmaps"), fieldSelector="metadata.name=a", resourceVersion=marked["metadata"]["resourceVersion"]) as watch:
        k.merge(k.core("configmaps", "a"), {"metadata": {"finalizers": ["example.com/b"]}}).ok()
        k.merge(k.core("configmaps", "a"), {"metadata": {"finalizers": []}}).ok()
        same([event["type"] for event in watch.take(2)], ["MODIFIED", "DELETED"])


@case
def an_object_that_goes_takes_no_new_finalizer(k):
    k.config_map(finalizers=["example.com/wait"])
    k.delete(k.core("configmaps", "a")).ok(200)
    reply = k.merge(k.core("configmaps", "a"), {"metadata": {"finalizers": ["example.com/wait", "example.com/more"]}})
    reply.fails(422, "Invalid", contains='metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{"example.com/more"}')
    k.merge(k.core("configmaps", "a"), {"metadata": {"finalizers": None}}).ok(200)


@case
def the_deletion_timestamp_stays(k):
    k.config_map(finalizers=["example.com/wait"])
    first = k.delete(k.core("configmaps", "a")).ok(200)
    again = k.delete(k.core("configmaps", "a")).ok(200)
    same(again["metadata"]["deletionTimestamp"], first["metadata"]["deletionTimestamp"])
    same(again["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"])
    found = k.merge(k.core("configmaps", "a"), {"metadata": {"deletionTimestamp": None}, "data": {"x": "y"}}).ok(200)
    same(found["metadata"]["deletionTimestamp"], first["metadata"]["deletionTimestamp"])
    k.merge(k.core("configmaps", "a"), {"metadata": {"finalizers": None}}).ok(200)


@case
def a_bad_finalizer_is_invalid(k):
    reply = k.post(k.core("configmaps"), {"metadata": {"name": "a", "finalizers": ["Not/a/name"]}})
    reply.fails(422, "Invalid", contains='metadata.finalizers: Invalid value: "Not/a/name"')


@case
def an_unknown_propagation_is_invalid(k):
    k.config_map()
    reply = k.delete(k.core("configmaps", "a"), {"propagationPolicy": "Sideways"})
    reply.fails(422, "Invalid", contains='propagationPolicy: Unsupported value: "Sideways": supported values: "Foreground", "Background", "Orphan", "nil"')


@case
def both_ways_to_say_propagation_are_too_many(k):
    k.config_map()
    reply = k.delete(k.core("configmaps", "a"), {"propagationPolicy": "Orphan", "orphanDependents": True})
    reply.fails(422, "Invalid", contains="orphanDependents and deletionPropagation cannot be both set")


@case
def options_may_come_in_the_query(k):
    k.config_map(finalizers=["example.com/wait"])
    found = k.delete(k.core("configmaps", "a"), query={"propagationPolicy": "Foreground"}).ok(200)
    check("foregroundDeletion" in found["metadata"]["finalizers"], found["metadata"])
    k.merge(k.core("configmaps", "a"), {"metadata": {"finalizers": None}}).ok(200)


@case
def foreground_and_orphan_are_written_as_finalizers(k):
    for policy, finalizer in (("Foreground", "foregroundDeletion"), ("Orphan", "orphan")):
        name = policy.lower()
        k.config_map(name, finalizers=["example.com/wait"])
        found = k.delete(k.core("configmaps", name), {"propagationPolicy": policy}).ok(200)
        check(finalizer in found["metadata"]["finalizers"], found["metadata"])
        k.merge(k.core("configmaps", name), {"metadata": {"finalizers": None}}).ok(200)


@case
def a_pod_that_is_not_bound_goes_at_once(k):
    k.post(k.core("pods"), {"metadata": {"name": "p"}, "spec": {**POD, "schedulerName": "nobody"}}).ok(201)
    reply = k.delete(k.core("pods", "p")).ok(200)
    same(reply["kind"], "Pod")
    same(k.get(k.core("pods", "p")).status, 404)


@case
def a_bound_pod_is_given_its_grace(k):
    k.post(k.core("pods"), {"metadata": {"name": "p", "finalizers": ["example.com/wait"]}, "spec": {**POD, "nodeName": "there-is-none", "terminationGracePeriodSeconds": 7}}).ok(201)
    found = k.delete(k.core("pods", "p")).ok(200)
    same(found["metadata"]["deletionGracePeriodSeconds"], 7)
    shorter = k.delete(k.core("pods", "p"), {"gracePeriodSeconds": 2}).ok(200)
    same(shorter["metadata"]["deletionGracePeriodSeconds"], 2)
    longer = k.delete(k.core("pods", "p"), {"gracePeriodSeconds": 20}).ok(200)
    same(longer["metadata"]["deletionGracePeriodSeconds"], 2, "grace never grows")
    k.merge(k.core("pods", "p"), {"metadata": {"finalizers": None}}).ok(200)
    k.delete(k.core("pods", "p"), {"gracePeriodSeconds": 0})
    same(k.get(k.core("pods", "p")).status, 404)


@case
def grace_must_not_be_negative(k):
    k.post(k.core("pods"), {"metadata": {"name": "p"}, "spec": {**POD, "nodeName": "there-is-none"}}).ok(201)
    found = k.delete(k.core("pods", "p"), {"gracePeriodSeconds": -1})
    check(found.status == 200 and found.json()["metadata"]["deletionGracePeriodSeconds"] == 1, f"{found.status} {found.text()[:300]}")
    k.delete(k.core("pods", "p"), {"gracePeriodSeconds": 0})


@case
def an_owner_reference_needs_all_of_its_fields(k):
    reply = k.post(k.core("configmaps"), {"metadata": {"name": "a", "ownerReferences": [{"kind": "ConfigMap", "name": "b"}]}})
    reply.fails(422, "Invalid", contains=["metadata.ownerReferences.apiVersion: Invalid value: \"\": version must not be empty", "metadata.ownerReferences.uid: Invalid value: \"\": must not be empty"])


@case
def an_object_has_one_controller(k):
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "controller": True}
    refs = [{**reference, "name": "x", "uid": "1"}, {**reference, "name": "y", "uid": "2"}]
    reply = k.post(k.core("configmaps"), {"metadata": {"name": "a", "ownerReferences": refs}})
    reply.fails(422, "Invalid", contains="Only one reference can have Controller set to true. Found \"true\" in references for ConfigMap/x and ConfigMap/y")


@case(needs="controllers")
def dependents_go_after_their_owner(k):
    found = k.config_map("owner")
    k.config_map("child", ownerReferences=owner(found))
    grandchild = k.get(k.core("configmaps", "child")).ok()
    k.config_map("grandchild", ownerReferences=owner(grandchild))
    k.delete(k.core("configmaps", "owner"), {"propagationPolicy": "Background"}).ok(200)
    same(k.get(k.core("configmaps", "owner")).status, 404)
    k.wait_gone(k.core("configmaps"), "child")
    k.wait_gone(k.core("configmaps"), "grandchild")


@case(needs="controllers")
def dependents_go_before_their_owner_in_the_foreground(k):
    found = k.config_map("owner")
    k.config_map("child", ownerReferences=owner(found, blockOwnerDeletion=True), finalizers=["example.com/wait"])
    k.delete(k.core("configmaps", "owner"), {"propagationPolicy": "Foreground"}).ok(200)
    k.wait_for(k.core("configmaps"), "child", lambda one: "deletionTimestamp" in one["metadata"])
    same(k.get(k.core("configmaps", "owner")).ok()["metadata"]["finalizers"], ["foregroundDeletion"])
    k.merge(k.core("configmaps", "child"), {"metadata": {"finalizers": None}}).ok(200)
    k.wait_gone(k.core("configmaps"), "owner")


@case(needs="controllers")
def orphans_stay_without_a_reference(k):
    found = k.config_map("owner")
    k.config_map("child", ownerReferences=owner(found))
    k.delete(k.core("configmaps", "owner"), {"propagationPolicy": "Orphan"}).ok(200)
    k.wait_gone(k.core("configmaps"), "owner")
    child = k.get(k.core("configmaps", "child")).ok()
    check("ownerReferences" not in child["metadata"], child["metadata"])


@case(needs="controllers")
def a_dependent_with_another_owner_stays(k):
    first, second = k.config_map("first"), k.config_map("second")
    k.config_map("child", ownerReferences=owner(first) + owner(second))
    k.delete(k.core("configmaps", "first"), {"propagationPolicy": "Background"}).ok(200)
    found = k.wait_for(k.core("configmaps"), "child", lambda one: len(one["metadata"]["ownerReferences"]) == 1)
    same(found["metadata"]["ownerReferences"][0]["name"], "second")


@case(needs="controllers")
def a_dependent_of_an_owner_that_never_was_goes(k):
    ghost = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ghost", "uid": "00000000-0000-0000-0000-000000000001"}}
    k.config_map("child", ownerReferences=owner(ghost))
    k.wait_gone(k.core("configmaps"), "child")


@case
def deleting_a_collection_honours_finalizers(k):
    k.config_map("a", labels={"mine": ""}, finalizers=["example.com/wait"])
    k.config_map("b", labels={"mine": ""})
    k.delete(k.core("configmaps"), query={"labelSelector": "mine"}).ok(200)
    subset(k.get(k.core("configmaps"), {"labelSelector": "mine"}).ok()["items"][0], {"metadata": {"name": "a"}})
    k.merge(k.core("configmaps", "a"), {"metadata": {"finalizers": None}}).ok(200)
