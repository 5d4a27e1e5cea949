"""What Kubeflow's Spark operator concludes from a driver's pod: states.py < PODS prints the application's states, one a line.

PODS are the states of one pod as JSON objects one after the other, as `kubectl get --watch --output json` prints them. The
table is that of the operator's controller: the phase, and within Running and Failed the state of the driver's container. A
failure is told with exit code and reason, which it takes from the container as well.
"""

import json
import sys

CONTAINER = "spark-kubernetes-driver"


def terminated(pod):
    """The terminated state of the driver's container, if it is in one."""
    for status in pod["status"].get("containerStatuses", []):
        if status["name"] == CONTAINER:
            return status["state"].get("terminated")
    return None


def failing(end):
    """As the operator words it."""
    if end is None:
        return "FAILING: driver container status missing"
    return "FAILING: driver container failed with ExitCode: %d, Reason: %s" % (end["exitCode"], end.get("reason"))


def state(pod):
    """The state of the application whose driver this is."""
    phase, end = pod["status"]["phase"], terminated(pod)
    if phase == "Pending":
        return "SUBMITTED"
    if phase == "Running":
        if end is None:
            return "RUNNING"
        return "SUCCEEDING" if end["exitCode"] == 0 else failing(end)
    if phase == "Succeeded":
        return "SUCCEEDING"
    if phase == "Failed":
        return "SUCCEEDING" if end and end["exitCode"] == 0 else failing(end)
    return "UNKNOWN"


def objects(text):
    """The JSON objects in a text, one after the other."""
    decoder, at = json.JSONDecoder(), 0
    while True:
        while at < len(text) and text[at].isspace():
            at += 1
        if at == len(text):
            return
        found, at = decoder.raw_decode(text, at)
        yield found


def main(text):
    before = None
    for pod in objects(text):
        now = state(pod)
        if now != before:
            print(now)
        before = now


if __name__ == "__main__":
    main(sys.stdin.read())
