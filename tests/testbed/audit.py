#!/usr/bin/env python3
"""Holds all that agents recorded of cost in a cluster to all that mock-eci's ledger has, group by group.

audit.py VIRTUAL_NODE

It runs inside a testbed, after a suite. Each group of the ledger that an agent had made must have a
record: the amount of its bill to the last 10^-9, or bounds that hold the bill and a reason for them. A
group without a record must be one of EXPLAINED; anything else fails. Then `virtual-node cost` must say of
each application what the bills of its recorded groups are together, and of its largest applications
parts that add up.

VN_STATE/run/lives has when agents began and ended, as cluster.sh and the tests note it.
"""

import base64
import gzip
import json
import os
import subprocess
import sys
import time
from collections import Counter

# What Python would keep of it would lie among the sources.
sys.dont_write_bytecode = True
import bills  # noqa: E402

SELECTOR = "app.kubernetes.io/managed-by=virtual-node,app.kubernetes.io/component=cost-records"
HOME = "virtual-node"
# What is still being written or deleted comes within seconds; a busy machine is given more.
PATIENCE = 90
# Applications whose parts are looked at, the largest first.
SHOWN = 10

# Why a group may have no record, and what is printed of it.
EXPLAINED = {
    "never billed": "nothing to pay: it never got its resources, or ended in the second in which it began",
    "runs": "it and its pod are there, and nobody has deleted them",
    "no agent": "no agent ran from before it ended until it and its pod were gone",
    "killed": "an agent was killed right after it: none should be lost so, and none is known to be",
}
# Statuses in which a group says when it ended, and for how long it must say that to an agent that runs.
FINAL = ("Succeeded", "Failed", "Expired")
SEEN = 5
# An end of an agent so soon after that of a group may be why it has no record. The simulation, in which time is exact, allows that to
# none; here it is one of a suite.
SOON, MOST_LOST = 5, 1


def output(*command):
    """What a program prints; its failure ends this one."""
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"error: {' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def asked(*command):
    return json.loads(output(*command))


def of_agents(ledger):
    """Groups that agents had made: what tests make by themselves has no such tag."""
    return [group for group in ledger if group["Tags"].get("ManagedBy") == "virtual-node"]


def records():
    """Records of each group, as the ConfigMaps have them."""
    chunks = asked("kubectl", "--namespace", HOME, "get", "configmaps", "--selector", SELECTOR, "--output", "json")
    found = {}
    for chunk in chunks["items"]:
        packed = base64.b64decode(chunk["binaryData"]["records.jsonl.gz"])
        for line in gzip.decompress(packed).splitlines():
            record = json.loads(line)
            found.setdefault(record["group"], []).append(record)
    return found


def best(several):
    """The record that leaves the least open, as readers take it; of those that only foresee the end, the last."""
    seen = [record for record in several if "endForeseen" not in record.get("doubts", [])]
    return min(seen, key=lambda record: record["charge"]["most"] - record["charge"]["least"]) if seen else several[-1]


class Lives:
    """When at least one agent ran, as far as those say who start and end them."""

    def __init__(self, file):
        self.spans, self.ends, living, began = [], [], set(), 0.0
        try:
            with open(file, encoding="utf-8") as lines:
                notes = sorted((float(at), what, pid) for at, what, pid in map(str.split, lines))
        except FileNotFoundError:
            notes = []
        for at, what, pid in notes:
            if what == "starts":
                began = began if living else at
                living.add(pid)
            elif pid in living:
                self.ends.append(at)
                living.remove(pid)
                if not living:
                    self.spans.append((began, at))
        if living or not notes:
            self.spans.append((began, float("inf")))

    def longest(self, start, end):
        """For how long at a time an agent ran between the two."""
        return max((min(ended, end) - max(began, start) for began, ended in self.spans), default=0)

    def ended(self, start, end):
        """Whether an agent ended between the two."""
        return any(start <= at <= end for at in self.ends)

    def anybody(self, start, end):
        """Whether an agent ran at any time between the two."""
        return any(began <= end and start <= ended for began, ended in self.spans)


