//! Rights, credentials, arrears, rates and quotas, as steering changes them.

use http::Request;
use mock_eci::Peer;
use serde_json::{Value, json};

use crate::bed::{Bed, Signed};

async fn steer(bed: &Bed, method: &str, path: &str, body: Value) -> Value {
    let request = Request::builder()
        .method(method)
        .uri(format!("/mock/{path}"))
        .body(
            if body.is_null() {
                String::new()
            } else {
                body.to_string()
            }
            .into(),
        )
        .expect("a request");
    let response = bed.app().handle(request, Peer::Memory).await.expect("an answer");
    let status = response.status();
    let answer: Value = serde_json::from_slice(response.body()).expect("JSON");
    assert_eq!(status, 200, "{method} {path}: {answer}");
    answer
}

async fn post(bed: &Bed, path: &str, body: Value) -> Value {
    steer(bed, "POST", path, body).await
}

#[tokio::test(start_paused = true)]
async fn rights_are_withdrawn_by_action_and_for_lists() {
    let bed = Bed::new().await;
    bed.create("gg", &[]).await;
    post(&bed, "rights", json!({"deny": ["CreateContainerGroup"], "list": false})).await;
    let denied = bed.call("CreateContainerGroup", &[]).await;
    assert_eq!((denied.status, denied.code()), (403, "Forbidden.RAM"));
    let list = bed.call("DescribeContainerGroups", &[]).await.ok();
    assert_eq!(list["TotalCount"], 0, "without rights the list is empty");
    let rights = post(&bed, "rights", json!({"allow": ["*"], "list": true})).await;
    assert_eq!(rights, json!({"list": true, "denied": [], "arrears": false}));
    bed.create("hh", &[]).await;
    post(&bed, "rights", json!({"deny": ["*"]})).await;
    assert_eq!(bed.call("ListUsage", &[]).await.code(), "Forbidden.RAM");
    post(&bed, "reset", Value::Null).await;
    bed.call("ListUsage", &[]).await.ok();
}

#[tokio::test(start_paused = true)]
async fn arrears_refuse_what_costs_and_nothing_else() {
    let bed = Bed::new().await;
    let id = bed.create("gg", &[]).await;
    post(&bed, "rights", json!({"arrears": true})).await;
    let refused = bed.call("CreateContainerGroup", &[]).await;
    assert_eq!((refused.status, refused.code()), (400, "Account.Arrearage"));
    bed.call("DeleteContainerGroup", &[("ContainerGroupId", &id)])
        .await
        .ok();
}

#[tokio::test(start_paused = true)]
async fn temporary_credentials_expire_by_the_servers_clock() {
    let bed = Bed::new().await;
    let sts = steer(&bed, "GET", "sts?seconds=900", Value::Null).await;
    let text = |name: &str| sts[name].as_str().expect("a text").to_owned();
    assert_eq!(text("Code"), "Success");
    let call = async |token: Option<String>| {
        let mut signed = Signed::new("ListUsage").form(&[("RegionId", "cn-hangzhou")]);
        signed.key = (text("AccessKeyId"), text("AccessKeySecret"));
        signed.token = token;
        let reply = bed.send(signed.build()).await.expect("an answer");
        match reply.status {
            200 => String::new(),
            _ => reply.code().to_owned(),
        }
    };
    assert_eq!(call(Some(text("SecurityToken"))).await, "");
    assert_eq!(call(None).await, "InvalidSecurityToken.MismatchWithAccessKey");
    post(&bed, "advance", json!({"seconds": 899})).await;
    assert_eq!(call(Some(text("SecurityToken"))).await, "");
    post(&bed, "advance", json!({"seconds": 1})).await;
    assert_eq!(call(Some(text("SecurityToken"))).await, "InvalidSecurityToken.Expired");
}

#[tokio::test(start_paused = true)]
async fn keys_are_added_disabled_and_taken_away() {
    let bed = Bed::new().await;
    let call = async |id: &str, secret: &str| {
        let mut signed = Signed::new("ListUsage").form(&[("RegionId", "cn-hangzhou")]);
        signed.key = (id.to_owned(), secret.to_owned());
        let reply = bed.send(signed.build()).await.expect("an answer");
        (reply.status, reply.body["Code"].as_str().unwrap_or_default().to_owned())
    };
    post(&bed, "credentials", json!({"id": "new", "secret": "s"})).await;
    assert_eq!(call("new", "s").await.0, 200);
    post(&bed, "credentials", json!({"id": "new", "active": false})).await;
    assert_eq!(call("new", "s").await, (400, "InvalidAccessKeyId.Inactive".to_owned()));
    let list = steer(&bed, "GET", "credentials", Value::Null).await;
    assert_eq!(
        list[1],
        json!({"id": "new", "temporary": false, "active": false, "expires-at": null})
    );
    steer(&bed, "DELETE", "credentials/new", Value::Null).await;
    assert_eq!(call("new", "s").await, (404, "InvalidAccessKeyId.NotFound".to_owned()));
    steer(&bed, "DELETE", "credentials/testid", Value::Null).await;
    post(&bed, "reset", Value::Null).await;
    assert_eq!(
        call("testid", "testsecret").await.0,
        200,
        "a reset brings those of the settings back"
    );
}

