"""mock-eci as the official SDKs see it.

Each SDK creates, describes, reads the log of and deletes a group. What the server answers is
compared with the SDK's own models: a field they do not know is a field ECI does not have.
Errors of authentication are made by hand, because no SDK lets itself be used wrongly.
"""

import base64
import hashlib
import hmac
import json
import os
import signal
import subprocess
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request
import uuid

from alibabacloud_eci20180808 import models as tea
from alibabacloud_eci20180808.client import Client as TeaClient
from alibabacloud_tea_openapi import models as openapi
from aliyunsdkcore.acs_exception.exceptions import ServerException
from aliyunsdkcore.client import AcsClient
from aliyunsdkeci.request.v20180808 import (
    CreateContainerGroupRequest,
    DeleteContainerGroupRequest,
    DescribeContainerGroupsRequest,
    DescribeContainerGroupStatusRequest,
    DescribeContainerLogRequest,
)
from Tea.exceptions import TeaException

KEY, SECRET, REGION = "sdk-test-id", "sdk-test-secret", "cn-hangzhou"
PATIENCE = 30  # seconds; a simulated group runs within 0.1

server = None
address = None


def setUpModule():
    global server, address
    command = [os.environ["MOCK_ECI"], "--listen", "127.0.0.1:0", "--access-key", f"{KEY}:{SECRET}"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    line = server.stdout.readline()
    if "http://" not in line:
        raise RuntimeError(f"mock-eci did not start: {line!r}")
    address = line.split("http://")[1].split()[0]


def tearDownModule():
    server.send_signal(signal.SIGTERM)
    code = server.wait(timeout=10)
    server.stdout.close()
    if code != 0:
        raise RuntimeError(f"mock-eci ended with {code} on SIGTERM")


def until(what, ask):
    """Asks until the answer is true and gives it."""
    deadline = time.monotonic() + PATIENCE
    while True:
        answer = ask()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not happen within {PATIENCE} s; last answer: {answer!r}")
        time.sleep(0.05)


def unknown_fields(answer, model, path=""):
    """Paths of what is in `answer` and lost on the way through the SDK's model."""
    if isinstance(answer, dict):
        lost = []
        for name, value in answer.items():
            here = f"{path}.{name}"
            if not isinstance(model, dict) or name not in model:
                lost.append(here)
            else:
                lost += unknown_fields(value, model[name], here)
        return lost
    if isinstance(answer, list):
        if not isinstance(model, list) or len(answer) != len(model):
            return [path]
        return [p for i, (a, m) in enumerate(zip(answer, model)) for p in unknown_fields(a, m, f"{path}[{i}]")]
    return [] if answer == model else [f"{path}: {answer!r} became {model!r}"]


class Tea:
    """The new SDK, in one of its two ways of signing."""

    signature_algorithm = None

    def setUp(self):
        config = openapi.Config(
            access_key_id=KEY, access_key_secret=SECRET, region_id=REGION, endpoint=address, protocol="HTTP",
            signature_algorithm=self.signature_algorithm,
        )
        self.client = TeaClient(config)

    def describe(self, group):
        request = tea.DescribeContainerGroupsRequest(
            region_id=REGION, container_group_ids=json.dumps([group]), with_event=True
        )
        groups = self.client.describe_container_groups(request).body.container_groups
        return groups[0] if groups else None

    def test_life(self):
        content = base64.b64encode("schlüssel: wert + *~/=\n".encode()).decode()
        create = tea.CreateContainerGroupRequest(
            region_id=REGION, container_group_name="tea-life", cpu=0.7, memory=1.0, restart_policy="Never",
            client_token=str(uuid.uuid4()), share_process_namespace=False,
            tag=[tea.CreateContainerGroupRequestTag(key="k8s/ns", value="a b+c*~中")],
            dns_policy="None",
            dns_config=tea.CreateContainerGroupRequestDnsConfig(
                name_server=["10.0.0.10"], search=["svc.cluster.local"],
                option=[tea.CreateContainerGroupRequestDnsConfigOption(name="ndots", value="5")],
            ),
            host_aliase=[tea.CreateContainerGroupRequestHostAliase(ip="10.0.0.20", hostname=["kubernetes"])],
            volume=[tea.CreateContainerGroupRequestVolume(
                name="conf", type="ConfigFileVolume",
                config_file_volume=tea.CreateContainerGroupRequestVolumeConfigFileVolume(
                    default_mode=0o644,
                    config_file_to_path=[tea.CreateContainerGroupRequestVolumeConfigFileVolumeConfigFileToPath(
                        path="app.yaml", content=content,
                    )],
                ),
            )],
            container=[tea.CreateContainerGroupRequestContainer(
                name="c1", image="nginx:1.25", arg=["-c", 'echo "a b" > /tmp/x'], tty=False,
                environment_var=[
                    tea.CreateContainerGroupRequestContainerEnvironmentVar(key="EMPTY", value=""),
                    tea.CreateContainerGroupRequestContainerEnvironmentVar(
                        key="IP",
                        field_ref=tea.CreateContainerGroupRequestContainerEnvironmentVarFieldRef(
                            field_path="status.podIP"
                        ),
                    ),
                ],
                volume_mount=[tea.CreateContainerGroupRequestContainerVolumeMount(
                    name="conf", mount_path="/etc/app", read_only=True,
                )],
                readiness_probe=tea.CreateContainerGroupRequestContainerReadinessProbe(
                    tcp_socket=tea.CreateContainerGroupRequestContainerReadinessProbeTcpSocket(port=80),
                ),
            )],
        )
        group = self.client.create_container_group(create).body.container_group_id
        self.assertRegex(group, "^eci-[a-z0-9]{20}$")
        again = self.client.create_container_group(create).body.container_group_id
        self.assertEqual(again, group, "the same client token gives the same group")

        running = until("running", lambda: (g := self.describe(group)) and g.status == "Running" and g)
        self.assertEqual((running.cpu, running.memory), (1.0, 2.0))
        self.assertEqual(running.tags[0].value, "a b+c*~中")
        self.assertEqual(running.containers[0].args, ["-c", 'echo "a b" > /tmp/x'])
        self.assertEqual(running.volumes[0].config_file_volume_config_file_to_paths[0].content, content)
        self.assertEqual(running.dns_config.options[0].value, "5")

        status = self.client.describe_container_group_status(
            tea.DescribeContainerGroupStatusRequest(region_id=REGION, since_second=60)
        ).body.data
        mine = [item for item in status if item.container_group_id == group][0]
        self.assertEqual(mine.pod_status.pod_ip, running.intranet_ip)
        self.assertTrue(mine.pod_status.container_statuses[0].state.running.started_atstarted_at)

        log = self.client.describe_container_log(
            tea.DescribeContainerLogRequest(region_id=REGION, container_group_id=group, container_name="c1", tail=10)
        ).body
        self.assertIn("c1 of tea-life started", log.content)

        self.client.delete_container_group(
            tea.DeleteContainerGroupRequest(region_id=REGION, container_group_id=group)
        )
        until("the end", lambda: self.describe(group) is None)
        with self.assertRaises(TeaException) as refused:
            self.client.delete_container_group(
                tea.DeleteContainerGroupRequest(region_id=REGION, container_group_id=group)
            )
        self.assertEqual(refused.exception.code, "InvalidContainerGroupId.NotFound")

    def test_price_and_usage(self):
        price = self.client.describe_container_group_price(
            tea.DescribeContainerGroupPriceRequest(region_id=REGION, cpu=2.0, memory=4.0)
        ).body.price_info.price
        self.assertEqual((price.trade_price, price.currency), (0.00012252, "CNY"))
        usage = self.client.list_usage(tea.ListUsageRequest(region_id=REGION)).body.attributes
        self.assertGreater(usage["MaxCpu"], 0)
        regions = self.client.describe_regions(tea.DescribeRegionsRequest()).body.regions
        self.assertEqual(regions[0].region_id, REGION)

    def test_wrong_secret(self):
        config = openapi.Config(
            access_key_id=KEY, access_key_secret="guess", region_id=REGION, endpoint=address, protocol="HTTP",
            signature_algorithm=self.signature_algorithm,
        )
        with self.assertRaises(TeaException) as refused:
            TeaClient(config).describe_regions(tea.DescribeRegionsRequest())
        self.assertEqual(refused.exception.code, "SignatureDoesNotMatch")


class TeaSdk(Tea, unittest.TestCase):
    """ACS3-HMAC-SHA256."""


class TeaSdkV2(Tea, unittest.TestCase):
    """HMAC-SHA1 by the same SDK."""

    signature_algorithm = "v2"


class OldSdk(unittest.TestCase):
    """`aliyun-python-sdk-eci`: HMAC-SHA1, GET."""

    def setUp(self):
        self.client = AcsClient(KEY, SECRET, REGION, auto_retry=False)

    def call(self, request, client=None):
        request.set_endpoint(address)
        request.set_protocol_type("http")
        request.set_accept_format("json")
        return json.loads((client or self.client).do_action_with_exception(request))

    def describe(self, group):
        request = DescribeContainerGroupsRequest.DescribeContainerGroupsRequest()
        request.set_ContainerGroupIds(json.dumps([group]))
        groups = self.call(request)["ContainerGroups"]
        return groups[0] if groups else None

    def test_life(self):
        content = base64.b64encode(b"key: value").decode()
        create = CreateContainerGroupRequest.CreateContainerGroupRequest()
        create.set_ContainerGroupName("old-life")
        create.set_ClientToken(str(uuid.uuid4()))
        create.set_RestartPolicy("Never")
        create.set_Tags([{"Key": "k8s/ns", "Value": "a b+c*~中"}])
        create.set_Volumes([{
            "Name": "conf", "Type": "ConfigFileVolume",
            "ConfigFileVolume.ConfigFileToPaths": [{"Path": "app.yaml", "Content": content}],
        }])
        create.set_Containers([{
            "Name": "c1", "Image": "nginx:1.25", "Cpu": 0.25, "Memory": 0.5, "Args": ["-c", "echo 'a  b'"],
            "EnvironmentVars": [{"Key": "A", "Value": "b c"}],
        }])
        group = self.call(create)["ContainerGroupId"]
        running = until("running", lambda: (g := self.describe(group)) and g["Status"] == "Running" and g)
        self.assertEqual((running["Cpu"], running["Memory"]), (0.25, 0.5))
        self.assertEqual(running["Containers"][0]["Args"], ["-c", "echo 'a  b'"])
        self.assertEqual(running["Tags"], [{"Key": "k8s/ns", "Value": "a b+c*~中"}])

        status = DescribeContainerGroupStatusRequest.DescribeContainerGroupStatusRequest()
        status.set_ContainerGroupIds(json.dumps([group]))
        self.assertEqual(self.call(status)["Data"][0]["PodStatus"]["Phase"], "Running")

        log = DescribeContainerLogRequest.DescribeContainerLogRequest()
        log.set_ContainerGroupId(group)
        log.set_ContainerName("c1")
        self.assertIn("c1 of old-life started", self.call(log)["Content"])

        delete = DeleteContainerGroupRequest.DeleteContainerGroupRequest()
        delete.set_ContainerGroupId(group)
        self.call(delete)
        until("the end", lambda: self.describe(group) is None)

    def test_wrong_secret(self):
        client = AcsClient(KEY, "guess", REGION, auto_retry=False)
        with self.assertRaises(ServerException) as refused:
            self.call(DescribeContainerGroupsRequest.DescribeContainerGroupsRequest(), client)
        # This SDK explains a wrong secret itself when the server's string to sign is its own: so it is.
        self.assertIn(refused.exception.get_error_code(), ("SignatureDoesNotMatch", "InvalidAccessKeySecret"))


def send(method, query, headers=None):
    """Gives status and body of a hand-made request."""
    url = f"http://{address}/?" + urllib.parse.urlencode(query)
    request = urllib.request.Request(url, method=method, headers=headers or {}, data=b"" if method == "POST" else None)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def now(plus=0):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + plus))


