"""Watches: order, selectors, bookmarks, the initial state as events, and what is too old."""

from kit import case, check, same


def seen(events):
    return [(event["type"], event["object"]["metadata"]["name"]) for event in events]


def revision(k, plural="configmaps"):
    return k.get(k.core(plural)).ok()["metadata"]["resourceVersion"]


def mine(k, **more):
    return k.watch(k.core("configmaps"), labelSelector="mine", **more)


@case
def changes_are_seen_in_their_order(k):
    since = revision(k)
    with mine(k, resourceVersion=since) as watch:
        k.config_map("a", labels={"mine": ""})
        k.merge(k.core("configmaps", "a"), {"data": {"k": "w"}}).ok()
        k.delete(k.core("configmaps", "a")).ok()
        events = watch.take(3)
    same(seen(events), [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")])
    versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in events]
    check(versions == sorted(set(versions)), f"revisions do not grow: {versions}")
    same(events[0]["object"]["kind"], "ConfigMap")


@case
def a_deletion_carries_the_last_state_at_the_revision_of_the_deletion(k):
    made = k.config_map("a", labels={"mine": ""})
    with mine(k, resourceVersion=made["metadata"]["resourceVersion"]) as watch:
        k.delete(k.core("configmaps", "a")).ok()
        event = watch.next()
    same((event["type"], event["object"]["data"]), ("DELETED", {"k": "v"}))
    check(int(event["object"]["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"]), "the old revision")


@case
def a_change_that_changes_nothing_is_not_seen(k):
    made = k.config_map("a", labels={"mine": ""})
    with mine(k, resourceVersion=made["metadata"]["resourceVersion"]) as watch:
        k.put(k.core("configmaps", "a"), made).ok()
        k.merge(k.core("configmaps", "a"), {"data": {"k": "v"}}).ok()
        k.merge(k.core("configmaps", "a"), {"data": {"k": "w"}}).ok()
        event = watch.next()
    same(event["object"]["data"], {"k": "w"})


@case
def a_watch_goes_on_from_a_revision(k):
    first = k.config_map("a", labels={"mine": ""})
    k.config_map("b", labels={"mine": ""})
    k.delete(k.core("configmaps", "a")).ok()
    with mine(k, resourceVersion=first["metadata"]["resourceVersion"]) as watch:
        same(seen(watch.take(2)), [("ADDED", "b"), ("DELETED", "a")])


@case
def without_a_revision_the_state_comes_first(k):
    k.config_map("a", labels={"mine": ""})
    k.config_map("b", labels={"mine": ""})
    for query in ({}, {"resourceVersion": "0"}):
        with mine(k, **query) as watch:
            same(seen(watch.take(2)), [("ADDED", "a"), ("ADDED", "b")], str(query))
            k.merge(k.core("configmaps", "a"), {"data": {"k": str(query)}}).ok()
            event = watch.until(lambda event: event["type"] == "MODIFIED")
            same(event["object"]["metadata"]["name"], "a")


@case
def entering_and_leaving_a_selector_are_seen_as_added_and_deleted(k):
    made = k.config_map("a", labels={"other": ""})
    with mine(k, resourceVersion=made["metadata"]["resourceVersion"]) as watch:
        k.merge(k.core("configmaps", "a"), {"metadata": {"labels": {"mine": ""}}}).ok()
        k.merge(k.core("configmaps", "a"), {"data": {"k": "w"}}).ok()
        left = k.merge(k.core("configmaps", "a"), {"metadata": {"labels": {"mine": None}}}).ok()
        events = watch.take(3)
    same(seen(events), [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")])
    same(events[2]["object"]["metadata"]["labels"], {"other": "", "mine": ""}, "labels of the last state that was selected")
    same(events[2]["object"]["metadata"]["resourceVersion"], left["metadata"]["resourceVersion"])


@case
def a_field_selector_narrows_a_watch(k):
    since = revision(k)
    with k.watch(k.core("configmaps"), fieldSelector="metadata.name=b", resourceVersion=since) as watch:
        k.config_map("a")
        k.config_map("b")
        same(seen(watch.take(1)), [("ADDED", "b")])


@case
def the_path_of_an_object_is_not_watched(k):
    k.config_map("a")
    same(k.get(k.core("configmaps", "a"), {"watch": "true"}).ok()["kind"], "ConfigMap")


@case
def the_legacy_watch_paths_are_served(k):
    since = revision(k)
    path = k.core("configmaps").replace("/api/v1/", "/api/v1/watch/")
    with k.watch(path, labelSelector="mine", resourceVersion=since) as watch:
        k.config_map("a", labels={"mine": ""})
        same(seen(watch.take(1)), [("ADDED", "a")])


@case
def a_timeout_ends_a_watch(k):
    with mine(k, timeoutSeconds=1) as watch:
        same(watch.rest(), [])


@case
def a_bookmark_comes_before_the_end(k):
    k.config_map("a", labels={"mine": ""})
    with mine(k, timeoutSeconds=3, allowWatchBookmarks="true") as watch:
        events = watch.rest()
    same(events[0]["type"], "ADDED")
    bookmarks = [event["object"] for event in events if event["type"] == "BOOKMARK"]
    check(bookmarks, "no bookmark")
    same((bookmarks[-1]["kind"], bookmarks[-1]["apiVersion"]), ("ConfigMap", "v1"))
    check(int(bookmarks[-1]["metadata"]["resourceVersion"]) >= int(events[0]["object"]["metadata"]["resourceVersion"]), "it goes back")


@case
def no_bookmark_comes_unasked(k):
    with mine(k, timeoutSeconds=2) as watch:
        same(watch.rest(), [])


@case
def initial_events_end_with_an_annotated_bookmark(k):
    k.config_map("a", labels={"mine": ""})
    k.config_map("b", labels={"mine": ""})
    query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
    with mine(k, **query) as watch:
        events = watch.take(3)
        same(sorted(seen(events[:2])), [("ADDED", "a"), ("ADDED", "b")])
        same(events[2]["type"], "BOOKMARK")
        same(events[2]["object"]["metadata"].get("annotations"), {"k8s.io/initial-events-end": "true"})
        check(int(events[2]["object"]["metadata"]["resourceVersion"]) > 0, "no revision")
        k.config_map("c", labels={"mine": ""})
        same(seen([watch.until(lambda event: event["type"] != "BOOKMARK")]), [("ADDED", "c")])


@case
def initial_events_of_nothing_are_a_bookmark(k):
    query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
    with mine(k, **query) as watch:
        event = watch.next()
    same((event["type"], event["object"]["metadata"]["annotations"]), ("BOOKMARK", {"k8s.io/initial-events-end": "true"}))


@case
def initial_events_can_be_declined(k):
    k.config_map("a", labels={"mine": ""})
    query = {"sendInitialEvents": "false", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true", "timeoutSeconds": 2}
    with mine(k, **query) as watch:
        same([event["type"] for event in watch.rest() if event["type"] != "BOOKMARK"], [])


@case
def initial_events_need_a_match(k):
    with mine(k, sendInitialEvents="true") as watch:
        watch.failure().fails(422, "Invalid", contains="resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")


@case
def a_match_without_initial_events_is_forbidden(k):
    with mine(k, resourceVersionMatch="NotOlderThan", resourceVersion="1") as watch:
        watch.failure().fails(422, "Invalid", contains="resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided")


@case
def initial_events_are_not_for_lists(k):
    reply = k.get(k.core("configmaps"), {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "resourceVersion": "1"})
    reply.fails(422, "Invalid", contains="sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list")


@case
def a_revision_that_is_too_old_is_an_error_event_or_410(k):
    with k.watch("/api/v1/configmaps", resourceVersion="1", timeoutSeconds=2) as watch:
        if watch.status != 200:
            watch.failure().fails(410, "Expired")
            return
        event = watch.next()
        # A young store may still know all of its past.
        if event is not None and event["type"] == "ERROR":
            same((event["object"]["kind"], event["object"]["code"], event["object"]["reason"]), ("Status", 410, "Expired"))
            check(event["object"]["message"].startswith("too old resource version"), event["object"]["message"])


@case
def a_watch_of_a_future_revision_stays_silent_or_is_refused(k):
    since = int(revision(k)) + 10**6
    with mine(k, resourceVersion=str(since), timeoutSeconds=2) as watch:
        if watch.status == 200:
            events = [event for event in watch.rest() if event["type"] != "BOOKMARK"]
            check(all(event["type"] == "ERROR" for event in events), events)


@case
def a_bad_revision_or_selector_is_refused_before_the_stream(k):
    with mine(k, resourceVersion="abc") as watch:
        watch.failure().fails(500, contains='resourceVersion: Invalid value: "abc": strconv.ParseUint: parsing "abc": invalid syntax')
    with k.watch(k.core("configmaps"), fieldSelector="no.such=x") as watch:
        watch.failure().fails(400, "BadRequest", contains='"no.such" is not a known field selector')


@case
def the_watch_of_an_unknown_resource_is_404(k):
    with k.watch(f"/api/v1/namespaces/{k.ns}/nothings") as watch:
        same(watch.status, 404)


@case
def two_watches_see_the_same_order(k):
    since = revision(k)
    with mine(k, resourceVersion=since) as one, mine(k, resourceVersion=since) as two:
        for index in range(10):
            k.config_map(f"n{index % 3}-{index}", labels={"mine": ""})
            k.merge(k.core("configmaps", f"n{index % 3}-{index}"), {"data": {"k": "w"}}).ok()
        same(one.take(20), two.take(20))


@case
def namespaces_are_watched_like_anything_else(k):
    with k.watch("/api/v1/namespaces", fieldSelector=f"metadata.name={k.ns}") as watch:
        event = watch.next()
    same((event["type"], event["object"]["status"]["phase"]), ("ADDED", "Active"))


@case
def the_stream_has_the_content_type_of_json(k):
    with mine(k, timeoutSeconds=1) as watch:
        same(watch.response.headers.get("Content-Type"), "application/json")
