"""What KEDA and the HorizontalPodAutoscaler decide from a ScaledObject, step by step, on a clock that is passed in.

After the published algorithm: desired = ceil(current * value / target) with a tolerance of a tenth for a metric of type
Value, ceil(value / target) for an AverageValue; the largest of all metrics; then the windows and policies of `behavior`.
KEDA alone goes from none to one, and from any number to none.
"""

import math
from dataclasses import dataclass, field

# of the controller manager: horizontal-pod-autoscaler-tolerance, -sync-period
TOLERANCE = 0.1
SYNC_SECONDS = 15


@dataclass
class Trigger:
    """One trigger: what it asks, and what it makes of the answer."""

    name: str
    query: str
    target: float
    activation: float
    average: bool

    @classmethod
    def read(cls, said):
        metadata = said["metadata"]
        return cls(
            said["name"],
            metadata["query"],
            float(metadata["targetQueryValue"]),
            float(metadata["activationTargetQueryValue"]),
            said["metricType"] == "AverageValue",
        )

    def wanted(self, value, replicas, ready):
        """How many pods this metric asks for."""
        ratio = value / (self.target * (replicas if self.average else 1))
        if abs(ratio - 1) <= TOLERANCE:
            return replicas
        return math.ceil(round(value / self.target * (1 if self.average else ready), 9))


@dataclass
class Autoscaler:
    """The state of both: when KEDA last saw work; what the other recommended, and by how much it changed the number."""

    spec: dict
    active_at: float = -math.inf
    recommended: list = field(default_factory=list)
    changed: list = field(default_factory=list)

    def __post_init__(self):
        self.triggers = [Trigger.read(said) for said in self.spec["triggers"]]
        self.behavior = self.spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]

    def poll(self, now, values, replicas):
        """One poll of KEDA: the replicas that it sets, `None` where it leaves that to the other."""
        least = self.spec["minReplicaCount"]
        if any(values[trigger.name] > trigger.activation for trigger in self.triggers):
            self.active_at = now
            return max(least, 1) if replicas == 0 else None
        if least == 0 and replicas > 0 and now - self.active_at > self.spec["cooldownPeriod"]:
            return 0
        return None

    def sync(self, now, values, replicas, ready):
        """One round of the HorizontalPodAutoscaler, which sleeps while there are none."""
        if replicas == 0:
            return None
        wanted = max(trigger.wanted(values[trigger.name], replicas, ready) for trigger in self.triggers)
        wanted = min(max(wanted, self.spec["minReplicaCount"], 1), self.spec["maxReplicaCount"])
        self.recommended.append((now, wanted))
        allowed = self.limited(now, self.stabilized(now, wanted, replicas), replicas)
        if allowed == replicas:
            return None
        self.changed.append((now, allowed - replicas))
        return allowed

    def stabilized(self, now, wanted, replicas):
        """Up, the least of what was recommended within the window; down, the most."""

        def within(direction):
            since = now - self.behavior[direction]["stabilizationWindowSeconds"]
            return [count for at, count in self.recommended if at > since] + [wanted]

        up, down = min(within("scaleUp")), max(within("scaleDown"))
        return up if up > replicas else min(down, replicas)

    def limited(self, now, wanted, replicas):
        """As far as the policies allow within their periods: the one that allows most."""
        if wanted == replicas:
            return replicas
        up = wanted > replicas
        bounds = []
        for policy in self.behavior["scaleUp" if up else "scaleDown"]["policies"]:
            since = now - policy["periodSeconds"]
            start = replicas - sum(by for at, by in self.changed if at > since)
            if policy["type"] == "Pods":
                bounds.append(start + policy["value"] if up else start - policy["value"])
            else:
                share = policy["value"] / 100
                bounds.append(math.ceil(start * (1 + share)) if up else int(start * (1 - share)))
        return min(wanted, max(bounds)) if up else max(wanted, min(bounds), 0)
