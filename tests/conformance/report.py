#!/usr/bin/env python3
"""What the node conformance tests said, as the table of docs/conformance.md, and a verdict.

  report.py [--out FOLDER] [--doc FILE]   compares both columns, writes the table between FILE's marks (without
                                          --doc: to the standard output), and fails if a test fails here and
                                          limits.toml does not say why, or if limits.toml names a test that passes
                                          or that there is none of
  report.py --out FOLDER --all-pass       the short form: fails unless every test that ran here passed
"""

import argparse
import json
import pathlib
import re
import sys
import tomllib

HERE = pathlib.Path(__file__).resolve().parent
BEGIN, END = "<!-- the table begins: report.py writes it -->", "<!-- the table ends -->"
COLUMNS = ("ours", "kubelet")
# A word of a name may have brought others along.
IN_FOCUS = "[NodeConformance]"
UNFINISHED = ("pending", "interrupted", "aborted")


class Result:
    """One test in one column."""

    def __init__(self, spec):
        self.state = "passed" if spec["State"] == "passed" else "failed"
        self.message = " ".join(spec.get("Failure", {}).get("Message", "").split())
        if spec["State"] == "skipped":
            self.state = "skipped"
        self.seconds = spec.get("RunTime", 0) / 1e9


def name_of(spec):
    return " ".join([*(spec["ContainerHierarchyTexts"] or []), spec["LeafNodeText"]])


def read_column(folder):
    """The tests that ran, by name: those that the focus left out have nothing to say. Of a test that was run again alone
    the later result counts."""
    paths = sorted(folder.glob("report*.json"), key=lambda path: path.stat().st_mtime)
    if not paths:
        sys.exit(f"error: there is no result in {folder}: run tests/conformance/run.sh {folder.name} first")
    results = {}
    for suite in (suite for path in paths for suite in json.loads(path.read_text())):
        for spec in suite["SpecReports"] or []:
            left_out = spec["State"] == "skipped" and not spec.get("Failure", {}).get("Message")
            name = name_of(spec)
            if spec["LeafNodeType"] == "It" and spec["State"] not in UNFINISHED and not left_out and IN_FOCUS in name:
                results[name] = Result(spec)
    if not results:
        sys.exit(f"error: no test ran in {folder}")
    return results


def short_name(name):
    """A name without what all of them have, and as Markdown shows it."""
    name = re.sub(r"\s*\[(sig-node|NodeConformance|Conformance|LinuxOnly|FeatureGate:\w+|Environment:\w+)\]", "", name)
    return name.strip().replace("|", r"\|").replace("*", r"\*").replace("<", "&lt;")


class Causes:
    """limits.toml."""

    def __init__(self, path):
        listed = tomllib.loads(path.read_text())
        self.limits, self.setups = listed.get("limit", []), listed.get("setup", [])
        self.differences, self.left_out = listed.get("difference", []), listed["left_out"]
        self.by_test = {}
        for cause in [*self.limits, *self.differences, *self.setups]:
            for test in cause["tests"]:
                if test in self.by_test:
                    sys.exit(f"error: {path.name} names '{test}' twice")
                self.by_test[test] = cause

    def problems(self, columns):
        """What is wrong with the results, as lines."""
        ours, kubelet = columns["ours"], columns["kubelet"]
        for name in sorted(set(ours) ^ set(kubelet)):
            yield f"ran in one column only: {name}"
        for name, result in sorted(ours.items()):
            if result.state == "failed" and name not in self.by_test:
                yield f"fails here, and limits.toml does not say why: {name}: {result.message[:300]}"
        for name, cause in self.by_test.items():
            if name not in ours:
                yield f"limits.toml names a test that there is none of: {name}"
            elif ours[name].state == "passed":
                yield f"limits.toml says that this fails, and it passes: {name}"
            elif cause in self.setups and name in kubelet and kubelet[name].state == "passed":
                yield f"limits.toml blames the testbed, and the kubelet passes: {name}"


def count(results, state):
    return sum(result.state == state for result in results.values())


def table(columns, causes):
    """The table in Markdown."""
    ours, kubelet = columns["ours"], columns["kubelet"]
    lines = ["| | virtual node | kubelet |", "|---|---|---|"]
    for state in ("passed", "failed", "skipped"):
        lines.append(f"| {state} | {count(ours, state)} | {count(kubelet, state)} |")
    lines += ["", "| test | virtual node | kubelet | why |", "|---|---|---|---|"]
    for name in sorted(set(ours) | set(kubelet), key=short_name):
        cells = []
        for column in (ours, kubelet):
            state = column[name].state if name in column else "did not run"
            cells.append("passed" if state == "passed" else f"**{state}**")
        cause = causes.by_test.get(name)
        why = f"[{cause['id']}](#{cause['id']})" if cause else ""
        if not cause and "**failed**" in cells:
            why = "**unexplained**"
        lines.append(f"| {short_name(name)} | {cells[0]} | {cells[1]} | {why} |")
    lines += ["", "## What of ECI forbids them", ""]
    for limit in causes.limits:
        if limit["tests"]:
            lines += [f"### {limit['id']}", "", limit["says"].strip(), "", f"Documented: {limit['documented'].strip()}", ""]
    lines += ["## What this node does otherwise", ""]
    for difference in causes.differences:
        if difference["tests"]:
            lines += [f"### {difference['id']}", "", difference["says"].strip(), ""]
    lines += ["## What was left out", "", causes.left_out["says"].strip(), ""]
    lines += [f"- {short_name(name)}" for name in causes.left_out["tests"]]
    lines += ["", "## What of this testbed forbids them, for a kubelet too", ""]
    for setup in causes.setups:
        if setup["tests"]:
            lines += [f"### {setup['id']}", "", setup["says"].strip(), ""]
    return "\n".join(lines)


def write_between(path, text):
    content = path.read_text()
    start, end = content.index(BEGIN) + len(BEGIN), content.index(END)
    path.write_text(f"{content[:start]}\n\n{text}\n{content[end:]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=HERE.parents[1] / "target/conformance")
    parser.add_argument("--doc", type=pathlib.Path)
    parser.add_argument("--all-pass", action="store_true")
    options = parser.parse_args()

    if options.all_pass:
        ours = read_column(options.out / "ours")
        failed = {name: result for name, result in ours.items() if result.state != "passed"}
        for name, result in failed.items():
            print(f"error: {result.state}: {name}: {result.message[:1000]}", file=sys.stderr)
        print(f"{len(ours) - len(failed)} of {len(ours)} node conformance tests passed", file=sys.stderr)
        return 1 if failed else 0

    causes = Causes(HERE / "limits.toml")
    columns = {column: read_column(options.out / column) for column in COLUMNS}
    for results in columns.values():
        for name in causes.left_out["tests"]:
            results.pop(name, None)
    text = table(columns, causes)
    if options.doc:
        write_between(options.doc, text)
    else:
        print(text)
    problems = list(causes.problems(columns))
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
