"""The one script that every SDK runs: all operations of ECI, right and wrong.

A step is data. `$name` in parameters stands for what an earlier step kept under this name. `sees` says what must stand at a path
of the answer: a value, or ANY for something that is not empty.

Parameters are given in full where the old SDK would else send `None` in their place. The init container leaves one out all the
same: mock-eci takes it as not given.
"""

import base64
import dataclasses
import json


class Any:
    def __repr__(self):
        return "ANY"


ANY = Any()


@dataclasses.dataclass
class Holding:
    """A list in which this is."""

    item: object


@dataclasses.dataclass
class Call:
    """A call that must succeed and show something."""

    operation: str
    parameters: dict
    sees: dict = dataclasses.field(default_factory=dict)
    # Name: path of the answer whose value is kept under it.
    keep: dict = dataclasses.field(default_factory=dict)
    # Asked again until it shows that; only the last answer counts.
    wait: bool = False
    # Seconds that the clock is moved on when it does not show that for a while: what was on its way when the clock was moved
    # before counts its time from its arrival.
    moving: int = 0


@dataclasses.dataclass
class Wrong:
    """A call that must be refused, with the error table's code and HTTP status."""

    operation: str
    parameters: dict
    code: str
    status: int


@dataclasses.dataclass
class Steer:
    """What no SDK can do: something that happens in the cloud."""

    route: str
    body: dict


def wait(operation, parameters, sees, **more):
    return Call(operation, parameters, sees, wait=True, **more)


def describe(group, **more):
    return {"ContainerGroupIds": json.dumps([group]), **more}


def container(name="c", **more):
    return {"Name": name, "Image": "registry.example/app:1.0", **more}


def group(name, **more):
    return {"ContainerGroupName": name, "Container": [container()], **more}


def b64(text):
    return base64.b64encode(text.encode()).decode()


CONFIG = b64("schlüssel: wert + *~/=\n")
TAG = {"Key": "k8s/ns", "Value": "a b+c*~中"}

WEB = {
    "ContainerGroupName": "web", "RestartPolicy": "Always", "ClientToken": "web-1", "SpotStrategy": "NoSpot",
    "Tag": [TAG, {"Key": "app", "Value": "shop"}],
    "DnsPolicy": "None",
    "DnsConfig": {
        "NameServer": ["10.0.0.10"], "Search": ["svc.cluster.local", "cluster.local"],
        "Option": [{"Name": "ndots", "Value": "5"}],
    },
    "HostAliase": [{"Ip": "10.0.0.20", "Hostname": ["kubernetes", "api"]}],
    "SecurityContext": {"Sysctl": [{"Name": "net.ipv4.ping_group_range", "Value": "0 100"}]},
    "Volume": [
        {"Name": "conf", "Type": "ConfigFileVolume",
         "ConfigFileVolume": {"ConfigFileToPath": [{"Path": "app.yaml", "Content": CONFIG}]}},
        {"Name": "scratch", "Type": "EmptyDirVolume", "EmptyDirVolume": {"Medium": "Memory"}},
    ],
    "InitContainer": [container("init", Command=["sh", "-c", "true"], VolumeMount=[{"Name": "scratch", "MountPath": "/s"}])],
    "Container": [
        container(
            "c", Cpu=0.5, Memory=1.0, ImagePullPolicy="IfNotPresent", WorkingDir="/srv", Command=["sh"],
            Arg=["-c", 'echo "a b" > /tmp/x'],
            Port=[{"Port": 8080, "Protocol": "TCP"}],
            EnvironmentVar=[
                {"Key": "EMPTY", "Value": ""}, {"Key": "GREETING", "Value": "a b+c"},
                {"Key": "IP", "Value": "", "FieldRef": {"FieldPath": "status.podIP"}},
            ],
            VolumeMount=[
                {"Name": "conf", "MountPath": "/etc/app", "ReadOnly": True}, {"Name": "scratch", "MountPath": "/scratch", "ReadOnly": False},
            ],
            ReadinessProbe={"TcpSocket": {"Port": 8080}, "PeriodSeconds": 5},
            LivenessProbe={"Exec": {"Command": ["true"]}, "FailureThreshold": 5},
        ),
        container("sidecar", Cpu=0.2, Memory=0.5),
    ],
}

