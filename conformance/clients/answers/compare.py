"""Answers field by field: the path of each difference, what was recorded there and what came."""

import json
import os

import kit

WORDS = os.path.join(os.path.dirname(__file__), "words.txt")
MISSING = object()
# Lines that one answer may fill; what is wrong with a whole kind is seen in fewer.
SHOWN = 25


def differences(expected, got, path=""):
    """Each place where two values differ: its path, and both."""
    if isinstance(expected, dict) and isinstance(got, dict):
        for key in sorted(expected.keys() | got.keys()):
            yield from differences(expected.get(key, MISSING), got.get(key, MISSING), f"{path}.{key}")
    elif isinstance(expected, list) and isinstance(got, list):
        for index in range(max(len(expected), len(got))):
            pair = [values[index] if index < len(values) else MISSING for values in (expected, got)]
            yield from differences(*pair, f"{path}[{index}]")
    elif type(expected) is not type(got) or expected != got:
        yield path, expected, got


def read_words():
    """Label, path and reason of what differs on purpose."""
    with open(WORDS) as file:
        lines = [line.rstrip("\n") for line in file if line.strip() and not line.startswith("#")]
    rows = [tuple(line.split(" | ")) for line in lines]
    for row, line in zip(rows, lines):
        assert len(row) == 3, f"words.txt: {line!r} is not a label, a path and a reason"
    return rows


def report(found, expected, words, chosen):
    """Prints what differs; returns how many answers are as recorded, and how many are not or words no longer needed."""
    failed, used, results = 0, set(), []
    labels = [label for label in {**expected, **found} if all(word in label for word in chosen)]
    for label in labels:
        if label not in expected or label not in found:
            failed += 1
            results.append((label, "failed", "no recorded answer"))
            print(f"FAILED  {label}\n  {'has no recorded answer' if label in found else 'is asked no more'}: record again")
            continue
        wrong, known = [], []
        for path, wanted, got in differences(expected[label], found[label]):
            word = next((row for row in words if label.startswith(row[0]) and path.startswith(row[1])), None)
            if word:
                used.add(word)
                known.append(word[2])
            else:
                wrong.append(f"  {path}\n    expected {shown(wanted)}\n    got      {shown(got)}")
        results.append((label, "failed", wrong[0]) if wrong else (label, "different", known[0]) if known else (label, "passed", ""))
        if wrong:
            failed += 1
            print("\n".join([f"FAILED  {label}", *wrong[:SHOWN], *([f"  and {len(wrong) - SHOWN} more"] if len(wrong) > SHOWN else [])]))
    unused = [row for row in words if row not in used] if not chosen else []
    for label, path, _ in unused:
        print(f"FAILED  words.txt: {label!r} differs no more at {path!r}: take it out")
    if not labels:
        print(f"FAILED  no label holds {' and '.join(chosen)}")
    if not chosen:
        kit.report("answers", results)
    return len(labels) - failed, failed + len(unused) + (not labels)


def shown(value):
    return "nothing" if value is MISSING else json.dumps(value, ensure_ascii=False)[:600]
