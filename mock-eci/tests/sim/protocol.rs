//! The wire: where parameters may be, who may call, what errors look like, and that no input breaks the server.

use bytes::Bytes;
use http::{Method, Request};
use mock_eci::{Config, config::AccessKey};
use proptest::prelude::*;

use crate::bed::{Bed, Signed, date, encode, signed_v1};

#[tokio::test(start_paused = true)]
async fn query_and_form_are_one() {
    let bed = Bed::new().await;
    let request = Signed::new("CreateContainerGroup")
        .query(&[("RegionId", "cn-hangzhou"), ("ContainerGroupName", "split")])
        .form(&[("Container.1.Name", "c"), ("Container.1.Image", "busybox")])
        .build();
    let created = bed.send(request).await.expect("an answer").ok();
    assert!(
        created["ContainerGroupId"]
            .as_str()
            .is_some_and(|id| id.starts_with("eci-") && id.len() == 24)
    );
    assert_eq!(created["RequestId"].as_str().map(str::len), Some(36));
}

#[tokio::test(start_paused = true)]
async fn v1_by_get_and_post() {
    let bed = Bed::new().await;
    for method in [Method::GET, Method::POST] {
        // Space, plus, and what v1 encodes in its own way.
        let tags = [
            ("RegionId", "cn-hangzhou"),
            ("Tag.1.Key", "a b+c"),
            ("Tag.1.Value", "*~'(中)"),
        ];
        let reply = bed
            .send(signed_v1(method, "DescribeContainerGroups", &tags))
            .await
            .expect("an answer");
        assert_eq!(reply.ok()["TotalCount"], 0);
    }
}

#[tokio::test(start_paused = true)]
async fn status_and_events_are_post_only() {
    let bed = Bed::new().await;
    for action in ["DescribeContainerGroupStatus", "DescribeContainerGroupEvents"] {
        let region = [("RegionId", "cn-hangzhou")];
        let refused = bed
            .send(signed_v1(Method::GET, action, &region))
            .await
            .expect("an answer");
        assert_eq!((refused.status, refused.code()), (403, "UnsupportedHTTPMethod"));
        assert_eq!(
            bed.send(signed_v1(Method::POST, action, &region))
                .await
                .expect("an answer")
                .status,
            200
        );
    }
}

#[tokio::test(start_paused = true)]
async fn errors_have_ecis_body() {
    let bed = Bed::new().await;
    let reply = bed.call("NoSuchAction", &[]).await;
    assert_eq!((reply.status, reply.code()), (404, "InvalidAction.NotFound"));
    for member in ["RequestId", "HostId", "Code", "Message", "Recommend"] {
        assert!(reply.body[member].as_str().is_some_and(|v| !v.is_empty()), "{member}");
    }
    assert_eq!(reply.body["HostId"], "eci.test");
    let reply = bed.call("ExportContainerGroupTemplate", &[]).await;
    assert_eq!((reply.status, reply.code()), (400, "UnsupportedOperation"));
    let reply = bed.call("DescribeContainerGroups", &[("RegionId", "mars")]).await;
    assert_eq!((reply.status, reply.code()), (404, "InvalidRegionId.NotFound"));
    let reply = bed.call("DescribeContainerGroups", &[("RegionId", "")]).await;
    assert_eq!((reply.status, reply.code()), (400, "MissingParameter"));
}

