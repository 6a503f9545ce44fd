//! The conditions by which writers fence themselves, as docs/table.md shows them:
//! taken from there, and sent to the engine.

use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::{Request, body::Bytes};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::{Value, json};

use crate::{
    harness::proxy::{Action, is_claim},
    harness::{World, s},
};

const PAGE: &str = include_str!("../../../docs/table.md");

/// The block of this name in docs/table.md, for this world's table.
fn snippet(world: &World, name: &str) -> Value {
    let (_, after) = PAGE.split_once(&format!("```json fence:{name}\n")).unwrap();
    let (text, _) = after.split_once("```").unwrap();
    let table = format!("\"TableName\": \"{}\"", world.table.name());
    serde_json::from_str(&text.replace("\"TableName\": \"campaigns\"", &table)).unwrap()
}

/// Sends a request as it stands; the status and the error code.
async fn send(world: &World, operation: &str, body: &Value) -> (u16, String) {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let authorization = "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/dynamodb/aws4_request, \
                         SignedHeaders=host, Signature=0";
    let request = Request::post(world.proxy.url())
        .header("content-type", "application/x-amz-json-1.0")
        .header("x-amz-target", format!("DynamoDB_20120810.{operation}"))
        .header("x-amz-date", "20260101T000000Z")
        .header("authorization", authorization)
        .body(Full::<Bytes>::from(body.to_string()))
        .unwrap();
    let response = client.request(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let body: Value = serde_json::from_slice(&body).unwrap();
    let code = body["__type"].as_str().unwrap_or_default();
    (status, code.rsplit('#').next().unwrap().to_owned())
}

async fn put_child(world: &World) -> (u16, String) {
    let items = snippet(world, "child");
    send(
        world,
        "TransactWriteItems",
        &json!({ "TransactItems": items }),
    )
    .await
}

async fn update_campaign(world: &World) -> (u16, String) {
    send(world, "UpdateItem", &snippet(world, "campaign")).await
}

fn ok() -> (u16, String) {
    (200, String::new())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fenced_writer_writes_only_into_an_existing_campaign() {
    let world = World::new().await;
    let child_refused = (400, "TransactionCanceledException".to_owned());
    let update_refused = (400, "ConditionalCheckFailedException".to_owned());
    for deleting in [None, Some(("campaignStatus", s("deleting")))] {
        if let Some(status) = deleting {
            world.put_campaign("campaign_7", &[status]).await;
        }
        let before = world.dump().await;
        assert_eq!(put_child(&world).await, child_refused);
        assert_eq!(update_campaign(&world).await, update_refused);
        assert_eq!(world.dump().await, before);
    }
    world.put_campaign("campaign_7", &[]).await;
    assert_eq!(put_child(&world).await, ok());
    assert_eq!(update_campaign(&world).await, ok());
    assert_eq!(world.left("campaign_7").await, ["CAMPAIGN", "CHAT#chat_1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fenced_item_put_before_the_claim_is_deleted_and_counted() {
    let world = World::new().await;
    world.put_campaign("campaign_7", &[]).await;
    let children: Vec<_> = (0..300).map(|n| format!("CHAT#{n:05}")).collect();
    world.put_children("campaign_7", &children).await;
    // The writer has some time before the claim.
    world.proxy.policy(|call| {
        if is_claim(call) {
            Action::Delay(Duration::from_millis(200))
        } else {
            Action::Pass
        }
    });
    let mut put = 300;
    let mut refused_with = String::new();
    let writer = async {
        let mut items = snippet(&world, "child");
        for n in 0..500 {
            // Before and after whatever the deletion has read.
            let key = format!("CHAT#{:05}x{n}", (n * 7) % 300);
            items[1]["Put"]["Item"]["SK"]["S"] = key.into();
            let body = json!({ "TransactItems": items });
            match send(&world, "TransactWriteItems", &body).await {
                (200, _) => put += 1,
                (_, code) => {
                    refused_with = code;
                    break;
                }
            }
        }
    };
    let (reply, ()) = tokio::join!(world.delete("campaign_7"), writer);
    assert_eq!(reply.status, 200);
    assert_eq!(refused_with, "TransactionCanceledException");
    assert!(put > 300);
    assert_eq!(reply.deleted_items()["chats"], put);
    assert!(world.left("campaign_7").await.is_empty());
}