def moment(text):
    """A time of the ledger in seconds, to its last digit."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    return bills.second(whole) + float(f"0.{fraction or 0}")


def is_over(group):
    """Whether nothing more will be billed."""
    return bool(group["BillingEnd"] or group["RemovalTime"])


def why_missing(group, pods, lives):
    """Which of EXPLAINED holds for a group without a record; none = it is missing."""
    if not is_over(group):
        return "runs" if group["Tags"]["UID"] in pods else None
    if bills.bill_of(group) == 0:
        return "never billed"
    if not group["RemovalTime"] or group["Tags"]["UID"] in pods:
        return None
    removed = moment(group["RemovalTime"])
    if not lives.anybody(moment(group["BillingEnd"]), removed):
        return "no agent"
    return "killed" if lives.ended(removed, removed + SOON) else None


def was_told(group, lives):
    """Whether the wire carried how the group ended for long enough, while an agent looked."""
    ends = [moment(state["Since"]) for state in group["States"] if state["Status"] in FINAL]
    gone = moment(group["RemovalTime"]) if group["RemovalTime"] else time.time()
    return bool(ends) and lives.longest(ends[0], gone) >= SEEN


def judge(group, record, lives):
    """What a record is worth beside the bill: a verdict, and whether it is right."""
    if not is_over(group):
        return "RECORDED, BUT NOT OVER", False
    bill, charge = bills.bill_of(group), record["charge"]
    least, amount, most = charge["least"], charge["amount"], charge["most"]
    if record["currency"] != group["Currency"]:
        return f"WRONG CURRENCY {record['currency']}", False
    if not least <= amount <= most:
        return f"NOT WITHIN ITS OWN BOUNDS {least}..{amount}..{most}", False
    if least == most:
        return ("exact", True) if amount == bill else (f"WRONG: {amount}", False)
    if was_told(group, lives) and record.get("doubts") != ["spotPriceNotAsked"]:
        return f"UNCERTAIN {least}..{most}, though ECI told its end", False
    if not record.get("doubts"):
        return f"UNCERTAIN WITHOUT A REASON {least}..{most}", False
    if not least <= bill <= most:
        return f"NOT WITHIN {least}..{most}", False
    return " and ".join(record["doubts"]), True


def described(group, verdict):
    tags, states = group["Tags"], ", ".join(f"{one['Status']} {one['Since'][11:23]}" for one in group["States"])
    times = " ".join(f"{name}={group[name]}" for name in ("CreationTime", "BillingStart", "BillingEnd", "RemovalTime"))
    return f"{tags['NameSpace']}/{tags['PodName']} {group['ContainerGroupId']}: {verdict}\n    {times}\n    {states}"


def application(group, record):
    """Namespace and id of the application, by the tags; nothing but a label that is no tag says that a ReplicaSet is a Deployment's."""
    namespace, name = bills.application_of(group["Tags"])
    alone = f"replicaset/{group['Tags'].get('OwnerReferenceName')}"
    return namespace, alone if record["application"]["id"] == alone else name


def those_that_stay():
    """UIDs of pods that nobody has deleted."""
    stays = lambda one: "deletionTimestamp" not in one["metadata"]
    homes = {one["metadata"]["name"] for one in asked("kubectl", "get", "namespaces", "--output", "json")["items"] if stays(one)}
    pods = asked("kubectl", "get", "pods", "--all-namespaces", "--output", "json")["items"]
    return {one["metadata"]["uid"] for one in pods if stays(one) and one["metadata"]["namespace"] in homes}