#[tokio::test(start_paused = true)]
async fn who_may_call() {
    let bed = Bed::new().await;
    let call = || Signed::new("DescribeRegions");
    let code = async |signed: Signed| {
        let reply = bed.send(signed.build()).await.expect("an answer");
        (reply.status, reply.body["Code"].as_str().unwrap_or("ok").to_owned())
    };
    let refused = |status: u16, code: &str| (status, code.to_owned());

    assert_eq!(code(call()).await, refused(200, "ok"));
    let wrong = Signed {
        key: ("testid".into(), "guess".into()),
        ..call()
    };
    assert_eq!(code(wrong).await, refused(400, "SignatureDoesNotMatch"));
    let unknown = Signed {
        key: ("nobody".into(), "testsecret".into()),
        ..call()
    };
    assert_eq!(code(unknown).await, refused(404, "InvalidAccessKeyId.NotFound"));
    for seconds in [-16 * 60, 16 * 60] {
        let late = Signed {
            date: date(seconds),
            ..call()
        };
        assert_eq!(code(late).await, refused(400, "InvalidTimeStamp.Expired"));
    }
    assert_eq!(
        code(Signed {
            date: date(14 * 60),
            ..call()
        })
        .await,
        refused(200, "ok")
    );
    let odd = Signed {
        date: "2026-01-01 00:00:00".into(),
        ..call()
    };
    assert_eq!(code(odd).await, refused(400, "InvalidTimeStamp.Format"));
    let token = Signed {
        token: Some("surprise".into()),
        ..call()
    };
    assert_eq!(
        code(token).await,
        refused(400, "InvalidSecurityToken.MismatchWithAccessKey")
    );

    let once = || Signed {
        nonce: "n-1".into(),
        ..call()
    };
    assert_eq!(code(once()).await, refused(200, "ok"));
    assert_eq!(code(once()).await, refused(400, "SignatureNonceUsed"));
    // A wrong signature does not use a nonce up.
    let forged = Signed {
        nonce: "n-2".into(),
        key: ("testid".into(), "guess".into()),
        ..call()
    };
    assert_eq!(code(forged).await, refused(400, "SignatureDoesNotMatch"));
    assert_eq!(
        code(Signed {
            nonce: "n-2".into(),
            ..call()
        })
        .await,
        refused(200, "ok")
    );
}

