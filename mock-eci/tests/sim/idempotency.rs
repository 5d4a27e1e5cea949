//! ClientToken.

use std::time::Duration;

use crate::bed::{Bed, Signed, signed_v1};

fn params<'a>(token: &'a str, image: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("RegionId", "cn-hangzhou"),
        ("ContainerGroupName", "once"),
        ("Container.1.Name", "c"),
        ("Container.1.Image", image),
        ("ClientToken", token),
    ]
}

#[tokio::test(start_paused = true)]
async fn the_same_request_gives_the_first_answer() {
    let bed = Bed::new().await;
    let create = async |token: &str, image: &str| bed.call("CreateContainerGroup", &params(token, image)).await;
    let first = create("t", "i").await.ok();
    assert_eq!(
        create("t", "i").await.ok()["ContainerGroupId"],
        first["ContainerGroupId"]
    );
    let other = create("t", "another").await;
    assert_eq!((other.status, other.code()), (400, "IdempotentParameterMismatch"));
    assert_ne!(
        create("t-2", "i").await.ok()["ContainerGroupId"],
        first["ContainerGroupId"]
    );
    assert_eq!(bed.app().group_ids().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn signature_and_place_of_parameters_do_not_count() {
    let bed = Bed::new().await;
    let all = params("t", "i");
    let body = bed
        .send(Signed::new("CreateContainerGroup").form(&all).build())
        .await
        .expect("an answer")
        .ok();
    let query = bed
        .send(Signed::new("CreateContainerGroup").query(&all).build())
        .await
        .expect("an answer")
        .ok();
    let v1 = bed
        .send(signed_v1(http::Method::POST, "CreateContainerGroup", &all))
        .await
        .expect("an answer")
        .ok();
    assert_eq!(body["ContainerGroupId"], query["ContainerGroupId"]);
    assert_eq!(body["ContainerGroupId"], v1["ContainerGroupId"]);
}

#[tokio::test(start_paused = true)]
async fn a_token_outlives_its_group_but_not_a_day() {
    let bed = Bed::new().await;
    let first = bed.call("CreateContainerGroup", &params("t", "i")).await.ok();
    let id = first["ContainerGroupId"].as_str().expect("an id").to_owned();
    bed.until(&id, "Running").await;
    bed.call("DeleteContainerGroup", &[("ContainerGroupId", &id), ("Force", "true")])
        .await
        .ok();
    bed.until_gone(&id).await;
    let again = bed.call("CreateContainerGroup", &params("t", "i")).await.ok();
    assert_eq!(
        again["ContainerGroupId"], id,
        "the first answer, though the group is gone"
    );
    bed.app().advance(Duration::from_secs(24 * 3600));
    let next_day = bed.call("CreateContainerGroup", &params("t", "i")).await.ok();
    assert_ne!(next_day["ContainerGroupId"], id);
}

#[tokio::test(start_paused = true)]
async fn a_token_of_a_delete_is_one_of_its_own() {
    let bed = Bed::new().await;
    let first = bed.call("CreateContainerGroup", &params("t", "i")).await.ok();
    let id = first["ContainerGroupId"].as_str().expect("an id").to_owned();
    let delete = async |force: &str| {
        let params = [
            ("ContainerGroupId", id.as_str()),
            ("Force", force),
            ("ClientToken", "t"),
        ];
        bed.call("DeleteContainerGroup", &params).await
    };
    delete("true").await.ok();
    bed.until_gone(&id).await;
    delete("true").await.ok();
    let other = delete("false").await;
    assert_eq!((other.status, other.code()), (400, "IdempotentParameterMismatch"));
    let unknown = bed
        .call(
            "DeleteContainerGroup",
            &[("ContainerGroupId", "eci-none"), ("ClientToken", "u")],
        )
        .await;
    assert_eq!(unknown.status, 404);
    let params = [("ContainerGroupId", "eci-other"), ("ClientToken", "u")];
    let again = bed.call("DeleteContainerGroup", &params).await;
    assert_eq!(again.status, 404, "a refused call does not use its token up");
}
