//! The endpoint: the embedded engine in another process.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use http_body_util::{BodyExt, Full};
use hyper::{Request, body::Bytes};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};

/// `campaigns serve`, of which the endpoint alone is used.
pub(crate) struct Engine {
    child: Child,
    url: String,
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Err: it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The processor time of a process so far, seconds.
pub(crate) fn cpu_of(process: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let fields: Vec<&str> = fields.split(' ').collect();
    // utime and stime, in ticks of 10 ms (proc(5), fields 14 and 15).
    let ticks = |at: usize| fields[at].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / 100.0
}

impl Engine {
    pub(crate) fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_campaigns"))
            .args(["serve", "--port", "0", "--dynamodb-port", "0"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
        let mut printed = String::new();
        while !printed.contains("Ctrl-C stops") {
            printed += &lines.next().expect("campaigns serve has ended").unwrap();
        }
        let (_, url) = printed.split_once("its DynamoDB at ").unwrap();
        let url = url.split_whitespace().next().unwrap().to_owned();
        Self { child, url }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn cpu(&self) -> f64 {
        cpu_of(self.child.id())
    }

    /// Puts a campaign with this many children, of the kinds and sizes of `seed`.
    pub(crate) fn seed(&self, campaign: &str, items: usize) {
        let seeded = Command::new(env!("CARGO_BIN_EXE_campaigns"))
            .args([
                "seed",
                campaign,
                "--total",
                &items.to_string(),
                "--endpoint-url",
                &self.url,
            ])
            .output()
            .unwrap();
        assert!(
            seeded.status.success(),
            "{}",
            String::from_utf8_lossy(&seeded.stderr)
        );
    }

    /// How many children the first page of a campaign shows.
    pub(crate) async fn left(&self, campaign: &str) -> usize {
        let page = self.page(campaign, &Value::Null).await;
        let items = page["Items"].as_array().unwrap().iter();
        items.filter(|item| item["SK"]["S"] != "CAMPAIGN").count()
    }

    /// The sort keys of a campaign, in order.
    pub(crate) async fn keys(&self, campaign: &str) -> Vec<String> {
        let (mut keys, mut after) = (Vec::new(), Value::Null);
        loop {
            let page = self.page(campaign, &after).await;
            let items = page["Items"].as_array().unwrap().iter();
            keys.extend(items.map(|item| item["SK"]["S"].as_str().unwrap().to_owned()));
            after = page["LastEvaluatedKey"].clone();
            if after.is_null() {
                return keys;
            }
        }
    }

    async fn page(&self, campaign: &str, after: &Value) -> Value {
        let mut query = json!({
            "TableName": "campaigns", "ConsistentRead": true, "ProjectionExpression": "PK, SK",
            "KeyConditionExpression": "PK = :campaign",
            "ExpressionAttributeValues": {":campaign": {"S": format!("CAMPAIGN#{campaign}")}},
        });
        if !after.is_null() {
            query["ExclusiveStartKey"] = after.clone();
        }
        let request = Request::post(&self.url)
            .header("content-type", "application/x-amz-json-1.0")
            .header("x-amz-target", "DynamoDB_20120810.Query")
            .header("x-amz-date", "20260101T000000Z")
            .header("authorization", "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0")
            .body(Full::<Bytes>::from(query.to_string()))
            .unwrap();
        let client: Client<HttpConnector, Full<Bytes>> =
            Client::builder(TokioExecutor::new()).build_http();
        let response = client.request(request).await.unwrap();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let page: Value = serde_json::from_slice(&body).unwrap();
        assert!(page["Items"].is_array(), "{page}");
        page
    }
}