# It ends by itself, one second after its start, with code 3.
JOB = group(
    "job", RestartPolicy="Never", Cpu=0.25, Memory=0.5,
    Container=[container(EnvironmentVar=[
        {"Key": "MOCK_ECI_EXIT_AFTER_MS", "Value": "1000"}, {"Key": "MOCK_ECI_EXIT_CODE", "Value": "3"},
    ])],
)

# It ends a second after each start and is started again, later each time.
CRASH = group(
    "crash", RestartPolicy="Always", Container=[container(EnvironmentVar=[{"Key": "MOCK_ECI_EXIT_AFTER_MS", "Value": "1000"}])],
)

TABLE = "ContainerGroups.0"

# The region and what it has.
OFFER = [
    Call("DescribeRegions", {}, {"Regions.0.RegionId": "cn-hangzhou", "Regions.0.Zones.0": ANY, "Regions.0.RegionEndpoint": ANY},
         keep={"zone": "Regions.0.Zones.0"}),
    Call("ListUsage", {}, {"Attributes.MaxCpu": ANY, "Attributes.UsedCpu": 0.0}),
    Call("DescribeContainerGroupPrice", {"Cpu": 2.0, "Memory": 4.0}, {
        "PriceInfo.Price.TradePrice": 0.00012252, "PriceInfo.Price.Currency": "CNY",
        "PriceInfo.Price.DetailInfos.DetailInfo.0.Resource": ANY,
    }),
    Call("DescribeContainerGroupPrice", {"Cpu": 2.0, "Memory": 4.0, "SpotStrategy": "SpotAsPriceGo"},
         {"PriceInfo.SpotPrices.SpotPrice.0.SpotPrice": ANY}),
    Call("DescribeAvailableResource", {"DestinationResource": {"Category": "InstanceTypeFamily", "Value": "ecs.c6"}},
         {"AvailableZones.AvailableZone.0.AvailableResources.AvailableResource.0.SupportedResources.SupportedResource.0.StatusCategory": ANY}),
    Wrong("DescribeContainerGroupPrice", {"Cpu": 1000.0, "Memory": 4.0}, "InvalidParam.CpuOrMemorySpec", 400),
    Wrong("DescribeAvailableResource", {"DestinationResource": {"Category": "Planet"}}, "InvalidParameter", 400),
]

# A group with all that is common.
GROUP = [
    Wrong("CreateContainerGroup", {**WEB, "ClientToken": "dry", "DryRun": True}, "DryRunOperation", 400),
    Call("CreateContainerGroup", WEB, {"ContainerGroupId": ANY}, keep={"web": "ContainerGroupId"}),
    Call("CreateContainerGroup", WEB, {"ContainerGroupId": "$web"}),
    Wrong("CreateContainerGroup", {**WEB, "ContainerGroupName": "other"}, "IdempotentParameterMismatch", 400),
    wait("DescribeContainerGroups", describe("$web", WithEvent=True), {
        "TotalCount": 1, f"{TABLE}.Status": "Running", f"{TABLE}.Cpu": 1.0, f"{TABLE}.Memory": 2.0,
        f"{TABLE}.Tags.0": TAG, f"{TABLE}.IntranetIp": ANY, f"{TABLE}.Events.0.Reason": ANY,
        f"{TABLE}.Containers.0.Args": ["-c", 'echo "a b" > /tmp/x'], f"{TABLE}.Containers.0.Commands": ["sh"],
        f"{TABLE}.Containers.0.CurrentState.State": "Running", f"{TABLE}.Containers.0.Ready": True,
        f"{TABLE}.Containers.0.EnvironmentVars.2.ValueFrom.FieldRef.FieldPath": "status.podIP",
        f"{TABLE}.InitContainers.0.Command": ["sh", "-c", "true"],
        f"{TABLE}.InitContainers.0.CurrentState.State": "Terminated",
        f"{TABLE}.InitContainers.0.CurrentState.ExitCode": 0,
        f"{TABLE}.Volumes.0.ConfigFileVolumeConfigFileToPaths.0.Content": CONFIG,
        f"{TABLE}.DnsConfig.Options.0.Value": "5", f"{TABLE}.HostAliases.0.Hostnames": ["kubernetes", "api"],
        f"{TABLE}.EciSecurityContext.Sysctls.0.Value": "0 100",
    }),
    Call("DescribeContainerGroups", {"Tag": [TAG], "Status": "Running", "ContainerGroupName": "web"}, {"TotalCount": 1}),
    Call("DescribeContainerGroups", {"Tag": [{"Key": "app", "Value": "bank"}]}, {"TotalCount": 0}),
    Call("DescribeContainerGroupStatus", describe("$web", SinceSecond=60), {
        "Data.0.ContainerGroupId": "$web", "Data.0.Status": "Running", "Data.0.PodStatus.Phase": "Running",
        "Data.0.PodStatus.PodIp": ANY, "Data.0.PodStatus.ContainerStatuses.0.State.Running.StartedAtstartedAt": ANY,
        "Data.0.PodStatus.ContainerStatuses.0.Ready": True, "Data.0.PodStatus.Conditions.0.type": ANY,
    }),
    Call("DescribeContainerGroupEvents", describe("$web"), {
        "Data.0.ContainerGroupId": "$web", "Data.0.Events.0.Reason": ANY, "Data.0.Events.0.involvedObject.Kind": ANY,
    }),
    Call("DescribeContainerLog", {"ContainerGroupId": "$web", "ContainerName": "c", "Tail": 10, "Timestamps": True},
         {"ContainerName": "c", "Content": ANY}),
    Call("ListUsage", {}, {"Attributes.UsedCpu": 1.0}),
]

