#!/usr/bin/env python3
"""An executor as a program: deploys to hosts, one subtask each, and collects what became of them.

    [actions.rollout]
    executor = "command"
    argv = ["python3", "rollout.py"]
    stdout = "jsonl"

    [actions.deploy_host]
    executor = "command"
    argv = ["python3", "rollout.py"]
    stdout = "jsonl"

    INSERT INTO tasks (action, payload) VALUES ('rollout', '{"hosts": ["node1", "node2"]}');

The task comes as JSON on stdin (schemas/task.json). Each line on stdout is an object (schemas/output.json), and is
recorded the moment that it is printed.
"""

import json
import platform
import sys


def say(**line):
    print(json.dumps(line), flush=True)


def rollout(task):
    """The first run hands out the work and waits without a slot; the second one finds the results in its task."""
    if task["subtasks"] is None:
        hosts = task["payload"]["hosts"]
        say(message=f"{len(hosts)} hosts")
        say(subtasks=[{"action": "deploy_host", "payload": {"host": host}, "max_attempts": 3} for host in hosts])
        say(result={"suspend": {"until": "all", "timeout": "1h"}})
    else:
        say(result={"bubble": {}, "output": {"ended": task["subtasks"]["ended"]}})


def deploy_host(task):
    host = task["payload"]["host"]
    if host.startswith("unreachable"):
        # a failure for now: again in a while, up to max_attempts times
        say(result={"status": "failure", "reason": "unreachable", "failures": [host], "retry_after": "1s"})
        return
    say(message="deployed", context=host, context_type="node", extra={"attempt": task["attempt"]})
    facts = {"machine": platform.machine(), "system": platform.system()}
    say(build_data={"node_name": host, "generator": "rollout", "data_format": "application/json", "data_element": facts})
    say(result={"status": "success", "successes": [host]})


if __name__ == "__main__":
    received = json.load(sys.stdin)
    {"rollout": rollout, "deploy_host": deploy_host}[received["action"]](received)
