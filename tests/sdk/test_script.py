"""The same script with each SDK, against a mock-eci each: it shows the same to all of them, and nothing else than ECI has."""

import json
import os
import re
import time
import unittest

import script
from adapters import SDKS, Refused
from mock import PATIENCE, REGION, Mock, until

SCENARIO = os.path.join(os.path.dirname(os.path.abspath(__file__)), "instant.toml")

# Operations that only this SDK has: of a time before, or of its own.
ONLY = {
    "old": {"DeleteContainerGroups", "ResizeContainerGroupEphemeralStorage"},
    "go": {"CreateContainerGroupFromTemplate", "ExportContainerGroupTemplate", "UpdateContainerGroupByTemplate"},
}
# Operations of ECI for which an SDK has no request of its own; it calls them by its CommonRequest.
LACKS = {
    "old": {
        "CreateInstanceOpsTask", "DescribeInstanceOpsRecords",
        "CreateVirtualNode", "UpdateVirtualNode", "DeleteVirtualNode", "DescribeVirtualNodes",
        "TagResources", "UntagResources", "ListTagResources",
    },
    "go": {
        "CommitContainer", "DescribeCommitContainerTask", "CreateInstanceOpsTask", "DescribeInstanceOpsRecords",
        "CreateDataCache", "UpdateDataCache", "DeleteDataCache", "CopyDataCache", "DescribeDataCaches",
        "CreateVirtualNode", "UpdateVirtualNode", "DeleteVirtualNode", "DescribeVirtualNodes",
        "DescribeAvailableResource", "DescribeContainerGroupEvents", "DescribeContainerGroupStatus", "ListUsage",
        "ResizeContainerGroupVolume", "UpdateImageCache", "TagResources", "UntagResources", "ListTagResources",
    },
}


class Run:
    """One SDK's way through the script."""

    def __init__(self, sdk):
        self.kept, self.transcript, self.problems, self.driven = {}, [], [], set()
        with Mock("--seed", "7", "--stepped", "--scenario", SCENARIO) as mock:
            adapter = SDKS[sdk](mock.address)
            self.operations = adapter.operations()
            for number, step in enumerate(script.SCRIPT, 1):
                self.step(f"step {number} of {sdk}", step, mock, adapter)
            adapter.close()

    def step(self, where, step, mock, adapter):
        if isinstance(step, script.Steer):
            mock.steer(step.route, step.body)
            return
        where = f"{where}, {step.operation}"
        try:
            parameters = {"RegionId": REGION, **self.fill(step.parameters)}
            self.driven.add(step.operation)
            if isinstance(step, script.Wrong):
                result = self.refused(step, adapter, parameters)
            else:
                result = self.answered(step, adapter, parameters, mock)
        except (AssertionError, Refused, KeyError) as error:
            self.problems.append(f"{where}: {type(error).__name__}: {error}")
            result = "problem"
        self.transcript.append((step.operation, normal(result)))

    def refused(self, step, adapter, parameters):
        try:
            answer = adapter.call(step.operation, parameters)
        except Refused as error:
            if (error.code, error.status) != (step.code, step.status):
                raise AssertionError(f"refused with {error} instead of {step.code} ({step.status})") from None
            return {"Code": error.code, "Status": error.status}
        raise AssertionError(f"not refused with {step.code}: {answer}")

    def answered(self, step, adapter, parameters, mock):
        expected = {path: self.fill(value) for path, value in step.sees.items()}
        deadline, moved = time.monotonic() + PATIENCE, time.monotonic()
        while True:
            answer = adapter.call(step.operation, parameters)
            missing = [
                f"{path} is {at(answer, path)!r} instead of {value!r}"
                for path, value in expected.items() if not fits(at(answer, path), value)
            ]
            if not missing:
                break
            if not step.wait or time.monotonic() > deadline:
                raise AssertionError("; ".join(missing))
            if step.moving and time.monotonic() > moved + 1:
                mock.steer("advance", {"seconds": step.moving})
                moved = time.monotonic()
            time.sleep(0.02)
        request_id = answer.get("RequestId", "")
        if not re.fullmatch("[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}", request_id):
            raise AssertionError(f"RequestId is {request_id!r}")
        self.kept |= {name: at(answer, path) for name, path in step.keep.items()}
        return answer

    def fill(self, value):
        """`value` with what was kept in the places of its names."""
        if isinstance(value, dict):
            return {name: self.fill(item) for name, item in value.items()}
        if isinstance(value, list):
            return [self.fill(item) for item in value]
        if isinstance(value, script.Holding):
            return script.Holding(self.fill(value.item))
        if isinstance(value, str):
            return re.sub(r"\$([a-z]+)", lambda name: self.kept[name[1]], value)
        return value


