//! Caches, virtual nodes, commits, tasks of operation and tags.

use serde_json::Value;

use crate::bed::Bed;

const COMMON: [(&str, &str); 5] = [
    ("RetentionDays", "3"),
    ("ResourceGroupId", "rg-1"),
    ("Tag.1.Key", "k"),
    ("Tag.1.Value", "v"),
    ("ClientToken", "token-r"),
];

const LIST: [(&str, &str); 4] = [
    ("ResourceGroupId", "rg-1"),
    ("Tag.1.Key", "k"),
    ("Tag.1.Value", "v"),
    ("Limit", "1"),
];

pub(super) async fn send(bed: &Bed) {
    let cache = image_caches(bed).await;
    let group = bed.create("from-a-cache", &[("ImageSnapshotId", &cache)]).await;
    bed.until(&group, "Running").await;
    bed.call("DeleteImageCache", &[("ImageCacheId", &cache), ("ClientToken", "d")])
        .await
        .ok();
    data_caches(bed).await;
    virtual_nodes(bed).await;
    tasks(bed, &group).await;
    tags(bed, &group).await;
    stock_and_storage(bed).await;
}

async fn stock_and_storage(bed: &Bed) {
    let resource = [
        ("DestinationResource.Category", "InstanceType"),
        ("DestinationResource.Value", "ecs.c6.large"),
        ("DestinationResource.Cores", "2"),
        ("DestinationResource.Memory", "4"),
        ("SpotResource.SpotStrategy", "SpotWithPriceLimit"),
        ("SpotResource.SpotPriceLimit", "0.5"),
        ("SpotResource.SpotDuration", "1"),
        ("ZoneId", "cn-hangzhou-h"),
    ];
    call(bed, "DescribeAvailableResource", &[&resource]).await;
    let disk = [
        ("Volume.1.Name", "disk"),
        ("Volume.1.Type", "DiskVolume"),
        ("Volume.1.DiskVolume.DiskSize", "20"),
    ];
    let group = bed.create("storage", &disk).await;
    bed.until(&group, "Running").await;
    let id = [("ContainerGroupId", group.as_str()), ("NewSize", "30")];
    let volume = [("VolumeName", "disk"), ("ClientToken", "r-1")];
    call(bed, "ResizeContainerGroupVolume", &[&id, &volume]).await;
    let token = [("ClientToken", "r-2")];
    call(bed, "ResizeContainerGroupEphemeralStorage", &[&id, &token]).await;
    let ids = serde_json::json!([group]).to_string();
    call(bed, "DeleteContainerGroups", &[&[("ContainerGroupIds", ids.as_str())]]).await;
}

/// Calls with all of these parameters.
async fn call(bed: &Bed, action: &str, parts: &[&[(&str, &str)]]) -> Value {
    bed.call(action, &parts.concat()).await.ok()
}

/// The first list of two, with a token for the second page.
async fn list(bed: &Bed, action: &str, params: &[(&str, &str)]) -> Value {
    let all = bed.call(action, &[]).await.ok();
    assert_ne!(all["TotalCount"], 0, "{action} has something to show");
    // A token of one list is good for another: it is a position, not a memory.
    let token = [("NextToken", "0-0-1")];
    call(bed, action, &[params, &token]).await
}

