"""Objects of every built-in kind, a file for each part of the API."""

from . import access, admission, batch, certificates, config, networking, pods, scaling, services, small, storage, volumes, workloads

PARTS = (pods, volumes, workloads, batch, config, services, networking, storage, scaling, access, certificates, admission, small)


def things(run):
    """Every kind with its objects."""
    return [thing for part in PARTS for thing in part.things(run)]