def at(answer, path):
    """What stands at a path such as `Data.0.Name`; None if nothing does."""
    for part in path.split("."):
        if isinstance(answer, list):
            answer = answer[int(part)] if int(part) < len(answer) else None
        elif isinstance(answer, dict):
            answer = answer.get(part)
        else:
            return None
    return answer


def fits(value, expected):
    if expected is script.ANY:
        return value not in (None, "", [], {})
    if isinstance(expected, script.Holding):
        return expected.item in (value or [])
    # A typed SDK leaves out what is empty.
    return (value or []) == [] if expected == [] else value == expected


def normal(value):
    """An answer without what differs from run to run and what SDKs express differently."""
    if isinstance(value, dict):
        members = {name: normal(item) for name, item in value.items() if name != "RequestId"}
        if members.get("NextToken"):
            members["NextToken"] = "<page>"
        if "CPU" in value and "Timestamp" in value:
            members = figures(members)
        return {name: item for name, item in members.items() if item not in (None, [])}
    if isinstance(value, list):
        return [normal(item) for item in value]
    if isinstance(value, float):
        # Go's SDK has floats of 32 bits.
        return float(f"{value:.6g}")
    if isinstance(value, str):
        value = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "<time>", value)
        # The names of events end in the time, in hexadecimal nanoseconds.
        value = re.sub(r"\.[0-9a-f]{15,16}$", ".<time>", value)
        value = re.sub(r"127\.0\.0\.1:\d+", "<address>", value)
        return re.sub(r"([?&]\w+=)[^&]+", r"\1<token>", value) if "://" in value else value
    return value


def figures(record):
    """What was measured, which differs from one moment to another: that it is there, but what is a limit."""
    if isinstance(record, dict):
        return {name: item if name in ("Limit", "Capacity") else figures(item) for name, item in record.items()}
    if isinstance(record, list):
        return [figures(item) for item in record]
    return "<figure>" if isinstance(record, (int, float)) else record


class Script(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        chosen = os.environ.get("SDKS", ",".join(SDKS)).split(",")
        cls.runs = {sdk: Run(sdk) for sdk in chosen}

    def test_every_step_does_what_it_should(self):
        problems = [problem for run in self.runs.values() for problem in run.problems]
        if problems:
            self.fail("\n" + "\n".join(problems))

    def test_the_script_is_long_and_often_wrong(self):
        calls = [step for step in script.SCRIPT if not isinstance(step, script.Steer)]
        wrong = [step for step in calls if isinstance(step, script.Wrong)]
        self.assertGreaterEqual(len(calls), 40)
        self.assertGreaterEqual(len(wrong), 12)
        self.assertGreaterEqual(len({step.code for step in wrong}), 12)

    def test_all_operations_of_each_sdk_are_driven(self):
        for sdk, run in self.runs.items():
            with self.subTest(sdk):
                driven = run.driven
                self.assertEqual(run.operations - driven, ONLY.get(sdk, set()))
                self.assertEqual(driven - run.operations, LACKS.get(sdk, set()))
                self.assertEqual(len(driven), 36)

    def test_what_only_an_old_sdk_has(self):
        with Mock("--seed", "7") as mock:
            old = SDKS["old"](mock.address)
            group = old.call("CreateContainerGroup", script.group("old"))["ContainerGroupId"]

            def describe():
                return old.call("DescribeContainerGroups", script.describe(group))["ContainerGroups"]

            until("running", lambda: describe()[0]["Status"] == "Running")
            old.call("ResizeContainerGroupEphemeralStorage", {"ContainerGroupId": group, "NewSize": 10})
            self.assertEqual(describe()[0]["EphemeralStorage"], 10)
            old.call("DeleteContainerGroups", {"ContainerGroupIds": json.dumps([group])})
            until("the end", lambda: not describe())

    def test_all_sdks_see_the_same(self):
        first, *others = self.runs
        for sdk in others:
            with self.subTest(f"{first} and {sdk}"):
                self.assertEqual(len(self.runs[first].transcript), len(self.runs[sdk].transcript))
                pairs = zip(self.runs[first].transcript, self.runs[sdk].transcript)
                for number, (one, other) in enumerate(pairs, 1):
                    self.assertEqual(one, other, f"call {number}")


if __name__ == "__main__":
    unittest.main(verbosity=2)