# Commands, and what it uses.
EXEC = [
    Call("ExecContainerCommand", {
        "ContainerGroupId": "$web", "ContainerName": "c", "Command": '["echo", "hello"]', "Sync": True, "TTY": False,
    }, {"SyncResponse": "hello\n"}),
    Call("ExecContainerCommand", {"ContainerGroupId": "$web", "ContainerName": "c", "Command": '["/bin/sh"]', "TTY": True},
         {"WebSocketUri": ANY, "HttpUrl": ANY}),
    Wrong("ExecContainerCommand", {
        "ContainerGroupId": "$web", "ContainerName": "c", "Command": json.dumps(["echo", "x" * 5000]),
    }, "InvalidParameter.ValueExceeded", 400),
    Wrong("ExecContainerCommand", {
        "ContainerGroupId": "$web", "ContainerName": "c", "Command": '["ls"]', "Sync": True, "TTY": True,
    }, "InvalidParameter", 400),
    Steer("advance", {"seconds": 120}),
    wait("DescribeContainerGroupMetric", {"ContainerGroupId": "$web"}, {
        "ContainerGroupId": "$web", "Records.0.Timestamp": ANY, "Records.0.CPU.Limit": 1000, "Records.0.Memory.UsageBytes": ANY,
        "Records.0.Containers.0.Name": ANY,
    }),
    wait("DescribeMultiContainerGroupMetric", describe("$web", MetricType="summary"),
         {"MonitorDatas.0.ContainerGroupId": "$web", "MonitorDatas.0.Records.0.Memory.WorkingSet": ANY}),
    Wrong("DescribeContainerGroupMetric", {"ContainerGroupId": "$web", "Period": "7"}, "InvalidParameter", 400),
]

# Changes.
UPDATE = [
    Call("UpdateContainerGroup", {
        "ContainerGroupId": "$web", "UpdateType": "IncrementalUpdate", "ClientToken": "web-2",
        "Container": [{"Name": "sidecar", "Image": "registry.example/sidecar:2.0"}],
    }),
    wait("DescribeContainerGroups", describe("$web"), {
        f"{TABLE}.Status": "Running", f"{TABLE}.Containers.1.Image": "registry.example/sidecar:2.0",
        f"{TABLE}.Containers.0.Image": "registry.example/app:1.0",
    }),
    Wrong("UpdateContainerGroup", {"ContainerGroupId": "$web", "UpdateType": "Sometimes"}, "InvalidParameter", 400),
    Call("RestartContainerGroup", {"ContainerGroupId": "$web", "ClientToken": "web-3"}),
    wait("DescribeContainerGroups", describe("$web"), {f"{TABLE}.Status": "Running", f"{TABLE}.Containers.0.Ready": True}),
]

