"""What the cases of the Python clients share."""

import functools

from kubernetes import client, config


@functools.cache
def api_client():
    return client.ApiClient(configuration=configuration())


@functools.cache
def configuration():
    settings = client.Configuration()
    config.load_kube_config(client_configuration=settings)
    return settings


def meta(name=None, **more):
    return client.V1ObjectMeta(name=name, **more)


def pod(name, script, **spec):
    container = client.V1Container(name="main", image="busybox:1.36", command=["sh", "-c", script])
    spec = client.V1PodSpec(containers=[container], restart_policy="Never", termination_grace_period_seconds=1, **spec)
    return client.V1Pod(metadata=meta(name), spec=spec)


def refused(call, status, reason):
    """Checks that a call is refused with a status and a reason."""
    import json

    try:
        call()
    except client.ApiException as error:
        body = json.loads(error.body)
        assert (error.status, body["reason"]) == (status, reason), f"{error.status} {error.body}"
        return body
    raise AssertionError("the call succeeded")