#[tokio::test(start_paused = true)]
async fn temporary_credentials_need_their_token() {
    let key: AccessKey = "STS.id:secret:tok/en+1=".parse().expect("a key");
    let bed = Bed::with(Config {
        access_keys: vec![key],
        ..Config::default()
    })
    .await;
    let call = |token: Option<&str>| {
        let key = ("STS.id".to_owned(), "secret".to_owned());
        Signed {
            key,
            token: token.map(str::to_owned),
            ..Signed::new("DescribeRegions")
        }
        .build()
    };
    assert_eq!(bed.send(call(Some("tok/en+1="))).await.expect("an answer").status, 200);
    for wrong in [None, Some("other")] {
        let reply = bed.send(call(wrong)).await.expect("an answer");
        assert_eq!(reply.code(), "InvalidSecurityToken.MismatchWithAccessKey");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_signed_is_what_counts() {
    let bed = Bed::new().await;
    let signed =
        || Signed::new("DeleteContainerGroup").form(&[("RegionId", "cn-hangzhou"), ("ContainerGroupId", "eci-1")]);
    // Another body under the same signature, with the old hash and with its own.
    let body = Bytes::from_static(b"RegionId=cn-hangzhou&ContainerGroupId=eci-2");
    let mut request = signed().build();
    *request.body_mut() = body.clone();
    assert_eq!(
        bed.send(request).await.expect("an answer").code(),
        "SignatureDoesNotMatch"
    );
    let mut request = signed().build();
    let hash = mock_eci::api::signature::content_hash(&body);
    *request.body_mut() = body;
    request
        .headers_mut()
        .insert("x-acs-content-sha256", hash.parse().expect("a header"));
    assert_eq!(
        bed.send(request).await.expect("an answer").code(),
        "SignatureDoesNotMatch"
    );
    // Another action, which is a header.
    let mut request = signed().build();
    request
        .headers_mut()
        .insert("x-acs-action", "DescribeRegions".parse().expect("a header"));
    assert_eq!(
        bed.send(request).await.expect("an answer").code(),
        "SignatureDoesNotMatch"
    );
    // A parameter added to the query.
    let mut request = signed().build();
    *request.uri_mut() = "http://eci.test/?Force=true".parse().expect("a URI");
    assert_eq!(
        bed.send(request).await.expect("an answer").code(),
        "SignatureDoesNotMatch"
    );
}

#[tokio::test(start_paused = true)]
async fn incomplete_requests_say_what_is_missing() {
    let bed = Bed::new().await;
    let get = |query: &str| {
        Request::builder()
            .uri(format!("http://eci.test/?{query}"))
            .body(Bytes::new())
            .expect("a request")
    };
    for (query, code) in [
        ("", "MissingAction"),
        ("Action=DescribeRegions", "MissingParameter"),
        ("Action=DescribeRegions&Version=2014-05-26", "InvalidVersion"),
        ("Action=DescribeRegions&Version=2018-08-08", "MissingParameter"),
    ] {
        assert_eq!(bed.send(get(query)).await.expect("an answer").code(), code, "{query:?}");
    }
    let mut request = Signed::new("DescribeRegions").build();
    request
        .headers_mut()
        .insert("authorization", "ACS3-HMAC-SHA256 nonsense".parse().expect("a header"));
    assert_eq!(
        bed.send(request).await.expect("an answer").code(),
        "IncompleteSignature"
    );
    let mut request = Signed::new("DescribeRegions").build();
    request.headers_mut().remove("x-acs-date");
    assert_eq!(
        bed.send(request).await.expect("an answer").code(),
        "IncompleteSignature"
    );
    let request = Request::put("http://eci.test/").body(Bytes::new()).expect("a request");
    let reply = bed.send(request).await.expect("an answer");
    assert_eq!((reply.status, reply.code()), (403, "UnsupportedHTTPMethod"));
}

#[tokio::test(start_paused = true)]
async fn a_parameter_given_twice_is_refused() {
    let bed = Bed::new().await;
    let reply = bed
        .send(Signed::new("DescribeRegions").form(&[("A", "1"), ("A", "2")]).build())
        .await
        .expect("answer");
    assert_eq!(reply.code(), "InvalidParameter");
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_parameters_is_refused() {
    let bed = Bed::new().await;
    let names: Vec<String> = (0..20_001).map(|n| format!("P{n}")).collect();
    let params: Vec<(&str, &str)> = names.iter().map(|n| (n.as_str(), "")).collect();
    let reply = bed
        .send(Signed::new("DescribeRegions").form(&params).build())
        .await
        .expect("an answer");
    assert_eq!(reply.code(), "InvalidParameter");
}

fn name() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("Container".to_owned()),
        Just("InitContainer".to_owned()),
        Just("Volume".to_owned()),
        Just("Tag".to_owned()),
        Just("Name".to_owned()),
        Just("Key".to_owned()),
        Just("Arg".to_owned()),
        Just("EnvironmentVar".to_owned()),
        Just("ConfigFileVolume".to_owned()),
        Just("LivenessProbe".to_owned()),
        Just("1".to_owned()),
        Just("2".to_owned()),
        Just("0".to_owned()),
        Just(String::new()),
        "\\PC{0,4}",
    ];
    prop::collection::vec(part, 1..5).prop_map(|parts| parts.join("."))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// A signed create of any parameters is answered: with an id or with one of ECI's codes.
    #[test]
    fn any_parameters_are_answered(params in prop::collection::btree_map(name(), "\\PC{0,8}", 0..12)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.block_on(async {
            let bed = Bed::new().await;
            let params: Vec<_> = params.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            let mut all = vec![
                ("RegionId", "cn-hangzhou"), ("ContainerGroupName", "any"), ("Container.1.Name", "c"),
                ("Container.1.Image", "i"),
            ];
            all.retain(|(n, _)| params.iter().all(|(name, _)| name != n));
            all.extend(params);
            let reply = bed.send(Signed::new("CreateContainerGroup").form(&all).build()).await.expect("an answer");
            assert!(reply.status == 200 || (400..500).contains(&reply.status), "{reply:?}");
        });
    }

    /// So is any request at all.
    #[test]
    fn any_bytes_are_answered(
        query in "[a-zA-Z0-9=&.%+;]{0,60}",
        body in prop::collection::vec(any::<u8>(), 0..80),
        authorization in prop_oneof![Just(String::new()), "ACS3-HMAC-SHA256 [A-Za-z=,;]{0,60}"],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.block_on(async {
            let bed = Bed::new().await;
            let request = Request::post(format!("http://eci.test/?{query}"))
                .header("authorization", authorization)
                .header("content-type", "application/x-www-form-urlencoded")
                .body(Bytes::from(body))
                .expect("a request");
            let reply = bed.send(request).await.expect("an answer");
            assert!((400..500).contains(&reply.status), "{reply:?}");
        });
    }
}

#[test]
fn the_encoder_of_these_tests_sends_spaces_as_plus() {
    assert_eq!(encode(&[("a b", "c d")]), "a+b=c+d");
}
