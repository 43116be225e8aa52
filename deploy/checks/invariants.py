"""What must hold in every rendering, schemas aside: `invariants.py FILE…`. Each function below is a sentence of it."""

import re
import sys
import tomllib

import yaml

# where a worker says when it gives back what still runs, unless its configuration does
DEADLINE_SECONDS = 25
# from the deadline to the end of the process
REST_SECONDS = 15


def every_container_is_restricted(things):
    """The pod security standard `restricted`, and a read-only root; no token of the cluster's API."""
    for name, _, pod in pods(things):
        security = pod.get("securityContext", {})
        if not security.get("runAsNonRoot") or security.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            yield f"{name}: runs as root, or without the runtime's seccomp profile"
        if pod.get("automountServiceAccountToken") is not False:
            yield f"{name}: mounts a token"
        for container in pod["containers"] + pod.get("initContainers", []):
            own = container.get("securityContext", {})
            if own.get("allowPrivilegeEscalation") is not False or own.get("capabilities") != {"drop": ["ALL"]}:
                yield f"{name}: {container['name']} keeps privileges"
            if own.get("readOnlyRootFilesystem") is not True:
                yield f"{name}: {container['name']} may write its root"
            if "memory" not in container.get("resources", {}).get("limits", {}):
                yield f"{name}: {container['name']} has no limit of memory"


def no_secret_is_in_the_clear(things):
    """But for the demonstration's, whose password says so."""
    for thing in things:
        if thing["kind"] == "Secret" and thing["metadata"].get("namespace") != "longshore-dev":
            yield f"Secret {thing['metadata']['name']}: belongs to nobody's manifests"
    for name, _, pod in pods(things):
        for container in pod["containers"] + pod.get("initContainers", []):
            for variable in container.get("env", []):
                if re.search("URL|PASSWORD|TOKEN", variable["name"]) and variable.get("value") not in (None, "demo"):
                    yield f"{name}: {variable['name']} is in the clear"


def a_pod_outlives_its_drain(things):
    """terminationGracePeriodSeconds is worker.shutdown_deadline and the rest; probes and port fit the configuration."""
    for name, config, pod in workers(things):
        said = config.get("worker", {}).get("shutdown_deadline", f"{DEADLINE_SECONDS}s")
        grace = pod.get("terminationGracePeriodSeconds")
        if grace != seconds(said) + REST_SECONDS:
            yield f"{name}: terminationGracePeriodSeconds is {grace}, shutdown_deadline {said}"
        host, port = config.get("http", {}).get("listen", "127.0.0.1:9464").rsplit(":", 1)
        container = pod["containers"][0]
        if host not in ("0.0.0.0", "[::]") or int(port) != container["ports"][0]["containerPort"]:
            yield f"{name}: listens at {host}:{port}, where no probe comes"
        paths = [container[probe]["httpGet"]["path"] for probe in ("livenessProbe", "readinessProbe")]
        if paths != ["/livez", "/readyz"]:
            yield f"{name}: probes {paths}"


def every_selector_meets_a_pod(things):
    """Of budgets, services, policies, monitors: a label more, and it selects nothing without a word."""
    labels = [template["metadata"]["labels"] for _, template in templates(things)]
    for thing in things:
        spec = thing.get("spec", {})
        if thing["kind"] == "Service":
            wanted = spec.get("selector")
        elif thing["kind"] == "NetworkPolicy":
            wanted = spec["podSelector"]["matchLabels"]
        elif thing["kind"] in ("PodDisruptionBudget", "PodMonitor"):
            wanted = spec["selector"]["matchLabels"]
        else:
            continue
        # the migration is rendered apart from the workers
        if not any(wanted.items() <= have.items() for have in labels) and "migrate" not in thing["metadata"]["name"]:
            yield f"{thing['kind']} {thing['metadata']['name']}: selects no pod by {wanted}"
    for thing in things:
        for rule in thing.get("spec", {}).get("egress", []) if thing["kind"] == "NetworkPolicy" else []:
            for peer in rule.get("to", []):
                labels = peer.get("podSelector", {}).get("matchLabels", {})
                if "k8s-app" in labels and len(labels) > 1:
                    yield f"{thing['metadata']['name']}: finds no DNS by {labels}"


def the_scaler_asks_for_what_the_workers_do(things):
    """Queue and actions of its queries are the configuration's; its target is three quarters of the concurrency."""
    scaled = [thing for thing in things if thing["kind"] == "ScaledObject"]
    for name, config, _ in workers(things) if scaled else []:
        for trigger in scaled[0]["spec"]["triggers"]:
            asked = re.fullmatch(r"SELECT (\w+)\('([^']*)', '\{([^}]*)\}'\)", trigger["metadata"]["query"])
            if not asked:
                yield f"ScaledObject: no question of ours: {trigger['metadata']['query']}"
                continue
            function, queue, actions = asked.groups()
            served = {action for action, its in config["actions"].items() if queue in its.get("queues", [queue])}
            if set(actions.split(",")) != served:
                yield f"ScaledObject: {trigger['name']} counts {actions}, {name} serves {sorted(served)}"
            slots = config.get("queues", {}).get(queue, {}).get("concurrency", 64)
            if function == "queue_demand" and float(trigger["metadata"]["targetQueryValue"]) != slots * 3 / 4:
                yield f"ScaledObject: {trigger['name']} wants {trigger['metadata']['targetQueryValue']} a pod of {slots} slots"
        deployed = [thing for thing in things if f"{thing['kind']} {thing['metadata']['name']}" == name]
        if "replicas" in deployed[0]["spec"]:
            yield f"{name}: sets replicas, which are the ScaledObject's"


SENTENCES = (
    every_container_is_restricted,
    no_secret_is_in_the_clear,
    a_pod_outlives_its_drain,
    every_selector_meets_a_pod,
    the_scaler_asks_for_what_the_workers_do,
)


def seconds(text):
    number, unit = re.fullmatch(r"(\d+)(s|m|h)", text).groups()
    return int(number) * {"s": 1, "m": 60, "h": 3600}[unit]


def templates(things):
    for thing in things:
        if "template" in thing.get("spec", {}):
            yield f"{thing['kind']} {thing['metadata']['name']}", thing["spec"]["template"]


def pods(things):
    for name, template in templates(things):
        yield name, template["metadata"]["labels"], template["spec"]


def workers(things):
    """Each Deployment of workers: its name, its configuration, its pods."""
    for name, labels, pod in pods(things):
        if labels.get("app.kubernetes.io/component") == "worker":
            wanted = next(volume["configMap"]["name"] for volume in pod["volumes"] if "configMap" in volume)
            texts = [
                thing["data"]["longshore.toml"]
                for thing in things
                if thing["kind"] == "ConfigMap" and thing["metadata"]["name"] == wanted
            ]
            if len(texts) != 1:
                sys.exit(f"{name}: mounts the ConfigMap {wanted}, of which there are {len(texts)}")
            yield name, tomllib.loads(texts[0]), pod


def main(paths):
    bad = 0
    for path in paths:
        with open(path, encoding="utf-8") as file:
            things = [thing for thing in yaml.safe_load_all(file) if thing]
        for sentence in SENTENCES:
            for problem in sentence(things):
                bad += 1
                print(f"{path}: {problem}")
    print(f"{len(SENTENCES)} rules in {len(paths)} renderings, {bad} broken")
    sys.exit(bad > 0)


main(sys.argv[1:])
