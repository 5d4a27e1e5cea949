//! Data caches, virtual nodes, commits, tasks of operation and tags over the wire.

use std::time::Duration;

use serde_json::{Value, json};

use crate::bed::Bed;

/// Between two looks, by the server's clock.
const POLL: Duration = Duration::from_millis(100);

/// Waits until the only item of a list has this status, and gives it.
async fn until(bed: &Bed, action: &str, list: &str, params: &[(&str, &str)], (member, word): (&str, &str)) -> Value {
    let mut last = Value::Null;
    for _ in 0..10_000 {
        last = bed.call(action, params).await.ok()[list].clone();
        if last.as_array().is_some_and(|items| items.len() == 1) && last[0][member] == word {
            return last[0].clone();
        }
        tokio::time::sleep(POLL).await;
    }
    panic!("{action} never shows {member} {word}; last seen: {last}");
}

async fn data_cache(bed: &Bed, path: &str, params: &[(&str, &str)]) -> String {
    let mut all = vec![("Path", path), ("Name", "n")];
    all.extend_from_slice(params);
    let created = bed.call("CreateDataCache", &all).await.ok();
    created["DataCacheId"].as_str().expect("an id").to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_data_cache_is_made_copied_changed_and_deleted() {
    let bed = Bed::new().await;
    let id = data_cache(
        &bed,
        "/model/a",
        &[
            ("DataSource.Type", "URL"),
            ("DataSource.Options.#10#repoSource", "HuggingFace/Model"),
            ("DataSource.Options.repoId", "x/y"),
            ("Size", "40"),
            ("EipCreateParam.Bandwidth", "5"),
            ("EipCreateParam.ISP", "BGP"),
        ],
    )
    .await;
    let copy = async |region: &str, path: &str| {
        let params = [
            ("DataCacheId", id.as_str()),
            ("DestinationRegionId", region),
            ("Path", path),
        ];
        bed.call("CopyDataCache", &params).await
    };
    assert_eq!(
        copy("cn-hangzhou", "/b").await.code(),
        "IncorrectStatus",
        "it is still loading"
    );
    let by_id = [("DataCacheId.1", id.as_str())];
    let cache = until(
        &bed,
        "DescribeDataCaches",
        "DataCaches",
        &by_id,
        ("Status", "Available"),
    )
    .await;
    assert_eq!((&cache["Bucket"], &cache["Size"]), (&"default".into(), &40.into()));
    assert_eq!(cache["DataSource"]["Type"], "URL");
    let options: Value = serde_json::from_str(cache["DataSource"]["Options"].as_str().expect("text")).expect("JSON");
    assert_eq!(options, json!({"repoSource": "HuggingFace/Model", "repoId": "x/y"}));

    let here = copy("cn-hangzhou", "/b").await.ok();
    let there = copy("cn-beijing", "/b").await.ok();
    assert_ne!(here["DataCacheId"], there["DataCacheId"]);
    assert_eq!(copy("cn-nowhere", "/c").await.code(), "InvalidRegionId.NotFound");
    let all = bed.call("DescribeDataCaches", &[]).await.ok();
    assert_eq!(all["TotalCount"], 2, "one is in another region");
    let b = bed.call("DescribeDataCaches", &[("Path", "/b")]).await.ok();
    assert_eq!(b["DataCaches"][0]["DataSource"]["Type"], "SNAPSHOT");

    let again = bed.call("CreateDataCache", &[("Path", "/b"), ("Name", "n")]).await;
    assert_eq!((again.status, again.code()), (400, "InvalidParameter"));
    data_cache(&bed, "/b", &[("Bucket", "mine")]).await;
    bed.call(
        "UpdateDataCache",
        &[("Bucket", "default"), ("DataCacheId", &id), ("Name", "m")],
    )
    .await
    .ok();
    let cache = until(
        &bed,
        "DescribeDataCaches",
        "DataCaches",
        &by_id,
        ("Status", "Available"),
    )
    .await;
    assert_eq!((&cache["Name"], &cache["Size"]), (&"m".into(), &40.into()));
    bed.call("DeleteDataCache", &[("Bucket", "mine"), ("Path", "/b")])
        .await
        .ok();
    bed.call("DeleteDataCache", &[("DataCacheId", &id)]).await.ok();
    let gone = bed.call("DeleteDataCache", &[("DataCacheId", &id)]).await;
    assert_eq!((gone.status, gone.code()), (404, "InvalidDataCacheId.NotFound"));
    let usage = bed.call("ListUsage", &[]).await.ok();
    assert_eq!(usage["Attributes"]["UsedDataCacheCount"], 1);
    assert_eq!(
        bed.call("DescribeDataCaches", &[("Limit", "21")]).await.code(),
        "InvalidParameter"
    );
}

#[tokio::test(start_paused = true)]
async fn quotas_are_those_of_list_usage() {
    let bed = Bed::new().await;
    for n in 0..100 {
        data_cache(&bed, &format!("/{n}"), &[]).await;
    }
    let full = bed.call("CreateDataCache", &[("Path", "/x"), ("Name", "n")]).await;
    assert_eq!((full.status, full.code()), (403, "QuotaExceeded"));
    let usage = bed.call("ListUsage", &[]).await.ok();
    let attributes = &usage["Attributes"];
    assert_eq!(
        (&attributes["UsedDataCacheCount"], &attributes["MaxDataCacheCount"]),
        (&100.into(), &100.into())
    );
    assert_eq!(
        (&attributes["MaxImageCacheCount"], &attributes["MaxAutoImageCacheCount"]),
        (&500.into(), &25.into())
    );
}

#[tokio::test(start_paused = true)]
async fn a_virtual_node_becomes_ready() {
    let bed = Bed::new().await;
    let create = [
        ("SecurityGroupId", "sg-1"),
        ("VSwitchId", "vsw-1,vsw-2"),
        ("VirtualNodeName", "vn.1"),
        ("KubeConfig", "YXBpVmVyc2lvbjogdjE="),
        ("Taint.1.Key", "virtual-kubelet.io/provider"),
        ("Taint.1.Effect", "NoSchedule"),
        ("CustomResources", "example.com/a=2"),
        ("ClusterDNS", "10.96.0.10"),
        ("ClusterDomain", "cluster.local"),
        ("EnablePublicNetwork", "true"),
        ("ClientToken", "once"),
    ];
    let created = bed.call("CreateVirtualNode", &create).await.ok();
    let again = bed.call("CreateVirtualNode", &create).await.ok();
    assert_eq!(created["VirtualNodeId"], again["VirtualNodeId"]);
    let id = created["VirtualNodeId"].as_str().expect("an id");
    let ids = json!([id]).to_string();
    let by_id = [("VirtualNodeIds", ids.as_str())];
    let node = until(
        &bed,
        "DescribeVirtualNodes",
        "VirtualNodes",
        &by_id,
        ("Status", "Ready"),
    )
    .await;
    assert_eq!(
        (&node["VirtualNodeName"], &node["VirtualNodeVSwitchId"]),
        (&"vn.1".into(), &"vsw-1".into())
    );
    assert_ne!(node["IntranetIp"], "");
    assert_ne!(node["InternetIp"], "");
    let journal = format!("{:?}", bed.app().journal().entries(Some("CreateVirtualNode")));
    assert!(!journal.contains("YXBpVmVyc2lvbjogdjE"), "a kubeconfig is a secret");
    let pending = bed.call("DescribeVirtualNodes", &[("Status", "Pending")]).await.ok();
    assert_eq!(pending["TotalCount"], 0);
    assert_eq!(
        bed.call("DescribeVirtualNodes", &[("Status", "x")]).await.code(),
        "InvalidParameter"
    );
    bed.call(
        "UpdateVirtualNode",
        &[("VirtualNodeId", id), ("VirtualNodeName", "vn.2")],
    )
    .await
    .ok();
    let named = bed
        .call("DescribeVirtualNodes", &[("VirtualNodeName", "vn.2")])
        .await
        .ok();
    assert_eq!(named["TotalCount"], 1);
    bed.call("DeleteVirtualNode", &[("VirtualNodeId", id)]).await.ok();
    let gone = bed.call("DeleteVirtualNode", &[("VirtualNodeId", id)]).await;
    assert_eq!((gone.status, gone.code()), (404, "InvalidVirtualNodeId.NotFound"));
    let missing = bed.call("CreateVirtualNode", &[("VSwitchId", "vsw-1")]).await;
    assert_eq!(missing.code(), "MissingParameter");
}

#[tokio::test(start_paused = true)]
async fn a_commit_goes_through_its_phases() {
    let bed = Bed::new().await;
    let id = bed.create("worker", &[]).await;
    bed.until(&id, "Running").await;
    let commit = async |group: &str, container: &str| {
        let params = [
            ("ContainerGroupId", group),
            ("ContainerName", container),
            ("Image.Repository", "registry.test/a"),
            ("Image.Tag", "1"),
            ("Arn.RoleArn", "acs:ram::1:role/r"),
            ("Arn.RoleType", "service"),
        ];
        bed.call("CommitContainer", &params).await
    };
    assert_eq!(commit("eci-none", "c").await.code(), "InvalidContainerGroupId.NotFound");
    assert_eq!(commit(&id, "x").await.code(), "InvalidContainerName.NotFound");
    let task = commit(&id, "c").await.ok();
    let task_id = task["TaskId"].as_str().expect("an id");
    let by_id = [("TaskId.1", task_id)];
    let done = until(
        &bed,
        "DescribeCommitContainerTask",
        "CommitTasks",
        &by_id,
        ("TaskStatus", "Succeeded"),
    )
    .await;
    assert_eq!(
        (&done["TaskProgress"], &done["ContainerName"]),
        (&"100%".into(), &"c".into())
    );
    let phases: Vec<&str> = done["CommitPhaseInfos"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|p| p["Phase"].as_str().expect("a word"))
        .collect();
    assert_eq!(phases, ["PullBaseImage", "CommitContainer", "PushCommittedImage"]);
    for _ in 0..10 {
        commit(&id, "c").await.ok();
    }
    let list = bed
        .call("DescribeCommitContainerTask", &[("ContainerGroupId", &id)])
        .await
        .ok();
    assert_eq!((&list["TotalCount"], &list["MaxResults"]), (&11.into(), &"10".into()));
    assert_eq!(list["CommitTasks"].as_array().map(Vec::len), Some(10));
    assert_ne!(list["NextToken"], "");
    assert_eq!(
        bed.call("DescribeCommitContainerTask", &[]).await.code(),
        "MissingParameter"
    );
    let much = [("ContainerGroupId", id.as_str()), ("MaxResults", "51")];
    assert_eq!(
        bed.call("DescribeCommitContainerTask", &much).await.code(),
        "InvalidParameter"
    );
}

#[tokio::test(start_paused = true)]
async fn tasks_of_operation_are_recorded() {
    let bed = Bed::new().await;
    let id = bed.create("worker", &[]).await;
    bed.until(&id, "Running").await;
    let order = async |kind: &str, value: &str| {
        let params = [
            ("ContainerGroupId", id.as_str()),
            ("OpsType", kind),
            ("OpsValue", value),
        ];
        bed.call("CreateInstanceOpsTask", &params).await
    };
    order("coredump", "enable").await.ok();
    order("coredump", "disable").await.ok();
    order("coredump", "enable").await.ok();
    order("tcpdump", r#"{"Enable":true,"Duration":5}"#).await.ok();
    assert_eq!(order("coredump", "on").await.code(), "InvalidParameter");
    assert_eq!(order("strace", "enable").await.code(), "InvalidParameter");
    let records = async |kind: &str| {
        let params = [("ContainerGroupId", id.as_str()), ("OpsType", kind)];
        let answer = bed.call("DescribeInstanceOpsRecords", &params).await.ok();
        let records = answer["Records"].as_array().expect("a list").clone();
        records.iter().map(|r| r["OpsStatus"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(records("coredump").await, ["Closed", "Ready"]);
    bed.app().advance(Duration::from_secs(12 * 3600));
    for _ in 0..1_000 {
        if records("coredump").await == ["Closed", "Expired"] {
            assert_eq!(records("tcpdump").await, ["Success"]);
            return;
        }
        tokio::time::sleep(POLL).await;
    }
    panic!("{:?}", records("coredump").await);
}

#[tokio::test(start_paused = true)]
async fn tags_of_groups_are_found_shown_and_billed() {
    let bed = Bed::new().await;
    let (one, two) = (
        bed.create("one", &[("Tag.1.Key", "a"), ("Tag.1.Value", "1")]).await,
        bed.create("two", &[]).await,
    );
    bed.until(&one, "Running").await;
    bed.until(&two, "Running").await;
    bed.app().advance(Duration::from_secs(1_000));
    let tag = async |ids: &[&str], tags: &[(&str, &str)]| {
        let mut params = vec![("ResourceType".to_owned(), "ContainerGroup".to_owned())];
        for (n, id) in (1..).zip(ids) {
            params.push((format!("ResourceId.{n}"), (*id).to_owned()));
        }
        for (n, (key, value)) in (1..).zip(tags) {
            params.push((format!("Tag.{n}.Key"), (*key).to_owned()));
            params.push((format!("Tag.{n}.Value"), (*value).to_owned()));
        }
        let params: Vec<(&str, &str)> = params.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        bed.call("TagResources", &params).await
    };
    tag(&[&one, &two], &[("a", "2"), ("b", "3")]).await.ok();
    let found = bed
        .call("DescribeContainerGroups", &[("Tag.1.Key", "b"), ("Tag.1.Value", "3")])
        .await
        .ok();
    assert_eq!(found["TotalCount"], 2);
    let tags = json!([{"Key": "a", "Value": "2"}, {"Key": "b", "Value": "3"}]);
    assert_eq!(found["ContainerGroups"][0]["Tags"], tags);
    let changed = bed
        .call("DescribeContainerGroupStatus", &[("SinceSecond", "60")])
        .await
        .ok();
    assert_eq!(changed["TotalCount"], 2, "a tagged group counts as changed");
    assert!(
        bed.app()
            .ledger()
            .iter()
            .all(|bill| bill.tags.get("b").is_some_and(|v| v == "3"))
    );

    let missing = tag(&[&one, "eci-none"], &[("c", "4")]).await;
    assert_eq!(
        (missing.status, missing.code()),
        (404, "InvalidContainerGroupId.NotFound")
    );
    let many: Vec<String> = (0..19).map(|n| format!("k{n}")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|k| (k.as_str(), "")).collect();
    let full = tag(&[&two], &many).await;
    assert_eq!((full.status, full.code()), (400, "NumberExceed.Tags"));
    let reserved = tag(&[&two], &[("acs:x", "")]).await;
    assert_eq!((reserved.status, reserved.code()), (400, "NoPermission.Tag"));
    let many: Vec<&str> = vec![&one; 51];
    assert_eq!(tag(&many, &[("c", "")]).await.code(), "NumberExceed.ResourceIds");
    assert_eq!(
        bed.describe(&two).await.expect("there")["Tags"]
            .as_array()
            .map(Vec::len),
        Some(2)
    );

    let (mut entries, mut token) = (Vec::new(), String::new());
    loop {
        let params = [
            ("ResourceType", "ContainerGroup"),
            ("Limit", "3"),
            ("NextToken", token.as_str()),
        ];
        let page = bed.call("ListTagResources", &params).await.ok();
        let list = page["TagResources"].as_array().expect("a list");
        assert!(list.len() <= 3);
        entries.extend(list.iter().map(|e| format!("{}={}", e["TagKey"], e["TagValue"])));
        token = page["NextToken"].as_str().expect("a token").to_owned();
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(entries, [r#""a"="2""#, r#""b"="3""#, r#""a"="2""#, r#""b"="3""#]);

    let untag = async |more: &[(&str, &str)]| {
        let mut params = vec![("ResourceType", "ContainerGroup"), ("ResourceId.1", one.as_str())];
        params.extend_from_slice(more);
        bed.call("UntagResources", &params).await
    };
    assert_eq!(untag(&[]).await.code(), "MissingParameter");
    untag(&[("TagKey.1", "a")]).await.ok();
    let params = [("ResourceType", "ContainerGroup"), ("ResourceId.1", one.as_str())];
    let left = bed.call("ListTagResources", &params).await.ok();
    assert_eq!(
        left["TagResources"],
        json!([{"ResourceType": "ContainerGroup", "ResourceId": one, "TagKey": "b", "TagValue": "3"}])
    );
    untag(&[("All", "true")]).await.ok();
    assert_eq!(bed.describe(&one).await.expect("there")["Tags"], json!([]));
    bed.app().set_may_list(false);
    let hidden = bed
        .call("ListTagResources", &[("ResourceType", "ContainerGroup")])
        .await
        .ok();
    assert_eq!(hidden["TagResources"], json!([]));
}

#[tokio::test(start_paused = true)]
async fn tags_of_caches_too() {
    let bed = Bed::new().await;
    let id = data_cache(&bed, "/a", &[]).await;
    let params = [
        ("ResourceType", "DataCache"),
        ("ResourceId.1", id.as_str()),
        ("Tag.1.Key", "k"),
        ("Tag.1.Value", "v"),
    ];
    bed.call("TagResources", &params).await.ok();
    let found = bed.call("DescribeDataCaches", &[("Tag.1.Key", "k")]).await.ok();
    assert_eq!(found["DataCaches"][0]["Tags"], json!([{"Key": "k", "Value": "v"}]));
    let wrong = [("ResourceType", "ImageCache"), params[1], params[2], params[3]];
    assert_eq!(
        bed.call("TagResources", &wrong).await.code(),
        "InvalidImageCacheId.NotFound"
    );
    let other = [("ResourceType", "Disk"), params[1], params[2], params[3]];
    assert_eq!(bed.call("TagResources", &other).await.code(), "InvalidParameter");
}
