//! CreateContainerGroup: what instance types, categories, addresses and volumes lead to.

use mock_eci::{Config, config::ParameterBounds};
use serde_json::json;

use crate::bed::Bed;

#[tokio::test(start_paused = true)]
async fn instance_types_size_and_price_a_group() {
    let bed = Bed::new().await;
    let params = [
        ("InstanceType", "ecs.g6.xlarge"),
        ("Cpu", "1"),
        ("Memory", "2"),
        ("Container.1.Cpu", "1"),
    ];
    let id = bed.create("typed", &params).await;
    let group = bed.until(&id, "Running").await;
    assert_eq!(
        (&group["InstanceType"], &group["Cpu"], &group["Memory"]),
        (&json!("ecs.g6.xlarge"), &json!(4.0), &json!(16.0))
    );
    bed.app().advance(std::time::Duration::from_secs(3_600));
    let bill = &bed.app().ledger()[0];
    let hour = 1_000_000_000 / 3_600;
    assert_eq!(bill.amount_nano / hour, bill.billed_seconds, "1 CNY an hour");
}

#[tokio::test(start_paused = true)]
async fn economy_groups_are_cheaper() {
    let bed = Bed::new().await;
    let size = [("Cpu", "2"), ("Memory", "4"), ("ComputeCategory.1", "economy")];
    let id = bed.create("cheap", &size).await;
    assert_eq!(bed.until(&id, "Running").await["ComputeCategory"], "economy");
    bed.app().advance(std::time::Duration::from_secs(100));
    let bill = &bed.app().ledger()[0];
    assert_eq!(bill.amount_nano, bill.billed_seconds * (2 * 27_000 + 4 * 6_130));
    let price = [("Cpu", "2"), ("Memory", "4"), ("ComputeCategory", "economy")];
    let price = bed.call("DescribeContainerGroupPrice", &price).await.ok();
    assert_eq!(price["PriceInfo"]["Price"]["TradePrice"], json!(0.000_078_52));
    let listed = bed
        .call("DescribeContainerGroups", &[("ComputeCategory", "general")])
        .await
        .ok();
    assert_eq!(listed["TotalCount"], 0);
}

#[tokio::test(start_paused = true)]
async fn addresses_that_are_asked_for_are_shown() {
    let bed = Bed::new().await;
    let params = [
        ("PrivateIpAddress", "192.168.3.4"),
        ("AutoCreateEip", "true"),
        ("Ipv6AddressCount", "1"),
    ];
    let id = bed.create("addressed", &params).await;
    let group = bed.until(&id, "Running").await;
    assert_eq!(
        (&group["IntranetIp"], &group["InternetIp"], &group["Ipv6Address"]),
        (
            &json!("192.168.3.4"),
            &json!("198.18.3.4"),
            &json!("2001:db8::c0a8:304")
        )
    );
    let plain = bed.create("plain", &[]).await;
    let plain = bed.until(&plain, "Running").await;
    assert_eq!((&plain["InternetIp"], &plain["Ipv6Address"]), (&json!(""), &json!("")));
}

#[tokio::test(start_paused = true)]
async fn volumes_outside_of_the_group_are_shown() {
    let bed = Bed::new().await;
    let params = [
        ("Volume.1.Name", "nfs"),
        ("Volume.1.Type", "NFSVolume"),
        ("Volume.1.NFSVolume.Server", "nas.example"),
        ("Volume.1.NFSVolume.Path", "/share"),
        ("Volume.2.Name", "oss"),
        ("Volume.2.Type", "FlexVolume"),
        ("Volume.2.FlexVolume.Driver", "alicloud/oss"),
        ("Volume.2.FlexVolume.Options", r#"{"bucket":"b"}"#),
        ("Container.1.VolumeMount.1.Name", "nfs"),
        ("Container.1.VolumeMount.1.MountPath", "/data"),
    ];
    let id = bed.create("mounted", &params).await;
    let group = bed.until(&id, "Running").await;
    assert_eq!(
        group["Volumes"],
        json!([
            {"Name": "nfs", "Type": "NFSVolume", "NFSVolumeServer": "nas.example", "NFSVolumePath": "/share",
             "NFSVolumeReadOnly": false},
            {"Name": "oss", "Type": "FlexVolume", "FlexVolumeDriver": "alicloud/oss", "FlexVolumeFsType": "",
             "FlexVolumeOptions": r#"{"bucket":"b"}"#},
        ])
    );
}

#[tokio::test(start_paused = true)]
async fn bounds_are_the_gateways_or_the_documents() {
    let value = "x".repeat(257);
    let many: Vec<(String, String)> = (1..=11)
        .map(|n| (format!("Container.1.Arg.{n}"), "a".to_owned()))
        .collect();
    let args: Vec<(&str, &str)> = many
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let commands: Vec<(String, String)> = (1..=21)
        .map(|n| (format!("Container.1.Command.{n}"), "a".to_owned()))
        .collect();
    let command: Vec<(&str, &str)> = commands
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let cases = [
        vec![
            ("Container.1.EnvironmentVar.1.Key", "A"),
            ("Container.1.EnvironmentVar.1.Value", value.as_str()),
        ],
        vec![("Container.1.Command.1", value.as_str())],
        args,
        command,
    ];
    let bed = Bed::with(Config {
        bounds: ParameterBounds::Documented,
        ..Config::default()
    })
    .await;
    for case in &cases {
        let mut params = vec![
            ("ContainerGroupName", "bounded"),
            ("Container.1.Name", "c"),
            ("Container.1.Image", "i"),
        ];
        params.extend_from_slice(case);
        let refused = bed.call("CreateContainerGroup", &params).await;
        assert_eq!(
            (refused.status, refused.code()),
            (400, "InvalidParameter.ValueExceeded")
        );
        bed.app().set_bounds(ParameterBounds::Gateway);
        bed.call("CreateContainerGroup", &params).await.ok();
        bed.app().set_bounds(ParameterBounds::Documented);
    }
}
