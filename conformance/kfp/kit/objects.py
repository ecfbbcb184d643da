"""Objects of the cluster that cases need: made before the first, removed after the last."""

import contextlib

import yaml


@contextlib.contextmanager
def made(path, namespace):
    """The objects of a YAML file, in `namespace` where they say no other; nothing where there is no file."""
    if path is None:
        yield
        return
    from kubernetes import config, dynamic
    from kubernetes.client import ApiException, api_client

    client = dynamic.DynamicClient(config.new_client_from_config() or api_client.ApiClient())
    with open(path, encoding="utf-8") as file:
        wanted = [one for one in yaml.safe_load_all(file) if one]
    there = []
    try:
        for one in wanted:
            resource = client.resources.get(api_version=one["apiVersion"], kind=one["kind"])
            place = {"namespace": one["metadata"].get("namespace", namespace)} if resource.namespaced else {}
            try:
                resource.create(body=one, **place)
            except ApiException as error:
                # One that an earlier run left is as good.
                if error.status != 409:
                    raise
            there.append((resource, one["metadata"]["name"], place))
        yield
    finally:
        for resource, name, place in reversed(there):
            with contextlib.suppress(ApiException):
                resource.delete(name=name, **place)
