//! What one call does on the wire and what it makes of the answers: retries, limits, clock and credentials, on paused
//! time.

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use eci::credentials::Provided;
use eci::{
    Action, Client, ClientConfig, Credentials, ErrorClass, GroupQuery, Limits, LogQuery, ProvideCredentials, Rate,
    StatusQuery, TowerTransport,
};
use futures::FutureExt as _;
use provider::request::{Container, CreateContainerGroup};
use provider::units::{MiB, MilliCpu};
use support::{Log, NOW, Reply, Script, client, client_as, error, error_with, ok};
use tokio::time::Instant;

const CREATED: &str = r#"{"RequestId":"req-2","ContainerGroupId":"eci-1"}"#;
const DONE: &str = r#"{"RequestId":"req-2"}"#;

fn request() -> CreateContainerGroup {
    CreateContainerGroup {
        region_id: "cn-hangzhou".into(),
        name: "web-1".into(),
        client_token: "token-1".into(),
        cpu: MilliCpu(250),
        memory: MiB(512),
        containers: vec![Container {
            name: "c1".into(),
            image: "nginx:1.25".into(),
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// Classes of the attempts a create needed, and how it ended.
async fn create(replies: Vec<Reply>) -> (Result<eci::Created, eci::Error>, Vec<support::Seen>) {
    let script = Script::of(replies);
    let result = client(&script).create_container_group(&request()).await;
    (result, script.finish())
}

#[tokio::test(start_paused = true)]
async fn a_create_is_one_signed_form() {
    let (result, seen) = create(vec![ok(CREATED)]).await;
    let created = result.expect("created");
    assert_eq!((created.id.as_str(), created.request_id.as_str()), ("eci-1", "req-2"));
    let [sent] = seen.as_slice() else {
        panic!("one request, not {}", seen.len())
    };
    assert_eq!(
        (sent.method.as_str(), sent.uri.to_string().as_str()),
        ("POST", "http://eci.test:8090/")
    );
    for (name, value) in [
        ("host", "eci.test:8090"),
        ("user-agent", "test/1"),
        ("accept", "application/json"),
        ("content-type", "application/x-www-form-urlencoded"),
        ("x-acs-action", "CreateContainerGroup"),
        ("x-acs-version", "2018-08-08"),
        ("x-acs-date", NOW),
        ("x-acs-content-sha256", &provider::sign::body_hash(&sent.body)),
    ] {
        assert_eq!(sent.header(name), value, "{name}");
    }
    assert_eq!(sent.form(), provider::params::create_params(&request()));
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_is_a_create_that_says_so_and_leaves_nothing() {
    let script = Script::of(vec![error(400, "DryRunOperation")]);
    client(&script).dry_run(&request()).await.expect("it would work");
    let seen = script.finish();
    let mut expected = provider::params::create_params(&request());
    expected.push(("DryRun".to_owned(), "true".to_owned()));
    assert_eq!(seen[0].form(), expected);

    let script = Script::of(vec![error(400, "InvalidVSwitchId.NotFound")]);
    client(&script).dry_run(&request()).await.expect_err("no such vSwitch");
    script.finish();

    // Something that knows no dry runs.
    let script = Script::of(vec![ok(CREATED), ok(DONE)]);
    client(&script).dry_run(&request()).await.expect_err("it was created");
    let seen = script.finish();
    assert_eq!(seen[1].header("x-acs-action"), "DeleteContainerGroup");
}

#[tokio::test(start_paused = true)]
async fn the_signature_covers_what_was_sent() {
    let (_, seen) = create(vec![ok(CREATED)]).await;
    let sent = &seen[0];
    let authorization = sent.header("authorization");
    let list = authorization
        .split("SignedHeaders=")
        .nth(1)
        .and_then(|rest| rest.split(',').next())
        .expect("a list");
    let headers: Vec<(&str, &str)> = list.split(';').map(|name| (name, sent.header(name))).collect();
    let no_query: [(&str, &str); 0] = [];
    let hash = provider::sign::body_hash(&sent.body);
    let again = provider::sign::acs3("POST", &no_query, &headers, &hash, "testid", "testsecret");
    assert_eq!(authorization, again.authorization);
    for needed in [
        "host",
        "x-acs-action",
        "x-acs-content-sha256",
        "x-acs-date",
        "x-acs-signature-nonce",
    ] {
        assert!(list.split(';').any(|name| name == needed), "{needed} is not signed");
    }
}

#[tokio::test(start_paused = true)]
async fn every_repetition_has_the_same_body_and_a_new_nonce() {
    let (result, seen) = create(vec![
        error(400, "Throttling"),
        error(503, "ServiceUnavailable"),
        Reply::Interrupted,
        error(400, "SignatureNonceUsed"),
        error(403, "LastTokenProcessing"),
        ok(CREATED),
    ])
    .await;
    assert_eq!(result.expect("created").id, "eci-1");
    assert_eq!(
        seen.iter().map(|sent| &sent.body).collect::<BTreeSet<_>>().len(),
        1,
        "one body"
    );
    let nonces: BTreeSet<&str> = seen.iter().map(|sent| sent.header("x-acs-signature-nonce")).collect();
    assert_eq!(nonces.len(), seen.len(), "a nonce each");
    assert!(
        seen.iter()
            .all(|sent| sent.param("ClientToken").as_deref() == Some("token-1"))
    );
}

#[tokio::test(start_paused = true)]
async fn what_cannot_help_is_not_repeated() {
    for (status, code, class) in [
        (403, "OperationDenied.NoStock", ErrorClass::Stock),
        (400, "InvalidParameter.CPU.Memory", ErrorClass::Permanent),
        (400, "IdempotentParameterMismatch", ErrorClass::AlreadyAccepted),
        (403, "Forbidden.RAM", ErrorClass::Credentials),
        (400, "SignatureDoesNotMatch", ErrorClass::Credentials),
        (404, "InvalidVSwitchId.NotFound", ErrorClass::Permanent),
        (404, "", ErrorClass::Permanent),
    ] {
        let (result, seen) = create(vec![error(status, code)]).await;
        let failed = result.expect_err(code);
        assert_eq!(failed.class(), class, "{code}");
        assert_eq!(
            (failed.status(), failed.request_id()),
            (Some(status), Some("req-1")),
            "{code}"
        );
        assert_eq!(failed.code().unwrap_or_default(), code);
        assert_eq!(seen.len(), 1, "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn back_off_ends() {
    let replies = (0..6).map(|_| error(503, "ServiceUnavailable")).collect();
    let (result, seen) = create(replies).await;
    assert_eq!(result.expect_err("ECI is down").class(), ErrorClass::Transient);
    let took = seen[5].at - seen[0].at;
    assert!(
        took <= Duration::from_millis(500 + 1000 + 2000 + 4000 + 8000),
        "{took:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_unknown_outcome_is_not_forgotten() {
    // The first attempt may have made a group; that the others never arrived proves nothing.
    let mut replies = vec![Reply::Interrupted];
    replies.extend((0..5).map(|_| Reply::NotSent));
    let (result, _) = create(replies).await;
    assert_eq!(result.expect_err("no answer").class(), ErrorClass::UnknownOutcome);

    let (result, _) = create((0..6).map(|_| Reply::NotSent).collect()).await;
    assert_eq!(result.expect_err("no connection").class(), ErrorClass::Transient);

    // ECI's own judgement of the same token settles it.
    let (result, _) = create(vec![Reply::Interrupted, error(403, "OperationDenied.NoStock")]).await;
    assert_eq!(result.expect_err("no stock").class(), ErrorClass::Stock);
}

#[tokio::test(start_paused = true)]
async fn silence_is_an_unknown_outcome_within_the_deadline() {
    let begun = Instant::now();
    let (result, seen) = create((0..4).map(|_| Reply::Silence).collect()).await;
    assert_eq!(result.expect_err("silence").class(), ErrorClass::UnknownOutcome);
    // Timers have a resolution of one millisecond, and there are a few of them.
    let allowed = Duration::from_millis(60_010);
    assert!(
        begun.elapsed() <= allowed,
        "{:?} and {} attempts",
        begun.elapsed(),
        seen.len()
    );
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_cannot_be_read_is_an_unknown_outcome() {
    for body in ["<html>", r#"{"RequestId":"r"}"#, r#"{"ContainerGroupId":""}"#] {
        let (result, _) = create(vec![ok(body)]).await;
        assert_eq!(result.expect_err(body).class(), ErrorClass::UnknownOutcome, "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reading_call_has_no_unknown_outcome() {
    for replies in [
        (0..4).map(|_| Reply::Interrupted).collect::<Vec<_>>(),
        (0..4).map(|_| error(500, "InternalError")).collect(),
        vec![ok("<html>")],
    ] {
        let script = Script::of(replies);
        let failed = client(&script).list_usage().await.expect_err("it failed");
        assert_eq!(failed.class(), ErrorClass::Transient, "{failed:?}");
        script.finish();
    }
}

#[tokio::test(start_paused = true)]
async fn the_other_side_says_how_long_to_wait() {
    let wait = |name, value| error_with(400, "Throttling", "slow down", vec![(name, value)]);
    let (_, seen) = create(vec![
        wait("x-acs-retry-after", "2500"),
        wait("retry-after", "7"),
        ok(CREATED),
    ])
    .await;
    assert!(seen[1].at - seen[0].at >= Duration::from_millis(2500));
    assert!(seen[2].at - seen[1].at >= Duration::from_secs(7));
}

#[tokio::test(start_paused = true)]
async fn a_wrong_clock_is_corrected_once_and_for_all() {
    let late = || {
        error_with(
            400,
            "InvalidTimeStamp.Expired",
            "expired",
            vec![("date", "Mon, 23 Nov 2026 16:50:07 GMT")],
        )
    };
    let script = Script::of([late(), ok(DONE), ok(DONE), late(), late()]);
    let client = client(&script);
    client
        .delete_container_group("eci-1", false)
        .await
        .expect("after the correction");
    client
        .delete_container_group("eci-2", false)
        .await
        .expect("signed by ECI's clock at once");
    let failed = client
        .delete_container_group("eci-3", false)
        .await
        .expect_err("a second refusal");
    assert_eq!(failed.class(), ErrorClass::Credentials);
    let dates: Vec<String> = script
        .finish()
        .iter()
        .map(|sent| sent.header("x-acs-date").to_owned())
        .collect();
    assert_eq!(dates[0], NOW);
    assert!(
        dates[1..].iter().all(|date| date == "2026-11-23T16:50:07Z"),
        "{dates:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn without_a_date_there_is_nothing_to_correct_by() {
    let script = Script::of([error(400, "IllegalTimestamp")]);
    let failed = client(&script).list_usage().await.expect_err("refused");
    assert_eq!(failed.class(), ErrorClass::Credentials);
    script.finish();
}

/// Hands out a new temporary key each time it is asked to renew.
#[derive(Debug, Default)]
struct Renewing(AtomicU32);

impl Renewing {
    fn current(&self) -> Arc<Credentials> {
        let mut credentials = Credentials::new(format!("id-{}", self.0.load(Ordering::SeqCst)), "testsecret");
        credentials.security_token = Some(eci::Secret::new("t0k3n"));
        Arc::new(credentials)
    }
}

impl ProvideCredentials for Renewing {
    fn provide(&self) -> Provided<'_> {
        async { Ok(self.current()) }.boxed()
    }

    fn renew(&self, _: &Arc<Credentials>) -> Provided<'_> {
        self.0.fetch_add(1, Ordering::SeqCst);
        self.provide()
    }
}

#[tokio::test(start_paused = true)]
async fn expired_credentials_are_renewed_once() {
    let expired = || error(400, "InvalidSecurityToken.Expired");
    let script = Script::of([expired(), ok(DONE), expired(), expired()]);
    let client = client_as(&script, Arc::<Renewing>::default());
    client
        .delete_container_group("eci-1", false)
        .await
        .expect("with new credentials");
    let failed = client
        .delete_container_group("eci-2", false)
        .await
        .expect_err("refused again");
    assert_eq!(failed.class(), ErrorClass::Credentials);
    let ids: Vec<String> = script
        .finish()
        .iter()
        .map(|sent| sent.header("x-acs-accesskey-id").to_owned())
        .collect();
    assert_eq!(ids, ["id-0", "id-1", "id-1", "id-2"]);
}

#[tokio::test(start_paused = true)]
async fn a_lasting_key_is_not_tried_twice() {
    let script = Script::of([error(404, "InvalidAccessKeyId.NotFound")]);
    let failed = client(&script).list_usage().await.expect_err("refused");
    assert_eq!(failed.class(), ErrorClass::Credentials);
    script.finish();
}

#[tokio::test(start_paused = true)]
async fn deletes_say_not_found() {
    for (status, code) in [
        (404, "InvalidContainerGroup.NotFound"),
        (404, ""),
        (400, "ContainerGroupNotFound"),
    ] {
        let script = Script::of([error(status, code)]);
        let failed = client(&script)
            .delete_container_group("eci-1", true)
            .await
            .expect_err("gone");
        assert_eq!(failed.class(), ErrorClass::NotFound, "{code}");
        let sent = script.finish();
        assert_eq!(sent[0].param("Force").as_deref(), Some("true"));
        assert_eq!(sent[0].param("ContainerGroupId").as_deref(), Some("eci-1"));
    }
}

#[tokio::test(start_paused = true)]
async fn status_records_share_the_page_and_decode_on_demand() {
    let body = r#"{"NextToken":"t2","TotalCount":3,"Data":[{"ContainerGroupId":"eci-1","Status":"Running"},
        {"ContainerGroupId":"eci-2","Status":"Pending"}]}"#;
    let script = Script::of([ok(body), ok(r#"{"Data":null}"#)]);
    let client = client(&script);
    let page = client.describe_status(&StatusQuery::default()).await.expect("a page");
    assert_eq!(
        (page.records.len(), page.next_token.as_deref(), page.total),
        (2, Some("t2"), 3)
    );
    assert_ne!(page.records[0].hash(), page.records[1].hash());
    assert_eq!(page.records[1].decode().expect("a record").id, "eci-2");
    let query = StatusQuery {
        next_token: page.next_token,
        ..StatusQuery::default()
    };
    let last = client.describe_status(&query).await.expect("a page");
    assert!(last.records.is_empty() && last.next_token.is_none());
    assert_eq!(script.finish()[1].param("NextToken").as_deref(), Some("t2"));
}

fn page(ids: &[&str], next: &str) -> Reply {
    let groups: Vec<_> = ids
        .iter()
        .map(|id| serde_json::json!({"ContainerGroupId": id}))
        .collect();
    ok(&serde_json::json!({"TotalCount": 9, "NextToken": next, "ContainerGroups": groups}).to_string())
}

#[tokio::test(start_paused = true)]
async fn a_list_has_every_page_and_every_group_once() {
    // Groups shift between pages while others come and go.
    let script = Script::of([page(&["a", "b"], "2"), page(&["b", "c"], "3"), page(&["d"], "")]);
    let tags = [("k".to_owned(), "v".to_owned())];
    let groups = client(&script).list_container_groups(&tags).await.expect("complete");
    assert_eq!(
        groups.iter().map(|group| group.id.as_str()).collect::<Vec<_>>(),
        ["a", "b", "c", "d"]
    );
    assert!(
        script
            .finish()
            .iter()
            .all(|sent| sent.param("Tag.1.Value").as_deref() == Some("v"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_list_is_complete_or_an_error() {
    let script = Script::of([page(&["a"], "2"), error(403, "Forbidden.RAM")]);
    client(&script)
        .list_container_groups(&[])
        .await
        .expect_err("a page is missing");
    script.finish();
    let script = Script::of([page(&["a"], "2"), page(&["b"], "2")]);
    client(&script).list_container_groups(&[]).await.expect_err("a circle");
    script.finish();
}

#[tokio::test(start_paused = true)]
async fn events_of_groups_come_beside_them() {
    let body = r#"{"ContainerGroups":[{"ContainerGroupId":"a","Events":[{"Reason":"SpotToBeReleased"}]},
        {"ContainerGroupId":"b","Events":[]}]}"#;
    let script = Script::of([ok(body)]);
    let query = GroupQuery {
        with_event: true,
        ..GroupQuery::default()
    };
    let page = client(&script).describe_container_groups(&query).await.expect("a page");
    assert_eq!(page.groups.len(), 2);
    assert_eq!((page.events.len(), page.events[0].group_id.as_str()), (1, "a"));
}

#[tokio::test(start_paused = true)]
async fn too_many_ids_are_refused_without_a_call() {
    let script = Script::of([]);
    let ids: Vec<String> = (0..21).map(|i| format!("eci-{i}")).collect();
    let failed = client(&script)
        .describe_status(&StatusQuery {
            ids,
            ..Default::default()
        })
        .await
        .expect_err("21 ids");
    assert_eq!(failed.class(), ErrorClass::Permanent);
    script.finish();
}

#[tokio::test(start_paused = true)]
async fn a_log_is_its_content() {
    let script = Script::of([ok(r#"{"ContainerName":"c","Content":"a\nb\n"}"#)]);
    let query = LogQuery {
        group_id: "eci-1".into(),
        container: "c".into(),
        ..Default::default()
    };
    assert_eq!(client(&script).describe_log(&query).await.expect("a log"), "a\nb\n");
    script.finish();
}

#[tokio::test(start_paused = true)]
async fn limits_pace_attempts_and_throttling_brakes() {
    let limits = Limits::Custom(vec![(
        Action::ListUsage,
        Rate {
            per_minute: 60,
            burst: 1,
        },
    )]);
    let script = Script::of([ok("{}"), ok("{}"), error(400, "Throttling.User"), ok("{}")]);
    let log = Arc::new(Log::default());
    let client = client(&script).with_limits(&limits).with_observer(log.clone());
    for _ in 0..3 {
        client.list_usage().await.expect("in the end");
    }
    let seen = script.finish();
    let gaps: Vec<f64> = seen
        .windows(2)
        .map(|two| (two[1].at - two[0].at).as_secs_f64())
        .collect();
    assert!(
        (gaps[0] - 1.0).abs() < 0.01 && (gaps[1] - 1.0).abs() < 0.01,
        "one a second: {gaps:?}"
    );
    assert!(gaps[2] > 1.5, "half of that after throttling: {gaps:?}");
    let outcomes: Vec<&str> = log
        .calls
        .lock()
        .expect("no panic")
        .iter()
        .map(|(_, outcome)| *outcome)
        .collect();
    assert_eq!(outcomes, ["ok", "ok", "throttle", "ok"]);
    assert_eq!(log.waits.lock().expect("no panic").len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_tower_service_serves_as_transport() {
    type Body = http_body_util::Full<bytes::Bytes>;
    let service = tower::service_fn(|request: http::Request<Body>| async move {
        let action = request.headers()["x-acs-action"]
            .to_str()
            .unwrap_or_default()
            .to_owned();
        let body = format!(r#"{{"Regions":[{{"RegionId":"{action}"}}]}}"#);
        Ok::<_, std::convert::Infallible>(http::Response::new(Body::from(body)))
    });
    let config = ClientConfig {
        endpoint: "http://eci.test".into(),
        region: "cn-hangzhou".into(),
        limits: Limits::Documented,
        user_agent: "test/1".into(),
    };
    let transport = Arc::new(TowerTransport::<_, Body>::new(service));
    let client = Client::new(config, Arc::new(Credentials::new("id", "secret")), transport).expect("good");
    assert_eq!(
        client.describe_regions().await.expect("regions")[0].id,
        "DescribeRegions"
    );
}

#[tokio::test(start_paused = true)]
async fn metrics_of_twenty_groups_are_one_call() {
    let body = r#"{"RequestId":"r","MonitorDatas":[{"ContainerGroupId":"eci-1","Records":[{"Timestamp":"2026-01-01T00:00:15Z",
        "CPU":{"UsageCoreNanoSeconds":7}}]},{"ContainerGroupId":"eci-2","Records":[]}]}"#;
    let script = Script::of(vec![ok(body)]);
    let client = client(&script);
    let ids: Vec<String> = ["eci-1", "eci-2"].map(str::to_owned).into();
    let groups = client.describe_metrics(&ids).await.expect("answered");
    let used: Vec<_> = groups
        .into_iter()
        .map(|group| group.newest().and_then(|sample| sample.cpu.usage_core_nano_seconds))
        .collect();
    assert_eq!(used, [Some(7), None]);
    for wrong in [Vec::new(), vec!["eci-1".to_owned(); 21]] {
        let refusal = client.describe_metrics(&wrong).await.expect_err("refused here");
        assert_eq!(refusal.class(), ErrorClass::Permanent);
    }
    let seen = script.finish();
    assert_eq!(seen.len(), 1);
    let form = seen[0].form();
    assert!(
        form.contains(&("MetricType".to_owned(), "summary".to_owned())),
        "{form:?}"
    );
}
