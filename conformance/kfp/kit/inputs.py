"""Parameters of a run: those of the row, and for what is required beyond them something at random, by type."""

import random
import string

import yaml

RANDOM = {
    "NUMBER_INTEGER": lambda: random.randint(1, 100),
    "NUMBER_DOUBLE": lambda: random.random() * 100,
    "STRING": lambda: "".join(random.choices(string.ascii_letters, k=20)),
    "BOOLEAN": lambda: True,
    "LIST": lambda: ["".join(random.choices(string.ascii_letters, k=8))],
    "STRUCT": lambda: {key: "".join(random.choices(string.ascii_letters, k=8)) for key in "AB"},
}


def parameters(path, given):
    """What to run the compiled pipeline at `path` with."""
    try:
        with open(path, encoding="utf-8") as file:
            documents = list(yaml.safe_load_all(file))
        declared = documents[0]["root"].get("inputDefinitions", {}).get("parameters", {})
    except (UnicodeDecodeError, yaml.YAMLError, LookupError, TypeError, AttributeError):
        # It is to be refused for what it is; a row for that gives its own.
        return dict(given)
    filled = {}
    for name, declaration in declared.items():
        required = "defaultValue" not in declaration and not declaration.get("isOptional")
        if required and declaration.get("parameterType") in RANDOM:
            filled[name] = RANDOM[declaration["parameterType"]]()
    return {**filled, **given}