# A disk that grows.
DISK = [
    Call("CreateContainerGroup", group("disk", Volume=[{
        "Name": "data", "Type": "FlexVolume",
        "FlexVolume": {"Driver": "alicloud/disk", "FsType": "ext4", "Options": '{"volumeSize": "20"}'},
    }]), {"ContainerGroupId": ANY}, keep={"disk": "ContainerGroupId"}),
    wait("DescribeContainerGroups", describe("$disk"),
         {f"{TABLE}.Status": "Running", f"{TABLE}.Volumes.0.FlexVolumeDriver": "alicloud/disk"}),
    Call("ResizeContainerGroupVolume", {"ContainerGroupId": "$disk", "VolumeName": "data", "NewSize": 40}),
    Wrong("ResizeContainerGroupVolume", {"ContainerGroupId": "$disk", "VolumeName": "data", "NewSize": 30}, "InvalidParameter", 400),
    Call("DeleteContainerGroup", {"ContainerGroupId": "$disk"}),
]

# A job that fails.
JOBS = [
    Call("CreateContainerGroup", JOB, {"ContainerGroupId": ANY}, keep={"job": "ContainerGroupId"}),
    wait("DescribeContainerGroups", describe("$job"), {f"{TABLE}.Status": "Running"}),
    Steer("advance", {"seconds": 2}),
    wait("DescribeContainerGroups", describe("$job"), {
        f"{TABLE}.Status": "Failed", f"{TABLE}.FailedTime": ANY, f"{TABLE}.Containers.0.CurrentState.ExitCode": 3,
        f"{TABLE}.Containers.0.CurrentState.State": "Terminated",
    }),
    Call("DescribeContainerGroupStatus", describe("$job"),
         {"Data.0.PodStatus.Phase": "Failed", "Data.0.PodStatus.ContainerStatuses.0.State.Terminated.ExitCode": 3}),
    Wrong("RestartContainerGroup", {"ContainerGroupId": "$job"}, "IncorrectStatus", 400),
    Wrong("UpdateContainerGroup", {"ContainerGroupId": "$job", "Container": [container()]}, "IncorrectStatus", 400),
    Wrong("ExecContainerCommand", {"ContainerGroupId": "$job", "ContainerName": "c", "Command": '["ls"]'}, "IncorrectStatus", 400),
]

# Lists in pages.
PAGES = [
    Call("DescribeContainerGroups", {"Limit": 1},
         {"TotalCount": 2, "ContainerGroups.0.ContainerGroupId": ANY, "ContainerGroups.1": None, "NextToken": ANY},
         keep={"first": "ContainerGroups.0.ContainerGroupId", "page": "NextToken"}),
    Call("DescribeContainerGroups", {"Limit": 1, "NextToken": "$page"},
         {"ContainerGroups.0.ContainerGroupId": ANY, "ContainerGroups.1": None, "NextToken": ""},
         keep={"second": "ContainerGroups.0.ContainerGroupId"}),
    Call("DescribeContainerGroups", {"ContainerGroupIds": '["$first", "$second"]'}, {"TotalCount": 2}),
    Call("DescribeContainerGroupStatus", {"Limit": 1, "Tag": [TAG]}, {"TotalCount": 1, "Data.0.ContainerGroupId": "$web"}),
    Wrong("DescribeContainerGroups", {"NextToken": "nonsense"}, "InvalidParameter", 400),
]

# A container that cannot stay, where all of its states are used.
BACK_OFF = [
    Call("CreateContainerGroup", CRASH, {"ContainerGroupId": ANY}, keep={"crash": "ContainerGroupId"}),
    wait("DescribeContainerGroups", describe("$crash"), {f"{TABLE}.Status": "Running"}),
    Steer("advance", {"seconds": 2}),
    wait("DescribeContainerGroups", describe("$crash", WithEvent=True), {f"{TABLE}.Containers.0.RestartCount": 1}),
    Steer("advance", {"seconds": 2}),
    wait("DescribeContainerGroups", describe("$crash"), {
        f"{TABLE}.Status": "Running", f"{TABLE}.Containers.0.CurrentState.State": "Waiting",
        f"{TABLE}.Containers.0.CurrentState.DetailStatus": "CrashLoopBackOff",
        f"{TABLE}.Containers.0.PreviousState.State": "Terminated",
    }),
    Call("DescribeContainerGroupStatus", describe("$crash"), {
        "Data.0.PodStatus.ContainerStatuses.0.State.Waiting.Reason": "CrashLoopBackOff",
        "Data.0.PodStatus.ContainerStatuses.0.LastState.Terminated.FinishedAt": ANY,
    }),
    Call("DescribeContainerGroupEvents", describe("$crash"), {"Data.0.Events.0.Reason": ANY}),
    Call("DescribeContainerLog", {"ContainerGroupId": "$crash", "ContainerName": "c", "LastTime": True}, {"Content": ANY}),
    Call("DeleteContainerGroup", {"ContainerGroupId": "$crash"}),
]