def encode(text):
    return urllib.parse.quote(text, safe="-_.~")


def v1(action, params=(), secret=SECRET, nonce=None, date=None, key=KEY):
    """Signs by HMAC-SHA1, written from the public document and sharing no code with mock-eci."""
    query = {
        "Action": action, "Version": "2018-08-08", "Format": "JSON", "AccessKeyId": key,
        "SignatureMethod": "HMAC-SHA1", "SignatureVersion": "1.0", "SignatureNonce": nonce or uuid.uuid4().hex,
        "Timestamp": date or now(), "RegionId": REGION, **dict(params),
    }
    canonical = "&".join(f"{encode(k)}={encode(v)}" for k, v in sorted(query.items()))
    text = f"GET&%2F&{encode(canonical)}"
    digest = hmac.new(f"{secret}&".encode(), text.encode(), hashlib.sha1).digest()
    return "GET", {**query, "Signature": base64.b64encode(digest).decode()}, None


def v3(action, params=(), secret=SECRET, nonce=None, date=None, key=KEY):
    """The same by ACS3-HMAC-SHA256."""
    query = {"RegionId": REGION, **dict(params)}
    body_hash = hashlib.sha256(b"").hexdigest()
    headers = {
        "host": address, "x-acs-action": action, "x-acs-version": "2018-08-08", "x-acs-date": date or now(),
        "x-acs-signature-nonce": nonce or uuid.uuid4().hex, "x-acs-content-sha256": body_hash,
    }
    names = sorted(headers)
    canonical = "\n".join([
        "POST", "/", "&".join(f"{encode(k)}={encode(v)}" for k, v in sorted(query.items())),
        "".join(f"{n}:{headers[n]}\n" for n in names), ";".join(names), body_hash,
    ])
    text = "ACS3-HMAC-SHA256\n" + hashlib.sha256(canonical.encode()).hexdigest()
    signature = hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()
    headers["Authorization"] = (
        f"ACS3-HMAC-SHA256 Credential={key},SignedHeaders={';'.join(names)},Signature={signature}"
    )
    return "POST", query, headers


