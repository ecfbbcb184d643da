"""Every kind: its objects as they are made, and what becomes of one that stays when it is changed."""

from .asking import APPLY, MERGE, PARTIAL, STRATEGIC, TABLE, Ask, merged
from .objects import things
from .objects.small import RICH_CLASS


def kept(run):
    """The objects that stay: path and object. Writers change them in dry runs alone."""
    for thing in things(run):
        if thing.kept != "never":
            yield run.url(thing.version, thing.plural, scope=thing.scope), run.object(thing, thing.stays, thing.name)
    # Classes that pods name.
    yield "/apis/node.k8s.io/v1/runtimeclasses", {"metadata": {"name": f"{run.mark}-pods"}, **RICH_CLASS}
    yield "/apis/scheduling.k8s.io/v1/priorityclasses", {"metadata": {"name": f"{run.mark}-pods"}, "value": 1234, "preemptionPolicy": "Never"}


def requests(run):
    for thing in things(run):
        for variant in thing.variants:
            yield from made(run, thing, variant)
        if thing.kept != "never":
            yield from changed(run, thing)


def made(run, thing, variant):
    """An object as it is created, as a row, and as it is applied."""
    label = f"{thing.version} {thing.plural}: {variant}:"
    path = run.url(thing.version, thing.plural, scope=thing.scope) + "?dryRun=All&fieldManager=one"
    body = run.object(thing, variant, "new")
    part = "requested" if thing.kind == "CertificateSigningRequest" else "whole"
    yield Ask(f"{label} created", "POST", path, body, part=part)
    columns = "table" if variant == next(iter(thing.variants)) else "cells"
    yield Ask(f"{label} as a row", "POST", f"{path}&includeObject=None", body, accept=TABLE, part=columns)
    name = body["metadata"]["name"]
    if name is None:
        return
    applied = run.url(thing.version, thing.plural, name, scope=thing.scope) + "?dryRun=All&fieldManager=two"
    yield Ask(f"{label} applied", "PATCH", applied, body, APPLY, part="managers")
    if variant == "minimal":
        yield Ask(f"{label} as metadata", "POST", path, body, accept=PARTIAL)
        yield Ask(f"{label} put where nothing is", "PUT", run.url(thing.version, thing.plural, name, scope=thing.scope) + "?dryRun=All", body, part=part)


def changed(run, thing):
    """An object that is there, put and patched and applied by others."""
    label = f"{thing.version} {thing.plural}: kept:"
    path = run.url(thing.version, thing.plural, run.name(thing.name, thing.scope), scope=thing.scope)
    body = run.object(thing, thing.stays, thing.name)
    whole = merged(body, thing.change)
    part = {"moves": "still", "rests": "requested" if thing.kind == "CertificateSigningRequest" else "whole"}[thing.kept]
    dry = f"{path}?dryRun=All&fieldManager="
    yield Ask(f"{label} read", "GET", path, part=part)
    yield Ask(f"{label} put as it is", "PUT", dry + "two", {}, part="managers", there="onto")
    yield Ask(f"{label} put as it was sent", "PUT", dry + "two", body, part=part, there="fresh")
    yield Ask(f"{label} put as it was sent, changed", "PUT", dry + "two", whole, part="managers", there="fresh")
    yield Ask(f"{label} put changed", "PUT", dry + "two", thing.change, part=part, there="onto")
    yield Ask(f"{label} merged", "PATCH", dry + "three", thing.change, MERGE, part="managers")
    yield Ask(f"{label} patched", "PATCH", dry + "three", thing.change, STRATEGIC, part=part)
    yield Ask(f"{label} applied", "PATCH", dry + "two&force=true", whole, APPLY, part="managers")
    yield Ask(f"{label} applied by its first writer", "PATCH", dry + "one", body, APPLY, part="managers")
    yield Ask(f"{label} without its specification", "PATCH", dry + "three", {"spec": None}, MERGE, part="managers")
    yield Ask(f"{label} deleted", "DELETE", f"{path}?dryRun=All&propagationPolicy=Background", part="deleted")
