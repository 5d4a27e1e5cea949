"""The life of a container group, by the official Python SDK, on mock-eci.

    pip install alibabacloud_eci20180808
    cargo run -p mock-eci &
    python life.py
"""

import json
import os
import time

from alibabacloud_eci20180808 import models as eci
from alibabacloud_eci20180808.client import Client
from alibabacloud_tea_openapi.models import Config

REGION = "cn-hangzhou"

client = Client(Config(
    access_key_id=os.environ.get("ALIBABA_CLOUD_ACCESS_KEY_ID", "testid"),
    access_key_secret=os.environ.get("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "testsecret"),
    region_id=REGION,
    # The only two lines that differ from the real service.
    endpoint=os.environ.get("ECI_ENDPOINT", "127.0.0.1:8090"),
    protocol="HTTP",
))

group = client.create_container_group(eci.CreateContainerGroupRequest(
    region_id=REGION, container_group_name="hello", cpu=0.5, memory=1.0, restart_policy="Never",
    container=[eci.CreateContainerGroupRequestContainer(
        name="hello", image="registry.cn-hangzhou.aliyuncs.com/eci_open/busybox:1.30", command=["sh", "-c"],
        arg=["echo hello; sleep 3600"],
    )],
)).body.container_group_id
print("created", group)

for _ in range(300):
    found = client.describe_container_groups(eci.DescribeContainerGroupsRequest(
        region_id=REGION, container_group_ids=json.dumps([group]),
    )).body.container_groups[0]
    if found.status == "Running":
        break
    time.sleep(0.2)
print(found.status, "at", found.intranet_ip)

log = client.describe_container_log(eci.DescribeContainerLogRequest(
    region_id=REGION, container_group_id=group, container_name="hello", tail=10,
)).body.content
print(log, end="")

client.delete_container_group(eci.DeleteContainerGroupRequest(region_id=REGION, container_group_id=group))
print("deleted", group)
