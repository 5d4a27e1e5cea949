#!/usr/bin/env python3
"""Recomputes what applications cost from mock-eci's ledger, and holds `virtual-node cost` to it.

bills.py LEDGER COST [NAMESPACE...]

LEDGER is what mock-eci's /mock/ledger answers, COST what `virtual-node cost list --output
json` prints. Of the ledger only times, sizes, tags and the spot market's prices of an hour
are taken; amounts are computed here, from the published list prices, in fractions. Each
application's bill must be the recorded amount to the last 10^-9 where that is exact, and
lie within its bounds where it is not. With NAMESPACE only those are looked at.

It shares no code with the agent or with mock-eci.
"""

import json
import re
import sys
from datetime import datetime, timezone
from fractions import Fraction

# 10^-9 of the currency's unit for a vCPU and for a GiB, a second.
LIST = {"CNY": (49_000, 6_130), "USD": (7_700, 960)}
# A Deployment's ReplicaSet has the hash of its template at the end of its name, in Kubernetes' letters for that.
DEPLOYMENT = re.compile("(.+)-[bcdfghjklmnpqrstvwxz2456789]{5,10}")


def second(text):
    """A time of the ledger, cut to whole seconds."""
    moment = datetime.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")
    return int(moment.replace(tzinfo=timezone.utc).timestamp())


def rounded(amount):
    """Half up."""
    return (2 * amount.numerator + amount.denominator) // (2 * amount.denominator)


def bill_of(group):
    """What a group costs, from its times and sizes; nothing where billing never started."""
    if not group["BillingStart"]:
        return 0
    if not group["BillingEnd"]:
        sys.exit(f"error: the group {group['ContainerGroupId']} is still being billed")
    cpu_price, memory_price = LIST[group["Currency"]]
    amount, last = 0, second(group["BillingStart"])
    for segment in group["Segments"]:
        start, end = second(segment["From"]), second(segment["To"])
        if start != last:
            sys.exit(f"error: the bill of {group['ContainerGroupId']} has a gap at {segment['From']}")
        if segment["SpotNanoPerHour"] is None:
            cpu, memory = Fraction(segment["MilliCpu"], 1000), Fraction(segment["MemoryMib"], 1024)
            a_second = cpu * cpu_price + memory * memory_price
        else:
            a_second = Fraction(segment["SpotNanoPerHour"], 3600)
        amount += rounded(a_second * (end - start))
        last = end
    if last != second(group["BillingEnd"]):
        sys.exit(f"error: the bill of {group['ContainerGroupId']} does not go to its end")
    return amount


def application_of(tags):
    """Namespace and id of the application that a group belongs to, as its tags say."""
    spark = tags.get("spark-app-selector") or tags.get("sparkoperator.k8s.io/submission-id")
    if spark:
        return tags["NameSpace"], spark
    kind, owner = tags.get("OwnerReferenceKind"), tags.get("OwnerReferenceName")
    deployment = DEPLOYMENT.fullmatch(owner) if kind == "ReplicaSet" else None
    if deployment:
        return tags["NameSpace"], f"deployment/{deployment[1]}"
    if kind:
        return tags["NameSpace"], f"{kind.lower()}/{owner}"
    return tags["NameSpace"], f"pod/{tags['PodName']}"


def main(ledger_file, cost_file, *namespaces):
    with open(ledger_file, encoding="utf-8") as file:
        ledger = json.load(file)
    with open(cost_file, encoding="utf-8") as file:
        applications = json.load(file)["applications"]
    wanted = lambda namespace: not namespaces or namespace in namespaces
    bills, currencies = {}, {}
    for group in ledger:
        if group["Tags"].get("ManagedBy") != "virtual-node" or not wanted(group["Tags"]["NameSpace"]):
            continue
        key = application_of(group["Tags"])
        bills[key] = bills.get(key, 0) + bill_of(group)
        currencies[key] = group["Currency"]
    recorded = {(one["namespace"], one["id"]): one for one in applications if wanted(one["namespace"])}
    wrong = 0
    for key in sorted(bills.keys() | recorded.keys()):
        bill, one = bills.get(key, 0), recorded.get(key)
        if one is None:
            verdict = "never billed" if bill == 0 else "NOT RECORDED"
        else:
            total = one["total"]
            if one["running"]:
                verdict = "STILL RUNNING"
            elif one["driver"]["amount"] + one["executors"]["amount"] + one["pods"]["amount"] != total["amount"]:
                verdict = "PARTS DO NOT ADD UP"
            elif bill and one["currency"] != currencies[key]:
                verdict = "WRONG CURRENCY"
            elif total["least"] == total["most"]:
                verdict = "exact" if total["amount"] == bill else f"WRONG: {total['amount']}"
            elif total["least"] <= bill <= total["most"]:
                verdict = f"within {total['least']}..{total['most']}"
            else:
                verdict = f"NOT WITHIN {total['least']}..{total['most']}"
        wrong += verdict[:2].isupper()
        print(f"{key[0]}\t{key[1]}\t{bill}\t{verdict}")
    if not bills:
        sys.exit("error: the ledger has no groups of these namespaces")
    if wrong:
        sys.exit(f"error: {wrong} applications are not what the ledger says")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("usage: bills.py LEDGER COST [NAMESPACE...]")
    main(*sys.argv[1:])