def audit(program):
    """Looks once; what is wrong, and what to print when nothing is."""
    # In this order: what is recorded after the ledger was read is of groups that it has.
    pods = those_that_stay()
    ledger = asked("curl", "--silent", "--show-error", "--fail", f"{os.environ['ECI_ENDPOINT']}/mock/ledger")
    found = records()
    lives = Lives(os.path.join(os.environ["VN_STATE"], "run/lives"))
    wrong, lost, verdicts, widest, sums = [], [], Counter(), 0, {}
    groups = of_agents(ledger)
    for group in groups:
        several = found.pop(group["ContainerGroupId"], None)
        if several is None:
            verdict = why_missing(group, pods, lives)
            if verdict is None:
                wrong.append(described(group, "NO RECORD"))
            elif verdict == "killed":
                lost.append(described(group, "LOST TO A KILL"))
            verdicts[verdict] += 1
            continue
        record = best(several)
        verdict, right = judge(group, record, lives)
        if not right:
            wrong.append(described(group, verdict) + f"\n    {json.dumps(record)}")
            continue
        verdicts[verdict] += 1
        if verdict != "exact":
            widest = max(widest, record["charge"]["most"] - record["charge"]["least"])
        key = application(group, record)
        total = sums.setdefault(key, [0, 0, 0, 0, 0])
        for place, more in enumerate([bills.bill_of(group), *(record["charge"][name] for name in ("amount", "least", "most")), 1]):
            total[place] += more
    wrong += [f"a record of the group {group}, which nobody made: {json.dumps(several[0])}" for group, several in found.items()]
    if len(lost) > MOST_LOST:
        wrong += lost
    if not wrong:
        wrong += applications(program, sums)
    said = [f"audit: {len(groups)} container groups of agents, {len(sums)} applications, by mock-eci's ledger"]
    for verdict, count in verdicts.most_common():
        said.append(f"  {count:6} {verdict}" + (f": {EXPLAINED[verdict]}" if verdict in EXPLAINED else ""))
    said += lost
    said.append(f"  the widest bounds are {widest / 1e9:.6f} apart")
    return wrong, said


def applications(program, sums):
    """What is wrong with what `virtual-node cost` says of the applications."""
    wrong = []
    listed = asked(program, "cost", "--cost-namespace", HOME, "list", "--output", "json")["applications"]
    listed = {(one["namespace"], one["id"]): one for one in listed}
    for key, (bill, *charge, _) in sums.items():
        one = listed.get(key)
        if one is None:
            wrong.append(f"{key[0]}/{key[1]}: not listed")
        elif one["running"] == 0:
            total = one["total"]
            if [total["amount"], total["least"], total["most"]] != charge:
                wrong.append(f"{key[0]}/{key[1]}: {total}, where its groups have {charge}")
            elif not total["least"] <= bill <= total["most"]:
                wrong.append(f"{key[0]}/{key[1]}: billed {bill}, listed {total}")
            elif one["driver"]["amount"] + one["executors"]["amount"] + one["pods"]["amount"] != total["amount"]:
                wrong.append(f"{key[0]}/{key[1]}: its parts do not add up: {one}")
    for namespace, name in sorted(sums, key=lambda key: -sums[key][4])[:SHOWN]:
        shown = asked(program, "cost", "--cost-namespace", HOME, "show", name, "--namespace", namespace, "--output", "json")
        for group in shown["groups"]:
            if group["derived"]["pulling"] + group["derived"]["working"] != group["charge"]["amount"]:
                wrong.append(f"{namespace}/{name}: the parts of {group['group']} do not add up: {group}")
    return wrong


def main(program):
    deadline = time.monotonic() + PATIENCE
    while True:
        wrong, said = audit(program)
        if not wrong or time.monotonic() > deadline:
            break
        time.sleep(1)
    print("\n".join(said))
    if wrong:
        sys.exit("\n".join(wrong) + f"\nerror: {len(wrong)} things of the records of cost are not what the ledger says")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: audit.py VIRTUAL_NODE")
    main(sys.argv[1])