class Authentication(unittest.TestCase):
    """ECI's codes for whoever may not call, for both signatures."""

    def check(self, signed, status, code):
        got, body = send(*signed)
        self.assertEqual((got, body.get("Code")), (status, code))

    def test_codes(self):
        for sign in (v1, v3):
            with self.subTest(sign.__name__):
                self.check(sign("DescribeRegions"), 200, None)
                self.check(sign("DescribeRegions", secret="guess"), 400, "SignatureDoesNotMatch")
                self.check(sign("DescribeRegions", key="nobody"), 404, "InvalidAccessKeyId.NotFound")
                self.check(sign("DescribeRegions", date=now(-16 * 60)), 400, "InvalidTimeStamp.Expired")
                self.check(sign("DescribeRegions", date=now(16 * 60)), 400, "InvalidTimeStamp.Expired")
                self.check(sign("DescribeRegions", date="yesterday"), 400, "InvalidTimeStamp.Format")
                nonce = uuid.uuid4().hex
                self.check(sign("DescribeRegions", nonce=nonce), 200, None)
                self.check(sign("DescribeRegions", nonce=nonce), 400, "SignatureNonceUsed")
                self.check(sign("NoSuchAction"), 404, "InvalidAction.NotFound")
                self.check(sign("ExecContainerCommand"), 400, "UnsupportedOperation")


