"""What is left when Ferroflow is uninstalled, and the same by the manifests instead of the command."""

import base64
import re

import yaml
from api.kit import case, check, same
from callers import said_twice
from cluster import kubectl
from setting import IMAGE, LAUNCHER, MANIFEST, NAMESPACE, PIPELINES

NAMESPACES = [("namespaces", "", NAMESPACE), ("namespaces", "", PIPELINES)]
SECRETS = [("secrets", NAMESPACE, "ferroflow"), ("secrets", NAMESPACE, "ferroflow-tls")]


SERVICE = ("services", NAMESPACE, "ferroflow")


def uninstalled(k, *words):
    status, out, said = k.ferroflow("uninstall", *words)
    same(status, 0, f"{out} {said}")
    k.is_installed = False


@case
def what_is_uninstalled_leaves_secrets_and_namespaces_and_its_records_and_address(k):
    k.need()
    client = k.client(k.editor())
    run = k.started(client, said_twice)
    k.succeeded(client, run)
    address = k.address()
    uninstalled(k)
    k.nothing_but(*NAMESPACES, *SECRETS, SERVICE)
    status, out, _ = k.ferroflow("doctor")
    check(status != 0 and "FAULT" in out, f"the doctor misses nothing: {status} {out}")
    # Once more there is nothing to do, which is no fault.
    uninstalled(k)
    k.need()
    same(k.address(), address, "what steps under way call")
    client = k.client(k.editor())
    same(client.get_run(run).state, "SUCCEEDED", "a run of before")


@case
def what_is_uninstalled_with_its_data_leaves_nothing(k):
    k.need()
    uninstalled(k, "--delete-data")
    k.nothing_but()


def named(value, key=""):
    """A manifest's value with the images that the nodes have."""
    if isinstance(value, dict):
        return {name: named(one, name) for name, one in value.items()}
    if isinstance(value, list):
        return [named(one, key) for one in value]
    if not isinstance(value, str):
        return value
    value = re.sub(r"[\w./:-]*ferroflow-launcher[:@][\w.:-]+", LAUNCHER, value)
    return IMAGE if key == "image" and LAUNCHER not in value else value


def filled(k, documents):
    """The manifest as one who applies it makes it: with records, a bucket and credentials."""
    _, printed, _ = k.ferroflow("install", "--print", *k.flags())
    config = next(one["data"] for one in yaml.safe_load_all(printed) if one and one["kind"] == "ConfigMap")
    for one in documents:
        if one["metadata"]["name"] != "ferroflow":
            continue
        if one["kind"] == "Secret":
            check({"records", "s3-credentials"} <= {*one.get("data", {}), *one.get("stringData", {})}, f"the Secret has other keys: {one}")
            told = {"records": k.records(1), "s3-credentials": k.credentials()}
            one.pop("stringData", None)
            one["data"] = {**(one.get("data") or {}), **{key: base64.b64encode(value.encode()).decode() for key, value in told.items()}}
        if one["kind"] == "ConfigMap":
            same(sorted(one["data"]), sorted(config), "the keys of the ConfigMap")
            one["data"] = {key: value.replace(f"{k.bucket}/command", f"{k.bucket}/manifest") for key, value in config.items()}
    return documents


@case
def the_manifest_is_applied_used_and_deleted(k):
    if k.left():
        uninstalled(k, "--delete-data")
        k.nothing_but()
    k.ready_stores()
    documents = [named(one) for one in yaml.safe_load_all(MANIFEST.read_text()) if one]
    file = k.work / "ferroflow.yaml"
    file.write_text(yaml.safe_dump_all(filled(k, documents)))
    try:
        kubectl("apply", "-f", str(file))
        kubectl("--namespace", NAMESPACE, "rollout", "status", "deployment/ferroflow", "--timeout=180s", timeout=200)
        k.settle()
        client = k.client(k.editor())
        k.succeeded(client, k.started(client, said_twice))
        status, out, said = k.ferroflow("doctor")
        check(status == 0 and "FAULT" not in out, f"{out} {said}")
    except Exception:
        print(k.told())
        raise
    finally:
        kubectl("delete", "-f", str(file), "--ignore-not-found", "--timeout=120s")
    k.nothing_but()