# A container becomes an image.
COMMIT = [
    Call("CommitContainer", {
        "ContainerGroupId": "$web", "ContainerName": "c", "Image": {"Repository": "registry.example/app", "Tag": "2.0", "Message": "with data", "Author": "me"},
        "Arn": {"RoleArn": "acs:ram::1:role/push", "RoleType": "service"},
    }, {"TaskId": ANY}, keep={"commit": "TaskId"}),
    Call("DescribeCommitContainerTask", {"TaskId": ["$commit"]}, {
        "CommitTasks.0.TaskId": "$commit", "CommitTasks.0.ContainerName": "c", "CommitTasks.0.TaskStatus": ANY,
    }),
]

# Diagnosis.
OPS = [
    Call("CreateInstanceOpsTask", {"ContainerGroupId": "$web", "OpsType": "coredump", "OpsValue": "enable"}, {"Result": ANY}),
    Call("DescribeInstanceOpsRecords", {"ContainerGroupId": "$web", "OpsType": "coredump"},
         {"Records.0.OpsType": "coredump", "Records.0.OpsStatus": ANY}),
    Wrong("CreateInstanceOpsTask", {"ContainerGroupId": "$web", "OpsType": "surgery", "OpsValue": "enable"}, "InvalidParameter", 400),
]

# Tags.
TAGS = [
    Call("TagResources", {"ResourceType": "ContainerGroup", "ResourceId": ["$web"], "Tag": [{"Key": "tier", "Value": "front"}]}),
    Call("ListTagResources", {"ResourceType": "ContainerGroup", "ResourceId": ["$web"], "Tag": [{"Key": "tier", "Value": "front"}]},
         {"TagResources": Holding({"ResourceType": "ContainerGroup", "ResourceId": "$web", "TagKey": "tier", "TagValue": "front"})}),
    Call("UntagResources", {"ResourceType": "ContainerGroup", "ResourceId": ["$web"], "TagKey": ["tier"]}),
    Call("ListTagResources", {"ResourceType": "ContainerGroup", "ResourceId": ["$web"], "Tag": [{"Key": "tier"}]}, {"TagResources": []}),
    Wrong("TagResources", {
        "ResourceType": "ContainerGroup", "ResourceId": ["$web"], "Tag": [{"Key": f"k{n}", "Value": "v"} for n in range(20)],
    }, "NumberExceed.Tags", 400),
]

# Image caches.
IMAGE_CACHES = [
    Call("CreateImageCache", {
        "ImageCacheName": "shop", "Image": ["registry.example/app:1.0", "registry.example/sidecar:2.0"], "ImageCacheSize": 25,
        "Tag": [{"Key": "app", "Value": "shop"}], "ClientToken": "cache-1", "EliminationStrategy": "LRU",
    }, {"ImageCacheId": ANY, "ContainerGroupId": ANY}, keep={"imc": "ImageCacheId"}),
    wait("DescribeImageCaches", {"ImageCacheId": "$imc"}, {
        "ImageCaches.0.ImageCacheName": "shop", "ImageCaches.0.Status": "Creating",
        "ImageCaches.0.Images": ["registry.example/app:1.0", "registry.example/sidecar:2.0"],
    }),
    Steer("advance", {"seconds": 3600}),
    wait("DescribeImageCaches", {"Tag": [{"Key": "app", "Value": "shop"}]},
         {"ImageCaches.0.ImageCacheId": "$imc", "ImageCaches.0.Status": "Ready", "ImageCaches.0.Progress": "100%"}, moving=3600),
    Call("UpdateImageCache", {"ImageCacheId": "$imc", "ImageCacheName": "shop-2", "Image": ["registry.example/app:1.1"]}),
    Steer("advance", {"seconds": 3600}),
    wait("DescribeImageCaches", {"ImageCacheName": "shop-2"},
         {"ImageCaches.0.Status": "Ready", "ImageCaches.0.Images": ["registry.example/app:1.1"]}, moving=3600),
    Call("DeleteImageCache", {"ImageCacheId": "$imc"}),
    wait("DescribeImageCaches", {"ImageCacheId": "$imc"}, {"ImageCaches": []}),
    Wrong("CreateImageCache", {"ImageCacheName": "empty"}, "MissingParameter", 400),
]

