//! DescribeAvailableResource, storage that grows, and what only old SDKs have.

use mock_eci::domain::stock::{Supply, Told};
use serde_json::{Value, json};

use crate::bed::Bed;

/// What each zone has: zone, value and status of each.
async fn available(bed: &Bed, params: &[(&str, &str)]) -> Vec<(String, String, String)> {
    let answer = bed.call("DescribeAvailableResource", params).await.ok();
    let zones = answer["AvailableZones"]["AvailableZone"]
        .as_array()
        .expect("a list")
        .clone();
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let mut found = Vec::new();
    for zone in &zones {
        assert_eq!(zone["RegionId"], "cn-hangzhou");
        let resource = &zone["AvailableResources"]["AvailableResource"][0];
        for one in resource["SupportedResources"]["SupportedResource"]
            .as_array()
            .expect("a list")
        {
            found.push((text(&zone["ZoneId"]), text(&one["Value"]), text(&one["StatusCategory"])));
        }
    }
    found
}

#[tokio::test(start_paused = true)]
async fn types_families_and_sizes_are_found_where_there_is_stock() {
    let bed = Bed::new().await;
    let (category, value) = ("DestinationResource.Category", "DestinationResource.Value");
    let by_type = [(category, "InstanceType"), (value, "ecs.c6.large")];
    let zones = available(&bed, &by_type).await;
    assert_eq!(zones.len(), 6);
    assert!(
        zones
            .iter()
            .all(|(_, value, status)| value == "ecs.c6.large" && status == "WithStock")
    );

    bed.app()
        .cloud()
        .state()
        .set_stock("cn-hangzhou-h", Some("ecs.c6.large"), Supply::More(0), Told::Call);
    let here = [by_type[0], by_type[1], ("ZoneId", "cn-hangzhou-h")];
    let entry = |value: &str, status: &str| ("cn-hangzhou-h".to_owned(), value.to_owned(), status.to_owned());
    assert_eq!(available(&bed, &here).await, [entry("ecs.c6.large", "WithoutStock")]);
    let family = [
        (category, "InstanceTypeFamily"),
        (value, "ecs.c6"),
        ("ZoneId", "cn-hangzhou-h"),
    ];
    assert_eq!(
        available(&bed, &family).await,
        [entry("ecs.c6", "WithStock")],
        "other types are left"
    );
    bed.app()
        .cloud()
        .state()
        .set_stock("cn-hangzhou-h", None, Supply::More(1_000), Told::Call);
    assert_eq!(available(&bed, &family).await, [entry("ecs.c6", "WithoutStock")]);

    let size = [
        (category, "InstanceType"),
        ("DestinationResource.Cores", "4"),
        ("DestinationResource.Memory", "32"),
        ("ZoneId", "cn-hangzhou-i"),
        ("SpotResource.SpotStrategy", "SpotWithPriceLimit"),
        ("SpotResource.SpotPriceLimit", "0.5"),
        ("SpotResource.SpotDuration", "1"),
    ];
    let found = available(&bed, &size).await;
    assert!(found.iter().any(|(_, value, _)| value == "ecs.r6.xlarge"));
    assert!(found.iter().all(|(zone, _, _)| zone == "cn-hangzhou-i"));
    assert_eq!(available(&bed, &[by_type[0], (value, "ecs.none.large")]).await, []);

    for (params, code) in [
        (vec![], "MissingParameter"),
        (vec![(category, "Disk"), (value, "x")], "InvalidParameter"),
        (vec![(category, "InstanceTypeFamily")], "MissingParameter"),
        (
            vec![(category, "InstanceType"), ("DestinationResource.Cores", "2")],
            "MissingParameter",
        ),
        (
            vec![by_type[0], by_type[1], ("ZoneId", "cn-beijing-a")],
            "Zone.NotOnSale",
        ),
        (
            vec![
                by_type[0],
                by_type[1],
                ("SpotResource.SpotStrategy", "SpotWithPriceLimit"),
            ],
            "MissingParameter",
        ),
        (
            vec![
                (category, "InstanceTypeFamily"),
                (value, "ecs.c6"),
                ("SpotResource.SpotStrategy", "SpotAsPriceGo"),
            ],
            "InvalidParameter",
        ),
    ] {
        assert_eq!(
            bed.call("DescribeAvailableResource", &params).await.code(),
            code,
            "{params:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn disks_grow_and_never_shrink() {
    let bed = Bed::new().await;
    let id = bed
        .create(
            "disks",
            &[
                ("Volume.1.Name", "flex"),
                ("Volume.1.Type", "FlexVolume"),
                ("Volume.1.FlexVolume.Driver", "alicloud/disk"),
                ("Volume.1.FlexVolume.Options", r#"{"volumeSize":"20"}"#),
                ("Volume.2.Name", "disk"),
                ("Volume.2.Type", "DiskVolume"),
                ("Volume.2.DiskVolume.DiskSize", "40"),
                ("Volume.3.Name", "scratch"),
                ("Volume.3.Type", "EmptyDirVolume"),
            ],
        )
        .await;
    let resize = async |volume: &str, size: &str| {
        let params = [
            ("ContainerGroupId", id.as_str()),
            ("VolumeName", volume),
            ("NewSize", size),
        ];
        bed.call("ResizeContainerGroupVolume", &params).await
    };
    let early = resize("disk", "50").await;
    assert_eq!((early.status, early.code()), (400, "IncorrectStatus"));
    bed.until(&id, "Running").await;
    resize("disk", "50").await.ok();
    resize("disk", "50").await.ok();
    resize("flex", "30").await.ok();
    let group = bed.describe(&id).await.expect("there");
    assert!(
        group["Volumes"][0]["FlexVolumeOptions"]
            .as_str()
            .is_some_and(|o| o.contains("30")),
        "{group}"
    );
    for (volume, size, code) in [
        ("disk", "49", "InvalidParameter"),
        ("flex", "29", "InvalidParameter"),
        ("none", "50", "InvalidParameter"),
        ("scratch", "50", "DiskVolume.NotSupport"),
        ("disk", "4", "InvalidParameter"),
        ("disk", "", "MissingParameter"),
    ] {
        assert_eq!(resize(volume, size).await.code(), code, "{volume} {size}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_only_old_sdks_have() {
    let bed = Bed::new().await;
    let (one, two) = (bed.create("one", &[]).await, bed.create("two", &[]).await);
    bed.until(&one, "Running").await;
    let resize = async |size: &str| {
        let params = [
            ("ContainerGroupId", one.as_str()),
            ("NewSize", size),
            ("ClientToken", size),
        ];
        bed.call("ResizeContainerGroupEphemeralStorage", &params).await
    };
    resize("10").await.ok();
    resize("10").await.ok();
    assert_eq!(resize("5").await.code(), "InvalidParameter");
    assert_eq!(bed.describe(&one).await.expect("there")["EphemeralStorage"], 10);

    let unknown = json!([one, "eci-none"]).to_string();
    let refused = bed
        .call("DeleteContainerGroups", &[("ContainerGroupIds", &unknown)])
        .await;
    assert_eq!(
        (refused.status, refused.code()),
        (404, "InvalidContainerGroupId.NotFound")
    );
    assert!(bed.describe(&one).await.is_some());
    let both = json!([one, two]).to_string();
    bed.call("DeleteContainerGroups", &[("ContainerGroupIds", &both)])
        .await
        .ok();
    bed.until_gone(&one).await;
    bed.until_gone(&two).await;
}