/// Waits until a list shows this status for the only item.
async fn until(bed: &Bed, action: &str, name: &str, status: &str) {
    for _ in 0..10_000 {
        let list = bed.call(action, &[]).await.ok();
        if list[name][0]["Status"] == status {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("{action} never shows {status}");
}

async fn image_caches(bed: &Bed) -> String {
    let both = [
        ("ImageCacheName", "n"),
        ("Image.1", "busybox:1"),
        ("ImageCacheSize", "20"),
        ("ImageRegistryCredential.1.Server", "registry.test"),
        ("ImageRegistryCredential.1.UserName", "u"),
        ("ImageRegistryCredential.1.Password", "p"),
        ("AutoMatchImageCache", "true"),
        ("EliminationStrategy", "LRU"),
        ("Flash", "false"),
        ("FlashCopyCount", "1"),
        ("StandardCopyCount", "1"),
    ];
    let create = [
        ("InsecureRegistry", "a.test"),
        ("PlainHttpRegistry", "b.test"),
        ("ZoneId", "cn-hangzhou-h"),
    ];
    let created = call(bed, "CreateImageCache", &[&both, &create, &COMMON]).await;
    let id = created["ImageCacheId"].as_str().expect("an id").to_owned();
    until(bed, "DescribeImageCaches", "ImageCaches", "Ready").await;
    call(bed, "UpdateImageCache", &[&both, &COMMON, &[("ImageCacheId", &id)]]).await;
    until(bed, "DescribeImageCaches", "ImageCaches", "Ready").await;
    let filters = [
        ("ImageCacheId", id.as_str()),
        ("ImageCacheName", "n"),
        ("Image", "busybox:1"),
        ("SnapshotId", "s-1"),
        ("MatchImage.1", "busybox:1"),
        ("ImageFullMatch", "true"),
        ("ImageMatchCountRequest", "1"),
    ];
    list(bed, "DescribeImageCaches", &[&filters[..], &LIST].concat()).await;
    id
}

async fn data_caches(bed: &Bed) {
    let both = [
        ("Name", "n"),
        ("Size", "20"),
        ("DataSource.Type", "URL"),
        ("DataSource.Options.repoId", "x/y"),
        ("EipCreateParam.Bandwidth", "5"),
        ("EipCreateParam.ISP", "BGP"),
        ("EipCreateParam.InternetChargeType", "PayByTraffic"),
    ];
    let place = [("Bucket", "b"), ("Path", "/a")];
    let created = call(bed, "CreateDataCache", &[&both, &place, &COMMON]).await;
    let id = created["DataCacheId"].as_str().expect("an id");
    until(bed, "DescribeDataCaches", "DataCaches", "Available").await;
    let update = [("Bucket", "b"), ("DataCacheId", id)];
    call(bed, "UpdateDataCache", &[&both, &update, &[("Path", "/a")], &COMMON]).await;
    until(bed, "DescribeDataCaches", "DataCaches", "Available").await;
    let filters = [("DataCacheId.1", id), ("Bucket", "b"), ("Path", "/a")];
    list(bed, "DescribeDataCaches", &[&filters[..], &LIST].concat()).await;
    let copy = [
        ("DataCacheId", id),
        ("DestinationRegionId", "cn-beijing"),
        ("Name", "n"),
        ("Bucket", "b"),
        ("Path", "/b"),
    ];
    call(bed, "CopyDataCache", &[&copy, &COMMON]).await;
    let delete = [("DataCacheId", id), ("ClientToken", "d")];
    call(bed, "DeleteDataCache", &[&place, &delete]).await;
}

async fn virtual_nodes(bed: &Bed) {
    let both = [
        ("VirtualNodeName", "vn.1"),
        ("ClusterDNS", "10.96.0.10"),
        ("ClusterDomain", "cluster.local"),
        ("CustomResources", "a/b=1"),
        ("Tag.1.Key", "k"),
        ("Tag.1.Value", "v"),
        ("ClientToken", "token-v"),
    ];
    let create = [
        ("EipInstanceId", "eip-1"),
        ("EnablePublicNetwork", "false"),
        ("KubeConfig", "e30="),
        ("ResourceGroupId", "rg-1"),
        ("SecurityGroupId", "sg-1"),
        ("Taint.1.Key", "k"),
        ("Taint.1.Value", "v"),
        ("Taint.1.Effect", "NoExecute"),
        ("TlsBootstrapEnabled", "true"),
        ("VSwitchId", "vsw-1"),
        ("ZoneId", "cn-hangzhou-h"),
    ];
    let created = call(bed, "CreateVirtualNode", &[&both, &create]).await;
    let id = created["VirtualNodeId"].as_str().expect("an id");
    call(bed, "UpdateVirtualNode", &[&both, &[("VirtualNodeId", id)]]).await;
    let ids = serde_json::json!([id]).to_string();
    let filters = [
        ("VirtualNodeIds", ids.as_str()),
        ("VirtualNodeName", "vn.1"),
        ("Status", "Ready"),
    ];
    list(bed, "DescribeVirtualNodes", &[&filters[..], &LIST].concat()).await;
    call(
        bed,
        "DeleteVirtualNode",
        &[&[("VirtualNodeId", id), ("ClientToken", "d")]],
    )
    .await;
}

async fn tasks(bed: &Bed, group: &str) {
    let group = ("ContainerGroupId", group);
    let commit = [
        group,
        ("ContainerName", "c"),
        ("Image.Repository", "registry.test/a"),
        ("Image.Tag", "1"),
        ("Image.Author", "a"),
        ("Image.Message", "m"),
        ("Arn.RoleType", "service"),
    ];
    let task = call(bed, "CommitContainer", &[&commit]).await;
    let id = task["TaskId"].as_str().expect("an id");
    let filters = [
        group,
        ("TaskId.1", id),
        ("TaskStatus", "Running"),
        ("MaxResults", "10"),
        ("NextToken", "0-0-1"),
    ];
    call(bed, "DescribeCommitContainerTask", &[&filters]).await;
    let ops = [group, ("OpsType", "coredump")];
    call(bed, "CreateInstanceOpsTask", &[&ops, &[("OpsValue", "enable")]]).await;
    call(bed, "DescribeInstanceOpsRecords", &[&ops]).await;
}

async fn tags(bed: &Bed, group: &str) {
    let what = [("ResourceType", "ContainerGroup"), ("ResourceId.1", group)];
    let tag = [("Tag.1.Key", "k"), ("Tag.1.Value", "v")];
    call(bed, "TagResources", &[&what, &tag]).await;
    let page = [("Limit", "1"), ("NextToken", "0-61")];
    call(bed, "ListTagResources", &[&what, &tag, &page]).await;
    let untag = [("TagKey.1", "k"), ("All", "false"), ("ClientToken", "token-u")];
    call(bed, "UntagResources", &[&what, &untag]).await;
}