# Data caches.
DATA_CACHES = [
    Call("CreateDataCache", {
        "Bucket": "models", "Path": "/bert", "Name": "bert", "Size": 30, "RetentionDays": 7,
        "DataSource": {"Type": "URL", "Options": {"repoSource": "HuggingFace/Model", "repoId": "bert-base"}},
        "EipCreateParam": {"Bandwidth": 50}, "Tag": [{"Key": "app", "Value": "shop"}],
    }, {"DataCacheId": ANY}, keep={"edc": "DataCacheId"}),
    Steer("advance", {"seconds": 3600}),
    wait("DescribeDataCaches", {"DataCacheId": ["$edc"]}, {
        "DataCaches.0.Status": "Available", "DataCaches.0.Bucket": "models", "DataCaches.0.Path": "/bert",
        "DataCaches.0.Size": 30, "DataCaches.0.DataSource.Type": "URL", "DataCaches.0.DataSource.Options": ANY,
    }, moving=3600),
    Call("CopyDataCache", {
        "DataCacheId": "$edc", "DestinationRegionId": "cn-hangzhou", "Bucket": "models", "Path": "/bert-copy", "Name": "copy",
    }, {"DataCacheId": ANY}, keep={"copy": "DataCacheId"}),
    Call("UpdateDataCache", {"DataCacheId": "$edc", "Name": "bert-2", "Size": 40}),
    Steer("advance", {"seconds": 3600}),
    wait("DescribeDataCaches", {"Bucket": "models", "Path": "/bert"},
         {"DataCaches.0.Name": "bert-2", "DataCaches.0.Size": 40, "DataCaches.0.Status": "Available"}, moving=3600),
    Call("DeleteDataCache", {"DataCacheId": "$edc"}),
    wait("DescribeDataCaches", {"DataCacheId": ["$edc"]}, {"DataCaches": []}),
    Wrong("CreateDataCache", {"Bucket": "models", "Path": "/x", "Name": "x", "DataSource": {"Type": "TAPE"}}, "InvalidParameter", 400),
]

# Virtual nodes.
VIRTUAL_NODES = [
    Call("CreateVirtualNode", {
        "VirtualNodeName": "vn-1", "SecurityGroupId": "sg-1", "VSwitchId": "vsw-1", "KubeConfig": b64("apiVersion: v1\n"),
        "Taint": [{"Key": "vn", "Value": "yes", "Effect": "NoSchedule"}], "Tag": [{"Key": "app", "Value": "shop"}],
    }, {"VirtualNodeId": ANY}, keep={"vnd": "VirtualNodeId"}),
    Steer("advance", {"seconds": 600}),
    wait("DescribeVirtualNodes", {"VirtualNodeIds": '["$vnd"]'},
         {"VirtualNodes.0.VirtualNodeName": "vn-1", "VirtualNodes.0.Status": "Ready", "VirtualNodes.0.VirtualNodeSecurityGroupId": "sg-1"}, moving=600),
    Call("UpdateVirtualNode", {"VirtualNodeId": "$vnd", "VirtualNodeName": "vn-2"}),
    wait("DescribeVirtualNodes", {"VirtualNodeName": "vn-2"}, {"VirtualNodes.0.VirtualNodeId": "$vnd"}),
    Call("DeleteVirtualNode", {"VirtualNodeId": "$vnd"}),
    wait("DescribeVirtualNodes", {"VirtualNodeIds": '["$vnd"]'}, {"VirtualNodes": []}),
    Wrong("CreateVirtualNode", {"VirtualNodeName": "vn-3", "VSwitchId": "vsw-1"}, "MissingParameter", 400),
]

