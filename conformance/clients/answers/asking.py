"""The words in which requests and objects are written down."""

from dataclasses import dataclass, field

JSON = "application/json"
YAML = "application/yaml"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
STEPS = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
PARTIAL_LIST = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"


@dataclass
class Ask:
    """One request. `label` is unique; `part` names what of the answer is kept, see `marks`."""

    label: str
    method: str
    path: str
    body: object = None
    content: str = JSON
    accept: str = JSON
    part: str = "whole"
    # What becomes of the body before it is sent: `fresh` gets the version of the object that is there, `onto` is merged into it.
    there: str = ""


@dataclass
class Thing:
    """A kind, and objects of it by a word for what is special of each; `minimal` has what must be and no more.

    `change` is a merge patch that a second writer sends. `kept` says what becomes of an object that stays:
    `rests` where no controller touches it, `moves` where one writes its status, `never` where none is made.
    The object that stays is called `name` and is of the variant `stays`.
    """

    version: str
    plural: str
    kind: str
    variants: dict
    change: dict = field(default_factory=dict)
    kept: str = "rests"
    scope: str = "namespace"
    name: str = "kept"
    stays: str = "minimal"


class Run:
    """Where things of this run are. Every name that other runs could use as well begins with `mark`."""

    def __init__(self, mark):
        self.mark = mark
        self.group = f"{mark}.example.org"

    def url(self, version, plural, name=None, sub=None, scope="namespace", namespace=None):
        root = "/api/v1" if version == "v1" else f"/apis/{version}"
        within = ["namespaces", namespace or self.mark] if scope == "namespace" else []
        return "/".join(part for part in (root, *within, plural, name, sub) if part)

    def name(self, name, scope="namespace"):
        return name if scope == "namespace" else f"{self.mark}-{name}"

    def object(self, thing, variant, name):
        """An object whole, with its own metadata beside its name."""
        body = thing.variants[variant]
        meta = {"name": self.name(name, thing.scope), **body.get("metadata", {})}
        return {"apiVersion": thing.version, "kind": thing.kind, **body, "metadata": meta}


def merged(target, patch):
    """What a merge patch makes of an object."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result
