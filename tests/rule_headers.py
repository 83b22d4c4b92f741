"""The comments at the top of the rule files, which say what each rule reads and writes."""

import re

from runs import ROOT

RULE_FILES = sorted((ROOT / "workflow" / "rules").glob("*.smk"))


def header(path):
    """The comment at the top of a rule file."""
    return re.match(r"(?:#.*\n)+", path.read_text())[0].replace("#", " ")


def documented_keys(path):
    """By JSON file, its keys as the header has them, and those of each entry of some keys."""
    found = {}
    pattern = r"results/(\S+\.json)(?:, \D[^\n]*)?\n\s+keys: (.*?)(?:;|\n\s+(?:results|{)|\Z)"
    for name, text in re.findall(pattern, header(path), re.DOTALL):
        entries = re.findall(r"(\w+) \((.*?) of each\)", " ".join(text.split()))
        keys = re.sub(r" \(.*?\)", "", " ".join(text.split()))
        found[name] = (keys.split(", "), {key: inner.split(", ") for key, inner in entries})
    return found
