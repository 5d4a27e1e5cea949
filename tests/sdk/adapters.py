"""The official SDKs behind one interface: `call(operation, parameters)`.

Parameters are what stands on the wire, nested instead of flattened: `{"Container": [{"Name": "c", "Arg": ["x"]}]}`. They go
through the SDK's own typed request; a parameter that gets lost there is an error, not a call without it. Answers come back
as the SDK gives them to its user. An error answer raises `Refused`.
"""

import importlib
import inspect
import json
import os
import pkgutil
import re
import subprocess

import conformity
from mock import KEY, REGION, SECRET

import aliyunsdkeci.request.v20180808 as old_requests
from alibabacloud_eci20180808 import models as tea_models
from alibabacloud_eci20180808.client import Client as TeaClient
from alibabacloud_tea_openapi import models as openapi
from aliyunsdkcore.acs_exception.exceptions import ServerException
from aliyunsdkcore.client import AcsClient
from aliyunsdkcore.request import CommonRequest
from Tea.exceptions import TeaException


class Refused(Exception):
    """The service answered with an error."""

    def __init__(self, code, status, message):
        super().__init__(f"{code} ({status}): {message}")
        self.code, self.status = code, status


class Lost(AssertionError):
    """The SDK does not carry what it was given."""


def flatten(value, name=""):
    """The parameters as they stand on the wire."""
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = ((index + 1, item) for index, item in enumerate(value))
    else:
        return {name: value}
    return {k: v for key, item in items for k, v in flatten(item, f"{name}.{key}" if name else str(key)).items()}


class RawTeaClient(TeaClient):
    """Keeps what the server answered before it goes through the SDK's models."""

    raw = None

    def call_api(self, params, request, runtime):
        answer = super().call_api(params, request, runtime)
        self.raw = answer["body"]
        return answer


class Tea:
    """`alibabacloud_eci20180808`, in one of its two ways of signing."""

    def __init__(self, address, signature_algorithm=None, secret=SECRET):
        self.client = RawTeaClient(openapi.Config(
            access_key_id=KEY, access_key_secret=secret, region_id=REGION, endpoint=address, protocol="HTTP",
            signature_algorithm=signature_algorithm,
        ))

    @staticmethod
    def operations():
        methods = (name for name, _ in inspect.getmembers(TeaClient, inspect.isfunction))
        snake = {name.removesuffix("_with_options") for name in methods if name.endswith("_with_options")}
        return {"".join(word.capitalize() for word in name.split("_")) for name in snake}

    def call(self, operation, parameters):
        request = getattr(tea_models, f"{operation}Request")()
        request.from_map(parameters)
        carried = flatten(request.to_map())
        if carried != flatten(parameters):
            raise Lost(f"{operation}: {sorted(set(flatten(parameters)) - set(carried))} got lost")
        method = re.sub("(?<!^)(?=[A-Z])", "_", operation).lower()
        try:
            answer = getattr(self.client, method)(request)
        except TeaException as error:
            status = getattr(error, "status_code", None) or getattr(error, "statusCode", None)
            if status is None:
                raise
            raise Refused(error.code, status, error.message) from None
        wrong = conformity.faults(self.client.raw, conformity.body_model(operation))
        if wrong:
            raise AssertionError(f"{operation} answers with what its SDK does not know: " + "; ".join(wrong))
        return answer.body.to_map()

    def close(self):
        pass


class Old:
    """`aliyun-python-sdk-eci`. What it has no request class for goes through its CommonRequest."""

    def __init__(self, address, secret=SECRET):
        self.address = address
        self.client = AcsClient(KEY, secret, REGION, auto_retry=False)

    @staticmethod
    def operations():
        return {module.name.removesuffix("Request") for module in pkgutil.iter_modules(old_requests.__path__)}

    def request(self, operation, parameters):
        if operation not in self.operations():
            # The central CommonRequest has no method for one call: it is GET unless told otherwise.
            request = CommonRequest(domain=self.address, version="2018-08-08", action_name=operation)
            request.set_method("POST")
            for name, value in flatten(parameters).items():
                request.add_query_param(name, value)
            return request
        module = importlib.import_module(f"{old_requests.__name__}.{operation}Request")
        request = getattr(module, f"{operation}Request")()
        for name, value in parameters.items():
            self.set(request, name, value)
        # The name of a map's key may be written with its length before it.
        carried = {re.sub(r"#\d+#", "", name) for name in request.get_query_params()}
        for name, value in flatten(parameters).items():
            # No setter knows it; the SDK lets it be added all the same.
            if name not in carried:
                request.add_query_param(name, value)
        return request

    @staticmethod
    def set(request, name, value):
        for setter in (f"set_{name}", f"set_{name}s", f"set_{name}es"):
            if hasattr(request, setter):
                getattr(request, setter)(plural(value))
                return
        if isinstance(value, dict):
            for member, item in value.items():
                Old.set(request, name + member, item)

    def call(self, operation, parameters):
        request = self.request(operation, parameters)
        request.set_endpoint(self.address)
        request.set_protocol_type("http")
        request.set_accept_format("json")
        # The registry of operations says which two are POST; this SDK knows of one.
        if operation == "DescribeContainerGroupEvents":
            request.set_method("POST")
        try:
            return json.loads(self.client.do_action_with_exception(request))
        except ServerException as error:
            raise Refused(error.get_error_code(), error.get_http_status(), error.get_error_msg()) from None

    def close(self):
        pass


def plural(value):
    """Members as the old SDK's setters want them: dotted, and lists in the plural."""
    if isinstance(value, list):
        return [plural(item) for item in value]
    if not isinstance(value, dict):
        return value
    members = {}
    for name, item in value.items():
        if isinstance(item, list):
            members[f"{name}s"] = plural(item)
        elif isinstance(item, dict):
            members[name] = item
            members |= {f"{name}.{inner}": v for inner, v in plural(item).items()}
        else:
            members[name] = item
    return members


class Go:
    """`github.com/aliyun/alibaba-cloud-sdk-go`, typed as far as it has the operation: it calls through the program in `go/`."""

    def __init__(self, address):
        environment = {
            **os.environ, "ECI_ENDPOINT": address,
            "ALIBABA_CLOUD_ACCESS_KEY_ID": KEY, "ALIBABA_CLOUD_ACCESS_KEY_SECRET": SECRET,
        }
        self.process = subprocess.Popen(
            [os.environ["GO_SDK_DRIVER"]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def ask(self, **call):
        self.process.stdin.write(json.dumps(call) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(f"the Go program ended at {call}")
        return json.loads(line)

    def operations(self):
        return set(self.ask(operation="")["operations"])

    def call(self, operation, parameters):
        result = self.ask(operation=operation, parameters=parameters)
        if "failure" in result:
            raise Lost(f"{operation}: {result['failure']}")
        if "code" in result:
            raise Refused(result["code"], result["status"], result["message"])
        return result["answer"]

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(timeout=10)


SDKS = {
    "tea": Tea,
    "tea-v2": lambda address: Tea(address, signature_algorithm="v2"),
    "old": Old,
    "go": Go,
}
