"""Prints what became of an application's pods, and what they cost.

report.py timeline PODS LEDGER
report.py cost COST

PODS is the JSON of `kubectl get pods --output json`, LEDGER what mock-eci's /mock/ledger
answers. Pods and container groups belong together by the pod's UID, a tag of the group.
COST is what `virtual-node cost show APPLICATION --output json` prints.
"""

import json
import sys
from datetime import datetime, timezone
from decimal import Decimal

NONE = "-"


def table(rows):
    """Prints rows of strings, a header first, in columns two spaces apart."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


def time(text):
    """Parses a time of the API server's or the ledger's (RFC 3339, UTC); none stays none."""
    if not text:
        return None
    moment = datetime.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")
    return moment.replace(tzinfo=timezone.utc)


def spark_first(pod):
    """Sorts the driver before the executors, and those by their number."""
    labels = pod["metadata"]["labels"]
    return labels["spark-role"] != "driver", int(labels.get("spark-exec-id", 0))


def with_bills(pods, bills):
    """Pairs each pod with the bill of its container group; there is one for each."""
    by_uid = {}
    for bill in bills:
        by_uid.setdefault(bill["Tags"].get("UID"), []).append(bill)
    for pod in sorted(pods, key=spark_first):
        name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
        found = by_uid.get(uid, [])
        if len(found) != 1:
            sys.exit(f"error: the cloud has {len(found)} container groups for the pod {name}, not one")
        yield pod, found[0]


def timeline(pods, bills):
    """One row a pod: when it was made, bound, given a group, running, and over."""
    header = ["pod", "created", "bound", "group-created", "running", "ended", "phase", "group"]
    lives = []
    for pod, bill in with_bills(pods, bills):
        name = pod["metadata"]["name"]
        bound = [
            condition["lastTransitionTime"]
            for condition in pod["status"].get("conditions", [])
            if condition["type"] == "PodScheduled" and condition["status"] == "True"
        ]
        containers = [status["state"].get("terminated", {}) for status in pod["status"].get("containerStatuses", [])]
        moments = [
            time(pod["metadata"]["creationTimestamp"]),
            time(min(bound, default=None)),
            time(bill["CreationTime"]),
            time(min((state["startedAt"] for state in containers if "startedAt" in state), default=None)),
            time(max((state["finishedAt"] for state in containers if "finishedAt" in state), default=None)),
        ]
        for column, moment in zip(header[1:], moments):
            if moment is None:
                sys.exit(f"error: nothing says when the pod {name} was {column}")
        lives.append((name, moments, pod["status"]["phase"], bill["ContainerGroupId"]))
    days = {moment.date() for _, moments, _, _ in lives for moment in moments}
    form = "%H:%M:%S" if len(days) == 1 else "%Y-%m-%dT%H:%M:%S"
    rows = [[name, *(moment.strftime(form) for moment in moments), phase, group] for name, moments, phase, group in lives]
    table([header, *rows])
    print(f"(UTC, {' to '.join(str(day) for day in sorted({min(days), max(days)}))})")


def cost(shown):
    """One row a container group, and their sum: the application's price."""
    rows = [["pod", "vCPU", "GiB", "seconds", "pulling", "vCPU-seconds", "GiB-seconds", "price", "currency"]]
    cpu_seconds = memory_seconds = Decimal(0)
    for group in shown["groups"]:
        seconds = Decimal(group["charge"]["seconds"])
        cpu, memory = Decimal(group["bought"]["milliCpu"]) / 1000, Decimal(group["bought"]["memoryMib"]) / 1024
        figures = [cpu, memory, seconds, Decimal(group["derived"]["pullingSeconds"]), cpu * seconds, memory * seconds]
        rows.append([group["pod"], *map(plain, figures), price(group["charge"]), group["currency"]])
        cpu_seconds += cpu * seconds
        memory_seconds += memory * seconds
    if len(shown["applications"]) != 1:
        sys.exit(f"error: there are {len(shown['applications'])} applications, not one")
    total = shown["applications"][0]
    rows.append(["total", NONE, NONE, NONE, NONE, plain(cpu_seconds), plain(memory_seconds), price(total["total"]), total["currency"]])
    table(rows)


def price(charge):
    return f"{Decimal(charge['amount']).scaleb(-9):.9f}"


def plain(number):
    """A number without exponent and needless zeros."""
    return f"{number:f}".rstrip("0").rstrip(".") if "." in f"{number:f}" else f"{number:f}"


def read(name):
    with open(name, encoding="utf-8") as file:
        return json.load(file)


def main(report, *files):
    if report == "cost":
        return cost(read(files[0]))
    pods = read(files[0])["items"]
    if not pods:
        sys.exit("error: the application has no pods")
    timeline(pods, read(files[1]))


if __name__ == "__main__":
    if [*sys.argv[1:2], len(sys.argv)] not in (["timeline", 4], ["cost", 3]):
        sys.exit("usage: report.py timeline PODS LEDGER | report.py cost COST")
    main(*sys.argv[1:])