# What is wrong with a group.
WRONG = [
    Wrong("CreateContainerGroup", {"Container": [container()]}, "MissingParameter", 400),
    Wrong("CreateContainerGroup", {"ContainerGroupName": "none"}, "MissingParameter", 400),
    Wrong("CreateContainerGroup", group("Not_A_Name"), "InvalidParameter", 400),
    Wrong("CreateContainerGroup", group("wrong", RestartPolicy="Sometimes"), "InvalidParameter", 400),
    Wrong("CreateContainerGroup", group("wrong", Container=[container(), container()]), "InvalidParameter.DuplicatedName", 400),
    Wrong("CreateContainerGroup", group("wrong", Volume=[{"Name": "v", "Type": "EmptyDirVolume"}] * 2),
          "InvalidParameter.DuplicatedVolumeName", 400),
    Wrong("CreateContainerGroup", group("wrong", Cpu=100.0, Memory=4.0), "InvalidParameter.CPU.Memory", 400),
    Wrong("CreateContainerGroup", group("wrong", SpotStrategy="SpotWithPriceLimit"), "MissingParameter", 400),
    Wrong("CreateContainerGroup", group("wrong", Container=[container(VolumeMount=[{"Name": "nothing", "MountPath": "/x", "ReadOnly": True}])]),
          "InvalidParameter", 400),
    Wrong("CreateContainerGroup", group("wrong", Container=[container(LivenessProbe={"SuccessThreshold": 1})]), "InvalidParameter", 400),
    Wrong("CreateContainerGroup", group("wrong", Tag=[{"Key": "acs:mine", "Value": "v"}]), "InvalidParameter", 400),
    Wrong("CreateContainerGroup", group("wrong", ZoneId="cn-hangzhou-z"), "Zone.NotOnSale", 403),
    Wrong("CreateContainerGroup", group("wrong", RegionId="mars-1"), "InvalidRegionId.NotFound", 404),
    Wrong("DescribeContainerGroups", {"Limit": 100}, "InvalidParameter", 400),
    Wrong("CreateContainerGroup", group("wrong", Cpu=2.0, Memory=6.0, SpotStrategy="SpotAsPriceGo"), "InvalidSpotCpuMemorySpec", 400),
    Wrong("DescribeContainerGroups", {"ContainerGroupIds": "eci-1"}, "InvalidParameter", 400),
    Wrong("DescribeContainerGroupStatus", {"SinceSecond": 5}, "InvalidParameter", 400),
    Wrong("DescribeContainerLog", {"ContainerGroupId": "$web", "ContainerName": "nobody"}, "InvalidContainerName.NotFound", 404),
    Wrong("DescribeContainerLog", {"ContainerGroupId": "eci-00000000000000000000", "ContainerName": "c"},
          "InvalidContainerGroupId.NotFound", 404),
    Wrong("DeleteContainerGroup", {"ContainerGroupId": "eci-00000000000000000000"}, "InvalidContainerGroupId.NotFound", 404),
]

# What the cloud may say.
CLOUD = [
    Steer("faults", {"action": "CreateContainerGroup", "times": 1, "kind": "error", "code": "OperationDenied.NoStock", "status": 403}),
    Wrong("CreateContainerGroup", group("wrong"), "OperationDenied.NoStock", 403),
    Steer("faults", {"action": "DescribeRegions", "times": 1, "kind": "error", "code": "Throttling", "status": 400}),
    Wrong("DescribeRegions", {}, "Throttling", 400),
    Steer("usage", {"max-cpu": 1}),
    Wrong("CreateContainerGroup", group("wrong"), "QuotaExceeded", 403),
    Steer("usage", {"max-cpu": 1000}),
]

# The end.
END = [
    Call("DeleteContainerGroup", {"ContainerGroupId": "$web", "ClientToken": "web-4"}),
    Steer("advance", {"seconds": 60}),
    wait("DescribeContainerGroups", describe("$web"), {"TotalCount": 0}),
    Call("DeleteContainerGroup", {"ContainerGroupId": "$job"}),
    Steer("advance", {"seconds": 60}),
    wait("DescribeContainerGroups", {}, {"TotalCount": 0}),
    Call("ListUsage", {}, {"Attributes.UsedCpu": 0.0}),
]

SECTIONS = {
    "offer": OFFER,
    "group": GROUP,
    "exec": EXEC,
    "update": UPDATE,
    "disk": DISK,
    "jobs": JOBS,
    "pages": PAGES,
    "back off": BACK_OFF,
    "commit": COMMIT,
    "ops": OPS,
    "tags": TAGS,
    "image caches": IMAGE_CACHES,
    "data caches": DATA_CACHES,
    "virtual nodes": VIRTUAL_NODES,
    "wrong": WRONG,
    "cloud": CLOUD,
    "end": END,
}

SCRIPT = [step for section in SECTIONS.values() for step in section]
