"""What Kubeflow's Spark operator makes of a SparkApplication: the arguments of its spark-submit, and the pod templates.

submission.py APPLICATION SUBMISSION_ID TEMPLATES

APPLICATION is the object as JSON, as the API server has it. The templates of driver and executors are written to
TEMPLATES/{driver,executor}.json, and the arguments to stdout, each ended by a NUL. Of the application's fields those
are known that the examples in manifests/ use; another one is an error, so that no example promises what was not tried.

The template of the driver names the application as its owner, which the operator's webhook adds, so that the driver goes
with its application.
"""

import json
import sys
from pathlib import Path

PREFIX = "sparkoperator.k8s.io/"
KNOWN = set("type mode image sparkVersion mainApplicationFile arguments sparkConf hadoopConf restartPolicy driver executor".split())
KNOWN_OF_ROLES = set("cores memory instances serviceAccount labels annotations envSecretKeyRefs template".split())


def known(fields, names, where):
    """Dies of a field that would be ignored here."""
    for name in fields:
        if name not in names:
            sys.exit("error: %s.%s is not known here" % (where, name))


def settings(application, submission):
    """Each setting of the application as (key, value), in the operator's order."""
    name, spec = application["metadata"]["name"], application["spec"]
    yield "spark.kubernetes.namespace", application["metadata"]["namespace"]
    yield "spark.kubernetes.container.image", spec["image"]
    yield "spark.kubernetes.submission.waitAppCompletion", "false"
    yield from spec.get("sparkConf", {}).items()
    for key, value in spec.get("hadoopConf", {}).items():
        yield "spark.hadoop." + key, value
    yield "spark.kubernetes.driver.pod.name", name + "-driver"
    for role in "driver", "executor":
        of_role = spec[role]
        of_pods = "spark.kubernetes.%s." % role
        yield of_pods + "podTemplateFile", "/submission/%s.json" % role
        yield of_pods + "label." + PREFIX + "app-name", name
        yield of_pods + "label." + PREFIX + "launched-by-spark-operator", "true"
        yield of_pods + "label." + PREFIX + "submission-id", submission
        yield "spark.%s.cores" % role, str(of_role["cores"])
        yield "spark.%s.memory" % role, of_role["memory"]
        for kind in "labels", "annotations":
            for key, value in of_role.get(kind, {}).items():
                yield of_pods + kind[:-1] + "." + key, value
        for variable, secret in of_role.get("envSecretKeyRefs", {}).items():
            yield of_pods + "secretKeyRef." + variable, "%(name)s:%(key)s" % secret
    yield "spark.kubernetes.authenticate.driver.serviceAccountName", spec["driver"]["serviceAccount"]
    yield "spark.executor.instances", str(spec["executor"]["instances"])


def templates(application):
    """The pod template of each role."""
    for role in "driver", "executor":
        template = {"apiVersion": "v1", "kind": "Pod", **application["spec"][role].get("template", {})}
        if role == "driver":
            owner = {key: application[key] for key in ("apiVersion", "kind")}
            owner.update({key: application["metadata"][key] for key in ("name", "uid")}, controller=True)
            template.setdefault("metadata", {})["ownerReferences"] = [owner]
        yield role, template


def main(application, submission, folder):
    spec = application["spec"]
    known(spec, KNOWN, "spec")
    for role in "driver", "executor":
        known(spec[role], KNOWN_OF_ROLES, "spec." + role)
    for role, template in templates(application):
        Path(folder, role + ".json").write_text(json.dumps(template), encoding="utf-8")
    arguments = ["--deploy-mode", spec["mode"], "--name", application["metadata"]["name"]]
    for setting in settings(application, submission):
        arguments += ["--conf", "%s=%s" % setting]
    arguments += [spec["mainApplicationFile"], *spec.get("arguments", [])]
    sys.stdout.write("".join(argument + "\0" for argument in arguments))


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("usage: submission.py APPLICATION SUBMISSION_ID TEMPLATES")
    main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), sys.argv[2], sys.argv[3])
