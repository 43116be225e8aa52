"""Holds rendered Kubernetes objects against the published schemas: `objects.py FILE…`.

Core objects by kubernetes-validate, at the oldest and the newest version that is promised. Those of KEDA and the
Prometheus operator by the schemas of their models, closed first: an open one takes any misspelt key.
"""

import json
import sys

import jsonschema
import kubernetes_validate
import yaml
from cloudcoil.models.keda import v1alpha1 as keda
from cloudcoil.models.prometheus_operator import v1 as prometheus_operator

# the chart's kubeVersion, and the newest with a schema
VERSIONS = ("1.27", "1.37")
MODELS = {
    "keda.sh/v1alpha1": keda,
    "monitoring.coreos.com/v1": prometheus_operator,
}


def closed(schema):
    """The schema with every object that lists its properties refusing all others."""
    if isinstance(schema, dict):
        if "properties" in schema and "additionalProperties" not in schema:
            schema["additionalProperties"] = False
        for part in schema.values():
            closed(part)
    elif isinstance(schema, list):
        for part in schema:
            closed(part)
    return schema


def problems(thing):
    """What is wrong with one object, one line each."""
    models = MODELS.get(thing["apiVersion"])
    if models:
        schema = closed(getattr(models, thing["kind"]).model_json_schema(by_alias=True))
        found = jsonschema.Draft202012Validator(schema).iter_errors(thing)
        return [f"{'.'.join(map(str, error.absolute_path))}: {error.message[:300]}" for error in found]
    found = []
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(thing, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            found.append(f"{version}: {'.'.join(map(str, error.path))}: {error.message[:300]}")
    return found


def main(paths):
    count = bad = 0
    good = set()
    for path in paths:
        with open(path, encoding="utf-8") as file:
            things = [thing for thing in yaml.safe_load_all(file) if thing]
        if not things:
            sys.exit(f"{path}: holds no object")
        for thing in things:
            count += 1
            # most objects are the same in several renderings
            text = json.dumps(thing, sort_keys=True)
            found = [] if text in good else problems(thing)
            for problem in found:
                bad += 1
                print(f"{path}: {thing['kind']} {thing['metadata']['name']}: {problem}")
            if not found:
                good.add(text)
    print(f"{count} objects in {len(paths)} renderings, {bad} problems")
    sys.exit(bad > 0)


main(sys.argv[1:])