#[tokio::test(start_paused = true)]
async fn each_limit_is_put_in_force_by_itself() {
    let bed = Bed::new().await;
    post(&bed, "rates", json!({"action": "ListUsage", "per-minute": 2})).await;
    let mut codes = Vec::new();
    for _ in 0..3 {
        codes.push(bed.call("ListUsage", &[]).await.status);
    }
    assert_eq!(codes, [200, 200, 400]);
    post(&bed, "usage", json!({"max-cpu": 0.5})).await;
    let params = [
        ("ContainerGroupName", "gg"),
        ("Container.1.Name", "c"),
        ("Container.1.Image", "i"),
    ];
    assert_eq!(bed.call("CreateContainerGroup", &params).await.code(), "QuotaExceeded");
    let limits = post(&bed, "limits", json!({"rates": false})).await;
    assert_eq!(
        (&limits["rates"], &limits["vcpu"], &limits["retention"]),
        (&json!(false), &json!(true), &json!(true))
    );
    bed.call("ListUsage", &[]).await.ok();
    assert_eq!(bed.call("CreateContainerGroup", &params).await.code(), "QuotaExceeded");
    post(&bed, "limits", json!({"vcpu": false})).await;
    bed.call("CreateContainerGroup", &params).await.ok();
    post(&bed, "limits", json!({"limits": "documented"})).await;
    assert_eq!(bed.call("CreateContainerGroup", &params).await.code(), "QuotaExceeded");
}

#[tokio::test(start_paused = true)]
async fn the_records_of_finished_groups_may_stay() {
    let bed = Bed::new().await;
    post(&bed, "limits", json!({"limits": "none", "retention": false})).await;
    for n in 0..105 {
        let ends = [
            ("RestartPolicy", "Never"),
            ("Tag.1.Key", "mock-eci/exit-after-ms"),
            ("Tag.1.Value", "1"),
        ];
        let id = bed.create(&format!("g{n}"), &ends).await;
        bed.until(&id, "Succeeded").await;
    }
    post(&bed, "advance", json!({"seconds": 7200})).await;
    let last = bed
        .create(
            "last",
            &[
                ("RestartPolicy", "Never"),
                ("Tag.1.Key", "mock-eci/exit-after-ms"),
                ("Tag.1.Value", "1"),
            ],
        )
        .await;
    bed.until(&last, "Succeeded").await;
    post(&bed, "advance", json!({"seconds": 7200})).await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(bed.app().group_ids().len(), 106);
}

#[tokio::test(start_paused = true)]
async fn a_planned_error_has_its_codes_status_and_its_groups() {
    let bed = Bed::new().await;
    let plan = json!({
        "action": "DeleteContainerGroup", "times": "always", "tags": {"app": "web"}, "kind": "error", "code": "OperationDenied.NoStock",
    });
    let plans = post(&bed, "faults", plan).await;
    let web = bed.create("web", &[("Tag.1.Key", "app"), ("Tag.1.Value", "web")]).await;
    let db = bed.create("db", &[("Tag.1.Key", "app"), ("Tag.1.Value", "db")]).await;
    let failed = bed.call("DeleteContainerGroup", &[("ContainerGroupId", &web)]).await;
    assert_eq!((failed.status, failed.code()), (403, "OperationDenied.NoStock"));
    bed.call("DeleteContainerGroup", &[("ContainerGroupId", &db)])
        .await
        .ok();
    assert_eq!(steer(&bed, "GET", "faults", Value::Null).await[0]["met"], 1);
    let id = plans[0]["id"].as_u64().expect("an id");
    assert_eq!(
        steer(&bed, "DELETE", &format!("faults/{id}"), Value::Null).await,
        json!([])
    );
    bed.call("DeleteContainerGroup", &[("ContainerGroupId", &web)])
        .await
        .ok();
}

#[tokio::test(start_paused = true)]
async fn the_clock_is_switched_while_it_runs() {
    let bed = Bed::new().await;
    let clock = post(&bed, "clock", json!({"mode": "stepped"})).await;
    let now = clock["now"].clone();
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    assert_eq!(steer(&bed, "GET", "clock", Value::Null).await["now"], now, "it stands");
    let id = bed.create("gg", &[]).await;
    post(&bed, "clock", json!({"mode": "running", "speed": 100})).await;
    bed.until(&id, "Running").await;
    let later = post(&bed, "clock", json!({"to": "2100-01-01T00:00:00Z"})).await;
    assert!(
        later["now"].as_str().is_some_and(|now| now.starts_with("2100-01-01")),
        "{later}"
    );
}
