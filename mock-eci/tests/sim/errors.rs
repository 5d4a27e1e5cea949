//! Wrong input gets the code and the HTTP status of ECI's error tables: one row for each code that this server can give.

use bytes::Bytes;
use http::{Method, Request};
use mock_eci::{Config, config::AccessKey};

use crate::bed::{Bed, Signed, date, signed_v1, signed_v1_as};

const CREATE: &str = "CreateContainerGroup";
const PRICE: &str = "DescribeContainerGroupPrice";

/// Code, HTTP status, action, and what is given beside what the action needs.
type Row = (&'static str, u16, &'static str, &'static [(&'static str, &'static str)]);

#[rustfmt::skip]
const ROWS: &[Row] = &[
    // The gateway.
    ("MissingParameter", 400, CREATE, &[("ContainerGroupName", "")]),
    ("InvalidParameter", 400, CREATE, &[("RestartPolicy", "Sometimes")]),
    ("InvalidParameter.ValueExceeded", 400, CREATE, &[("VSwitchId", "vsw-1"), ("InstanceType", "a,b,c,d,e,f,g,h,i,j,k")]),
    ("InvalidAction.NotFound", 404, "NoSuchAction", &[]),
    ("InvalidRegionId.NotFound", 404, CREATE, &[("RegionId", "mars-1")]),
    ("UnsupportedOperation", 400, "ExportContainerGroupTemplate", &[]),
    // CreateContainerGroup, permanent.
    ("InvalidParameter.CPU.Memory", 400, CREATE, &[("Cpu", "65"), ("Memory", "1")]),
    ("InvalidParameter.DuplicatedName", 400, CREATE, &[("Container.2.Name", "c"), ("Container.2.Image", "i")]),
    ("InvalidParameter.DuplicatedVolumeName", 400, CREATE, &[
        ("Volume.1.Name", "v"), ("Volume.1.Type", "EmptyDirVolume"), ("Volume.2.Name", "v"), ("Volume.2.Type", "EmptyDirVolume"),
    ]),
    ("InvalidSpotCpuMemorySpec", 400, CREATE, &[("Cpu", "2"), ("Memory", "6"), ("SpotStrategy", "SpotAsPriceGo")]),
    ("InvalidInstanceTypeForEciBuy", 400, CREATE, &[("InstanceType", "ecs.z9.huge")]),
    ("InstanceTypeNotMatchCpuArch", 400, CREATE, &[("InstanceType", "ecs.c6.large"), ("CpuArchitecture", "ARM64")]),
    ("InvalidInstanceTypeForRaid", 400, CREATE, &[
        ("InstanceType", "ecs.c6.large"), ("Volume.1.Name", "v"), ("Volume.1.Type", "EmptyDirVolume"),
        ("Volume.1.EmptyDirVolume.Medium", "LocalRaid0"),
    ]),
    ("FeatureBasedConstraintConflict", 400, CREATE, &[("EipInstanceId", "eip-1"), ("AutoCreateEip", "true")]),
    ("PrivateIpAddress.Already.InUse", 400, CREATE, &[("PrivateIpAddress", "192.168.9.9")]),
    ("InvalidDiskId.NotFound", 404, CREATE, &[
        ("Volume.1.Name", "v"), ("Volume.1.Type", "DiskVolume"), ("Volume.1.DiskVolume.DiskId", "x"),
    ]),
    ("Zone.NotOnSale", 403, CREATE, &[("ZoneId", "cn-hangzhou-z")]),
    ("Forbidden.OnlyForInvitedTest", 403, CREATE, &[("OsType", "Windows")]),
    ("Spot.NotMatched", 403, CREATE, &[("SpotStrategy", "SpotWithPriceLimit"), ("SpotPriceLimit", "0.001")]),
    // A success that is told as an error.
    ("DryRunOperation", 400, CREATE, &[("DryRun", "true")]),
    // Idempotency: the token belongs to the group every bed has.
    ("IdempotentParameterMismatch", 400, CREATE, &[("ClientToken", "taken")]),
    // DescribeContainerGroupPrice.
    ("InvalidParam.CpuOrMemorySpec", 400, PRICE, &[("Cpu", "3"), ("Memory", "4")]),
    ("InvalidSpotCpuMemorySpec", 400, PRICE, &[("Cpu", "2"), ("Memory", "6"), ("SpotStrategy", "SpotAsPriceGo")]),
    ("FeatureBasedConstraintConflict", 400, PRICE, &[("InstanceType", "ecs.c6.large"), ("ComputeCategory", "economy")]),
    ("InvalidInstanceTypeForEciBuy", 400, PRICE, &[("InstanceType", "ecs.z9.huge")]),
    ("Spot.NotMatched", 403, PRICE, &[("SpotStrategy", "SpotWithPriceLimit"), ("SpotPriceLimit", "0.001")]),
    ("Zone.NotOnSale", 403, PRICE, &[("ZoneId", "cn-hangzhou-z")]),
    // Others.
    ("InvalidContainerGroupId.NotFound", 404, "DeleteContainerGroup", &[("ContainerGroupId", "eci-unknown")]),
    ("InvalidContainerGroupId.NotFound", 404, "RestartContainerGroup", &[("ContainerGroupId", "eci-unknown")]),
    ("InvalidContainerGroupId.NotFound", 404, "DescribeContainerLog", &[("ContainerGroupId", "eci-unknown"), ("ContainerName", "c")]),
    ("InvalidParameter", 400, "DescribeContainerGroups", &[("NextToken", "of another server")]),
    ("InvalidParameter", 400, "DescribeContainerGroups", &[("Limit", "21")]),
    ("InvalidParameter", 400, "DescribeContainerGroupStatus", &[("SinceSecond", "59")]),
];

#[tokio::test(start_paused = true)]
async fn every_code_has_its_status() {
    let bed = Bed::new().await;
    bed.create(
        "first",
        &[("ClientToken", "taken"), ("PrivateIpAddress", "192.168.9.9")],
    )
    .await;
    for (code, status, action, given) in ROWS {
        let mut params = match *action {
            CREATE => vec![
                ("ContainerGroupName", "wrong"),
                ("Container.1.Name", "c"),
                ("Container.1.Image", "i"),
            ],
            _ => Vec::new(),
        };
        params.retain(|(name, _)| given.iter().all(|(n, _)| n != name));
        params.extend_from_slice(given);
        let reply = bed.call(action, &params).await;
        assert_eq!(
            (reply.status, reply.body["Code"].as_str()),
            (*status, Some(*code)),
            "{action} {given:?}: {}",
            reply.body["Message"]
        );
    }
    assert_eq!(bed.app().group_ids().len(), 1, "nothing was created on the way");
}

#[tokio::test(start_paused = true)]
async fn callers_and_requests_that_are_wrong() {
    let bed = Bed::with(Config {
        access_keys: vec![
            "testid:testsecret".parse().expect("a key"),
            "sts:secret:token".parse::<AccessKey>().expect("a key"),
        ],
        ..Config::default()
    })
    .await;
    let regions = || Signed::new("DescribeRegions");
    let plain = |query: &str| {
        Request::post(format!("http://eci.test/?Format=JSON{query}"))
            .body(Bytes::new())
            .expect("valid")
    };
    let used = || Signed {
        nonce: "used".to_owned(),
        ..regions()
    };
    bed.send(used().build()).await.expect("an answer").ok();
    let without_hash = || {
        let mut request = regions().build();
        request.headers_mut().remove("x-acs-content-sha256");
        request
    };
    let rows: Vec<(&str, u16, Request<Bytes>)> = vec![
        ("MissingAction", 400, plain("")),
        (
            "InvalidVersion",
            400,
            plain("&Action=DescribeRegions&Version=2014-05-26"),
        ),
        (
            "MissingParameter",
            400,
            plain("&Action=DescribeRegions&Version=2018-08-08"),
        ),
        (
            "UnsupportedHTTPMethod",
            403,
            signed_v1(
                Method::GET,
                "DescribeContainerGroupStatus",
                &[("RegionId", "cn-hangzhou")],
            ),
        ),
        (
            "InvalidParameter",
            400,
            signed_v1_as(Some("JSON"), Method::GET, "DescribeRegions", &[("A", "1"), ("A", "2")]),
        ),
        ("IncompleteSignature", 400, without_hash()),
        (
            "SignatureDoesNotMatch",
            400,
            Signed {
                key: ("testid".to_owned(), "wrong".to_owned()),
                ..regions()
            }
            .build(),
        ),
        ("SignatureNonceUsed", 400, used().build()),
        (
            "InvalidTimeStamp.Expired",
            400,
            Signed {
                date: date(-3_600),
                ..regions()
            }
            .build(),
        ),
        (
            "InvalidTimeStamp.Format",
            400,
            Signed {
                date: "yesterday".to_owned(),
                ..regions()
            }
            .build(),
        ),
        (
            "InvalidAccessKeyId.NotFound",
            404,
            Signed {
                key: ("nobody".to_owned(), "secret".to_owned()),
                ..regions()
            }
            .build(),
        ),
        (
            "InvalidSecurityToken.MismatchWithAccessKey",
            400,
            Signed {
                key: ("sts".to_owned(), "secret".to_owned()),
                token: Some("another".to_owned()),
                ..regions()
            }
            .build(),
        ),
    ];
    for (code, status, request) in rows {
        let reply = bed.send(request).await.expect("an answer");
        assert_eq!(
            (reply.status, reply.code()),
            (status, code),
            "{}",
            reply.body["Message"]
        );
    }
}

#[tokio::test(start_paused = true)]
async fn quotas_and_rates() {
    let bed = Bed::new().await;
    bed.app().set_max_milli_cpu(1_000);
    let params = [
        ("ContainerGroupName", "large"),
        ("Container.1.Name", "c"),
        ("Container.1.Image", "i"),
    ];
    let refused = bed.call(CREATE, &params).await;
    assert_eq!((refused.status, refused.code()), (403, "QuotaExceeded"));
    let mut last = None;
    for _ in 0..100 {
        last = Some(bed.call(CREATE, &params).await);
    }
    let refused = last.expect("the last of a hundred");
    assert_eq!((refused.status, refused.code()), (400, "Throttling"));
}
