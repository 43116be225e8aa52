"""The autoscaler against what Kubernetes and KEDA are documented to do."""

import copy
import unittest

from autoscaler import Autoscaler

SPEC = {
    "minReplicaCount": 0,
    "maxReplicaCount": 20,
    "cooldownPeriod": 300,
    "advanced": {
        "horizontalPodAutoscalerConfig": {
            "behavior": {
                "scaleUp": {
                    "stabilizationWindowSeconds": 0,
                    "policies": [
                        {"type": "Percent", "value": 100, "periodSeconds": 30},
                        {"type": "Pods", "value": 4, "periodSeconds": 30},
                    ],
                },
                "scaleDown": {
                    "stabilizationWindowSeconds": 300,
                    "policies": [{"type": "Percent", "value": 50, "periodSeconds": 60}],
                },
            }
        }
    },
    "triggers": [
        {
            "name": "demand",
            "metricType": "AverageValue",
            "metadata": {"query": "", "targetQueryValue": "10", "activationTargetQueryValue": "0"},
        },
        {
            "name": "wait",
            "metricType": "Value",
            "metadata": {"query": "", "targetQueryValue": "15", "activationTargetQueryValue": "2147483647"},
        },
    ],
}


def autoscaler(**changes):
    return Autoscaler(copy.deepcopy(SPEC) | changes)


def values(demand=0, wait=0):
    return {"demand": demand, "wait": wait}


class Keda(unittest.TestCase):
    def test_the_first_task_wakes_one_pod_and_a_wait_alone_wakes_none(self):
        self.assertEqual(autoscaler().poll(0, values(demand=1), 0), 1)
        self.assertIsNone(autoscaler().poll(0, values(wait=10_000), 0))

    def test_none_is_left_only_after_the_cooldown(self):
        it = autoscaler()
        it.poll(0, values(demand=5), 0)
        self.assertIsNone(it.poll(300, values(), 3))
        self.assertEqual(it.poll(301, values(), 3), 0)

    def test_work_within_the_cooldown_begins_it_anew(self):
        it = autoscaler()
        it.poll(0, values(demand=5), 0)
        it.poll(200, values(demand=1), 1)
        self.assertIsNone(it.poll(450, values(), 1))

    def test_a_minimum_is_never_left(self):
        self.assertIsNone(autoscaler(minReplicaCount=2).poll(10_000, values(), 2))


class HorizontalPodAutoscaler(unittest.TestCase):
    def test_it_sleeps_while_there_are_no_pods(self):
        self.assertIsNone(autoscaler().sync(0, values(demand=1000), 0, 0))

    def test_within_a_tenth_nothing_changes(self):
        self.assertIsNone(autoscaler().sync(0, values(demand=43), 4, 4))
        self.assertEqual(autoscaler().sync(0, values(demand=45), 4, 4), 5)

    def test_a_value_multiplies_the_pods_that_are_ready(self):
        self.assertEqual(autoscaler().sync(0, values(demand=40, wait=30), 4, 4), 8)
        self.assertEqual(autoscaler().sync(0, values(demand=40, wait=30), 4, 3), 6)

    def test_the_larger_of_two_metrics_decides(self):
        self.assertEqual(autoscaler().sync(0, values(demand=60, wait=18), 4, 4), 6)

    def test_it_grows_by_the_larger_policy_within_its_period(self):
        it = autoscaler()
        self.assertEqual(it.sync(0, values(demand=1000), 1, 1), 5)
        self.assertIsNone(it.sync(15, values(demand=1000), 5, 5))
        self.assertEqual(it.sync(31, values(demand=1000), 5, 5), 10)
        self.assertEqual(it.sync(62, values(demand=1000), 10, 10), 20)
        self.assertIsNone(it.sync(93, values(demand=1000), 20, 20))

    def test_it_shrinks_to_the_most_of_the_window_by_half_a_minute(self):
        it = autoscaler()
        it.sync(0, values(demand=80), 8, 8)
        self.assertIsNone(it.sync(299, values(demand=10), 8, 8))
        self.assertEqual(it.sync(301, values(demand=10), 8, 8), 4)
        self.assertIsNone(it.sync(330, values(demand=10), 4, 4))
        self.assertEqual(it.sync(362, values(demand=10), 4, 4), 2)

    def test_a_burst_each_four_minutes_does_not_move_the_fleet(self):
        it, replicas, seen = autoscaler(), 8, set()
        for now in range(0, 3600, 15):
            demand = 80 if now % 240 < 30 else 5
            replicas = it.sync(now, values(demand=demand), replicas, replicas) or replicas
            seen.add(replicas)
        self.assertEqual(seen, {8})

    def test_it_goes_no_lower_than_one(self):
        it = autoscaler()
        self.assertIsNone(it.sync(0, values(), 1, 1))


if __name__ == "__main__":
    unittest.main()
