"""What Spark's operators conclude from an application's pods: states.py kubeflow|apache < PODS prints its states, one a line.

PODS are the pods as JSON objects one after the other, each as often as it changed, as `kubectl get --watch --output json` prints
them. The tables are those of the operators' controllers:

kubeflow    the driver's phase, and within Running and Failed the state of its container. A failure is told with the exit code and
            the reason of the container.
apache      the driver's container has started; its Ready condition; executors that are Ready, of which EXECUTORS are wanted at the
            beginning; the driver's end. A driver that succeeds and was never Ready has failed, and one with reason Evicted is its own case.
"""

import json
import sys

CONTAINER = "spark-kubernetes-driver"
# initExecutors of applicationTolerations.instanceConfig.
EXECUTORS = 2


def role(pod):
    return pod["metadata"]["labels"]["spark-role"]


def phase(pod):
    return pod["status"]["phase"]


def container(pod):
    """The state of the driver's container: {} before it has one."""
    for status in pod["status"].get("containerStatuses", []):
        if status["name"] == CONTAINER:
            return status["state"]
    return {}


def ready(pod):
    """Whether the pod's Ready condition is true."""
    return any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", []))


class Kubeflow:
    """State by state, from the driver alone."""

    def state(self, pod):
        if role(pod) != "driver":
            return None
        end = container(pod).get("terminated")
        if phase(pod) == "Pending":
            return "SUBMITTED"
        if phase(pod) == "Succeeded":
            return "SUCCEEDING"
        if phase(pod) in ("Running", "Failed") and end:
            if end["exitCode"] == 0:
                return "SUCCEEDING"
            return "FAILING: driver container failed with ExitCode: %d, Reason: %s" % (end["exitCode"], end.get("reason"))
        if phase(pod) == "Failed":
            return "FAILING: driver container status missing"
        return "RUNNING" if phase(pod) == "Running" else "UNKNOWN"


class Apache:
    """State by state, each after the one before it."""

    def __init__(self):
        self.now, self.driver, self.ready = None, None, set()

    def state(self, pod):
        if role(pod) == "driver":
            self.driver = pod
        elif ready(pod):
            self.ready.add(pod["metadata"]["name"])
        else:
            self.ready.discard(pod["metadata"]["name"])
        self.now = self.after(self.now, self.driver) if self.driver else None
        return self.now

    def after(self, now, driver):
        initialized = now in ("DriverReady", "InitializedBelowThresholdExecutors", "RunningHealthy")
        if phase(driver) == "Failed":
            return "DriverEvicted" if driver["status"].get("reason") == "Evicted" else "Failed"
        if phase(driver) == "Succeeded":
            return "Succeeded" if initialized or now == "Succeeded" else "Failed"
        if now is None:
            return "DriverRequested"
        if now == "DriverRequested":
            return "DriverStarted" if "running" in container(driver) else now
        if now == "DriverStarted":
            return "DriverReady" if ready(driver) else now
        if now != "RunningHealthy" and self.ready:
            return "RunningHealthy" if len(self.ready) >= EXECUTORS else "InitializedBelowThresholdExecutors"
        return now


def objects(text):
    """The JSON objects in a text, one after the other; the last may not be whole yet."""
    decoder, at = json.JSONDecoder(), 0
    while True:
        while at < len(text) and text[at].isspace():
            at += 1
        try:
            found, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError:
            return
        yield found


def main(table, text):
    before = None
    for pod in objects(text):
        # A reconciler looks again as long as a look leads on.
        while (now := table.state(pod)) is not None and now != before:
            print(now)
            before = now


if __name__ == "__main__":
    tables = {"kubeflow": Kubeflow, "apache": Apache}
    if len(sys.argv) != 2 or sys.argv[1] not in tables:
        sys.exit("usage: states.py kubeflow|apache < PODS")
    main(tables[sys.argv[1]](), sys.stdin.read())
