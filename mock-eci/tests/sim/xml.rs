//! Answers in XML: to whom they are given and what they look like.

use http::{HeaderValue, Method};
use mock_eci::Peer;

use crate::bed::{Bed, Signed, signed_v1_as};

async fn answer(bed: &Bed, request: http::Request<bytes::Bytes>) -> (u16, String, String) {
    let response = bed.app().handle(request, Peer::Memory).await.expect("an answer");
    let kind = response.headers()["content-type"].to_str().expect("text").to_owned();
    let body = String::from_utf8(response.body().to_vec()).expect("UTF-8");
    (response.status().as_u16(), kind, body)
}

#[tokio::test(start_paused = true)]
async fn v1_answers_are_xml_unless_json_is_asked_for() {
    let bed = Bed::new().await;
    let region = [("RegionId", "cn-hangzhou")];
    for format in [Some("XML"), Some("xml"), Some(""), None] {
        let request = signed_v1_as(format, Method::GET, "DescribeRegions", &region);
        let (status, kind, body) = answer(&bed, request).await;
        assert_eq!((status, &*kind), (200, "text/xml;charset=utf-8"), "{format:?}");
        assert!(
            body.starts_with(r#"<?xml version="1.0" encoding="UTF-8"?><DescribeRegionsResponse><Regions><Region>"#),
            "{body}"
        );
        assert!(body.contains("<Zones><Zone>cn-hangzhou-h</Zone>"), "{body}");
    }
    for format in ["JSON", "json"] {
        let request = signed_v1_as(Some(format), Method::GET, "DescribeRegions", &region);
        assert_eq!(answer(&bed, request).await.1, "application/json;charset=utf-8");
    }
    let request = signed_v1_as(Some("YAML"), Method::GET, "DescribeRegions", &region);
    let (status, _, body) = answer(&bed, request).await;
    assert_eq!(status, 400);
    assert!(body.contains("InvalidParameter"), "{body}");
}

#[tokio::test(start_paused = true)]
async fn errors_are_in_the_same_form() {
    let bed = Bed::new().await;
    let request = signed_v1_as(None, Method::POST, "NoSuchAction", &[]);
    let (status, kind, body) = answer(&bed, request).await;
    assert_eq!((status, &*kind), (404, "text/xml;charset=utf-8"));
    assert!(
        body.contains("<Error><Code>InvalidAction.NotFound</Code><HostId>eci.test</HostId>"),
        "{body}"
    );
    assert!(body.ends_with("</Error>"), "{body}");
    // Nothing is known of a caller that gives nothing: the default.
    let nothing = http::Request::post("http://eci.test/")
        .body(bytes::Bytes::new())
        .expect("valid");
    let (status, kind, body) = answer(&bed, nothing).await;
    assert_eq!((status, &*kind), (400, "text/xml;charset=utf-8"));
    assert!(body.contains("<Code>MissingAction</Code>"), "{body}");
}

#[tokio::test(start_paused = true)]
async fn v3_answers_follow_accept() {
    let bed = Bed::new().await;
    for (accept, expected) in [
        ("application/xml", "text/xml;charset=utf-8"),
        ("text/xml, */*", "text/xml;charset=utf-8"),
        ("application/json", "application/json;charset=utf-8"),
        ("*/*", "application/json;charset=utf-8"),
    ] {
        let mut request = Signed::new("DescribeRegions").build();
        request.headers_mut().insert("accept", HeaderValue::from_static(accept));
        assert_eq!(answer(&bed, request).await.1, expected, "{accept}");
    }
    let mut request = Signed::new("DescribeContainerGroups").build();
    request
        .headers_mut()
        .insert("accept", HeaderValue::from_static("application/xml"));
    let (status, _, body) = answer(&bed, request).await;
    assert_eq!(status, 400);
    assert!(body.contains("<Code>MissingParameter</Code>"), "{body}");
}

#[tokio::test(start_paused = true)]
async fn a_group_and_its_log_survive_xml() {
    let bed = Bed::new().await;
    let id = bed
        .create(
            "xml",
            &[
                ("Container.1.EnvironmentVar.1.Key", "A"),
                ("Container.1.EnvironmentVar.1.Value", "<&\u{1}>"),
            ],
        )
        .await;
    bed.until(&id, "Running").await;
    let region = [("RegionId", "cn-hangzhou")];
    let (_, _, body) = answer(
        &bed,
        signed_v1_as(None, Method::GET, "DescribeContainerGroups", &region),
    )
    .await;
    assert!(body.contains("<ContainerGroups><ContainerGroup>"), "{body}");
    assert!(
        body.contains("<EnvironmentVar><Key>A</Key><Value>&lt;&amp;\u{fffd}&gt;</Value></EnvironmentVar>"),
        "{body}"
    );
    let (_, _, body) = answer(
        &bed,
        signed_v1_as(None, Method::POST, "DescribeContainerGroupStatus", &region),
    )
    .await;
    assert!(body.contains("<Data><Annotations>"), "{body}");
}
