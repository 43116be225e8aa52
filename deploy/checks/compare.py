"""Holds the chart's objects against kustomize's: `compare.py KUSTOMIZE.yaml CHART.yaml`.

Both must make the same objects, but for what is listed in `normal`: how each tool orders things, names what it
generates, and says that it was there.
"""

import difflib
import re
import sys

import yaml

# of Helm, of Argo CD, and the two ways to roll out a changed configuration
ANNOTATIONS = re.compile(r"^(helm\.sh/hook|argocd\.argoproj\.io/|checksum/)")
LABELS = {"helm.sh/chart", "app.kubernetes.io/managed-by", "app.kubernetes.io/version"}
# kustomize names a ConfigMap by its content
HASH = re.compile(r"^(longshore-(?:config|pgbouncer))-[a-z0-9]{10}$")


def without(mapping, key, gone):
    """Removes the entries of mapping[key] that `gone` picks, and the key when none is left."""
    if key in mapping:
        mapping[key] = {name: value for name, value in mapping[key].items() if not gone(name)}
        if not mapping[key]:
            del mapping[key]


def normal(thing):
    """An object with its permitted differences gone."""
    thing = yaml.safe_load(yaml.safe_dump(thing))
    metadata = thing["metadata"]
    # helm puts the release's namespace at apply
    metadata.pop("namespace", None)
    without(metadata, "annotations", ANNOTATIONS.match)
    without(metadata, "labels", LABELS.__contains__)
    template = thing.get("spec", {}).get("template", {})
    if template:
        without(template.setdefault("metadata", {}), "annotations", ANNOTATIONS.match)
        for container in template["spec"]["containers"]:
            # what kubernetes takes for a tag other than latest
            if container.get("imagePullPolicy") == "IfNotPresent":
                del container["imagePullPolicy"]
    if thing["kind"] == "Job":
        # helm deletes its hook before the next one; kustomize's goes by itself
        thing["spec"].pop("ttlSecondsAfterFinished", None)
    if thing["kind"] == "ConfigMap":
        # comments are not compared
        thing["data"] = {name: uncommented(name, text) for name, text in thing["data"].items()}
    return renamed(thing)


def uncommented(name, text):
    if not name.endswith((".toml", ".ini")):
        return text
    lines = [line.rstrip() for line in text.splitlines()]
    return "\n".join(line for line in lines if line and not re.match(r"\s*[#;]", line))


def renamed(part):
    if isinstance(part, dict):
        return {key: renamed(value) for key, value in part.items()}
    if isinstance(part, list):
        return [renamed(value) for value in part]
    return HASH.sub(r"\1", part) if isinstance(part, str) else part


def objects(path):
    with open(path, encoding="utf-8") as file:
        things = [normal(thing) for thing in yaml.safe_load_all(file) if thing]
    named = {f"{thing['kind']} {thing['metadata']['name']}": thing for thing in things}
    if len(named) < len(things):
        sys.exit(f"{path}: names an object twice")
    return {name: yaml.safe_dump(thing, sort_keys=True, width=1000).splitlines() for name, thing in named.items()}


def main(kustomize, chart):
    left, right = objects(kustomize), objects(chart)
    differ = False
    for name in sorted(left.keys() | right.keys()):
        lines = list(difflib.unified_diff(left.get(name, []), right.get(name, []), "kustomize", "chart", lineterm=""))
        if lines:
            differ = True
            print(f"{name} differs:", *lines[:60], sep="\n  ")
    if differ:
        sys.exit(1)
    print(f"{len(left)} objects, the same of kustomize and of the chart")


main(*sys.argv[1:])
