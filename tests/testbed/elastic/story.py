"""What an event log says of an application's troubles: story.py < LOG (uncompressed) prints it as one JSON object.

failed_stages: stages that failed, with their reasons. blamed: executors whose loss Spark counts as the application's own fault.
added, removed: executors in their order, removed ones with Spark's reason. tasks: how many tasks of each stage succeeded, its
attempts together: more than it has partitions means that work was done twice.
"""

import json
import sys

story = {"failed_stages": [], "blamed": [], "added": [], "removed": [], "completed_stages": 0, "tasks": {}}
for line in sys.stdin:
    event = json.loads(line)
    kind = event["Event"]
    if kind == "SparkListenerStageCompleted":
        reason = event["Stage Info"].get("Failure Reason")
        if reason is None:
            story["completed_stages"] += 1
        else:
            story["failed_stages"].append(reason.splitlines()[0])
    elif kind == "SparkListenerTaskEnd":
        end = event["Task End Reason"]
        if end["Reason"] == "Success":
            stage = str(event["Stage ID"])
            story["tasks"][stage] = story["tasks"].get(stage, 0) + 1
        if end["Reason"] == "ExecutorLostFailure" and end.get("Exit Caused By App"):
            story["blamed"].append(end["Executor ID"])
    elif kind == "SparkListenerExecutorAdded":
        story["added"].append(event["Executor ID"])
    elif kind == "SparkListenerExecutorRemoved":
        story["removed"].append([event["Executor ID"], event["Removed Reason"]])
json.dump(story, sys.stdout)
print()