class Models(unittest.TestCase):
    """Every field that is answered is one the SDK's models know, and of their type."""

    def check(self, action, params, model):
        status, answer = send(*v3(action, params))
        self.assertEqual(status, 200, answer)
        self.assertEqual(unknown_fields(answer, model().from_map(json.loads(json.dumps(answer))).to_map()), [])
        return answer

    def test_fields(self):
        params = {
            "ContainerGroupName": "models", "SpotStrategy": "SpotWithPriceLimit", "SpotPriceLimit": "0.5",
            "RestartPolicy": "Always", "Tag.1.Key": "k", "Tag.1.Value": "v",
            "Container.1.Name": "c", "Container.1.Image": "i", "Container.1.Command.1": "x",
            "Container.1.Port.1.Port": "80", "Container.1.EnvironmentVar.1.Key": "MOCK_ECI_EXIT_AFTER_MS",
            "Container.1.EnvironmentVar.1.Value": "50", "Container.1.EnvironmentVar.2.Key": "IP",
            "Container.1.EnvironmentVar.2.FieldRef.FieldPath": "status.podIP",
            "Container.1.LivenessProbe.Exec.Command.1": "true", "Container.1.ReadinessProbe.HttpGet.Port": "80",
            "Container.1.VolumeMount.1.Name": "e", "Container.1.VolumeMount.1.MountPath": "/e",
            "InitContainer.1.Name": "i", "InitContainer.1.Image": "i", "InitContainer.1.Command.1": "x",
            "InitContainer.1.VolumeMount.1.Name": "e", "InitContainer.1.VolumeMount.1.MountPath": "/e",
            "Volume.1.Name": "e", "Volume.1.Type": "EmptyDirVolume", "Volume.1.EmptyDirVolume.SizeLimit": "1Gi",
            "Volume.2.Name": "f", "Volume.2.Type": "ConfigFileVolume",
            "Volume.2.ConfigFileVolume.ConfigFileToPath.1.Path": "p",
            "Volume.2.ConfigFileVolume.ConfigFileToPath.1.Content": "eA==",
            "DnsConfig.NameServer.1": "10.0.0.1", "DnsConfig.Option.1.Name": "n",
            "HostAliase.1.Ip": "10.0.0.2", "HostAliase.1.Hostname.1": "h",
            "SecurityContext.Sysctl.1.Name": "net.ipv4.ping_group_range", "SecurityContext.Sysctl.1.Value": "0 0",
        }
        created = self.check("CreateContainerGroup", params, tea.CreateContainerGroupResponseBody)
        ids = {"ContainerGroupIds": json.dumps([created["ContainerGroupId"]])}

        def back_off():
            _, answer = send(*v3("DescribeContainerGroups", ids))
            return answer["ContainerGroups"][0]["Containers"][0]["CurrentState"]["DetailStatus"] == "CrashLoopBackOff"

        until("a back-off, where all states are used", back_off)
        groups = self.check("DescribeContainerGroups", {**ids, "WithEvent": "true"},
                            tea.DescribeContainerGroupsResponseBody)
        self.assertTrue(groups["ContainerGroups"][0]["Events"])
        self.check("DescribeContainerGroupStatus", ids, tea.DescribeContainerGroupStatusResponseBody)
        self.check("DescribeContainerGroupEvents", ids, tea.DescribeContainerGroupEventsResponseBody)
        self.check("DescribeContainerLog", {"ContainerGroupId": created["ContainerGroupId"], "ContainerName": "c"},
                   tea.DescribeContainerLogResponseBody)
        self.check("DescribeContainerGroupPrice", {"Cpu": "1", "Memory": "2", "SpotStrategy": "SpotAsPriceGo"},
                   tea.DescribeContainerGroupPriceResponseBody)
        self.check("DescribeRegions", {}, tea.DescribeRegionsResponseBody)
        self.check("ListUsage", {}, tea.ListUsageResponseBody)
        self.check("DeleteContainerGroup", {"ContainerGroupId": created["ContainerGroupId"], "Force": "true"},
                   tea.DeleteContainerGroupResponseBody)


if __name__ == "__main__":
    unittest.main(verbosity=2)
