"""What must hold in the compose file, its schema aside: `composed.py compose.yaml`."""

import re
import sys
import tomllib
from pathlib import Path

import yaml

# of the services that are ours
RESTRICTED = {"user": "65532:65532", "read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"]}
REST_SECONDS = 15


def problems(path):
    composed = yaml.safe_load(path.read_text(encoding="utf-8"))
    services = composed["services"]
    for name, service in services.items():
        if not re.search(r":[v0-9][^:]*$", service["image"]):
            yield f"{name}: image {service['image']} names no version"
        for port in service.get("ports", []):
            if not port.startswith("127.0.0.1:"):
                yield f"{name}: port {port} is open beyond this machine"
        if "65532" in service.get("user", ""):
            for key, value in RESTRICTED.items():
                if service.get(key) != value:
                    yield f"{name}: {key} is {service.get(key)}"
    for name in ("postgres", "prometheus", "grafana"):
        if "healthcheck" not in services[name]:
            yield f"{name}: has no health check"
    for name in ("worker", "load"):
        if services[name]["depends_on"]["migrate"]["condition"] != "service_completed_successfully":
            yield f"{name}: does not wait for the migration"
    config = tomllib.loads((path.parent / composed["configs"]["longshore.toml"]["file"]).read_text(encoding="utf-8"))
    deadline = int(config["worker"]["shutdown_deadline"].removesuffix("s"))
    grace = int(services["worker"]["stop_grace_period"].removesuffix("s"))
    if grace < deadline + REST_SECONDS:
        yield f"worker: stop_grace_period {grace}s, shutdown_deadline {deadline}s"
    for name, its in composed["configs"].items():
        if not (path.parent / its["file"]).is_file():
            yield f"configs {name}: {its['file']} is not there"
    for name, service in services.items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith(".") and not any((path.parent / source).iterdir()):
                yield f"{name}: {source} is empty"


found = list(problems(Path(sys.argv[1])))
print(*found, sep="\n", end="\n" if found else "")
sys.exit(bool(found))
