//! Several ranges at once, over a proxy that knows partitions: each takes so many writes a
//! second. (The protocol itself: `model.rs`.)

use std::{
    collections::HashMap,
    hash::{Hash, Hasher},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};

use crate::harness::{
    ACCOUNT, World, endpoint, n,
    proxy::{Action, Call, throttled},
    s,
};

/// A partition of the table: part of a campaign's sort keys.
struct Partition {
    /// Its keys are before this one.
    before: String,
    tokens: f64,
    filled_at: Instant,
    taken: u32,
    returned: u32,
}

/// The partitions of a campaign.
#[derive(Clone)]
struct Partitions {
    /// The writes that each takes in a second; half of that at once.
    per_second: f64,
    /// In the order of their keys.
    partitions: Arc<Mutex<Vec<Partition>>>,
}

fn key(number: usize) -> String {
    format!("MESSAGE#{number:06}")
}

impl Partitions {
    /// Returns partitions with these numbers of children.
    fn of(sizes: &[usize], per_second: f64) -> Self {
        let mut end = 0;
        let partition = |size: &usize| {
            end += size;
            Partition {
                before: key(end),
                tokens: per_second / 2.0,
                filled_at: Instant::now(),
                taken: 0,
                returned: 0,
            }
        };
        Self {
            per_second,
            partitions: Arc::new(Mutex::new(sizes.iter().map(partition).collect())),
        }
    }

    /// Returns whether the partition of a key takes one more delete.
    fn takes(&self, sort_key: &str) -> bool {
        let mut partitions = self.partitions.lock().unwrap();
        let mut of = partitions.iter_mut();
        let of = of.find(|of| sort_key < of.before.as_str()).unwrap();
        let now = Instant::now();
        let filled = (now - of.filled_at).as_secs_f64() * self.per_second;
        of.tokens = (of.tokens + filled).min(self.per_second / 2.0);
        of.filled_at = now;
        let takes = of.tokens >= 1.0;
        if takes {
            of.tokens -= 1.0;
            of.taken += 1;
        } else {
            of.returned += 1;
        }
        takes
    }

    /// Does with a batch what DynamoDB does.
    fn answer(&self, call: &mut Call<'_>) -> Action {
        if call.operation != "BatchWriteItem" {
            return Action::Pass;
        }
        let tables = call.body["RequestItems"].as_object_mut().unwrap();
        let writes = tables.values_mut().next().unwrap().as_array_mut().unwrap();
        let sort_key = |write: &Value| {
            let key = &write["DeleteRequest"]["Key"]["SK"]["S"];
            key.as_str().unwrap().to_owned()
        };
        let (mut taken, returned): (Vec<Value>, Vec<Value>) = writes
            .drain(..)
            .partition(|write| self.takes(&sort_key(write)));
        if taken.is_empty() {
            return throttled();
        }
        let unprocessed = returned.len();
        taken.extend(returned);
        *writes = taken;
        Action::Unprocessed(unprocessed)
    }

    /// Returns the part of the deletes that was returned.
    fn returned(&self) -> f64 {
        let partitions = self.partitions.lock().unwrap();
        let sum = |count: fn(&Partition) -> u32| partitions.iter().map(count).sum::<u32>();
        f64::from(sum(|of| of.returned)) / f64::from(sum(|of| of.taken))
    }
}

/// What a deletion over partitions came to.
struct Run {
    /// How long it took, in relation to the least time that the largest partition needs.
    to_the_least: f64,
    /// Of the deletes, how many had to be sent again.
    returned: f64,
}

/// Deletes a campaign whose children are in partitions of these sizes.
async fn delete(sizes: &[usize], per_second: f64, page: u64) -> Run {
    let world = World::new().await.inline_budget(120_000);
    world.proxy.page_limit(page);
    world.put_campaign("campaign_1", &[]).await;
    let children: Vec<_> = (0..sizes.iter().sum()).map(key).collect();
    world.put_children("campaign_1", &children).await;
    let partitions = Partitions::of(sizes, per_second);
    let answers = partitions.clone();
    world.proxy.policy(move |call| answers.answer(call));
    let begun = Instant::now();
    let reply = world.delete("campaign_1").await;
    let took = begun.elapsed().as_secs_f64();
    assert_eq!(reply.status, 200);
    assert_eq!(reply.deleted_items()["messages"], children.len());
    assert!(world.left("campaign_1").await.is_empty());
    let largest = f64::from(u32::try_from(*sizes.iter().max().unwrap()).unwrap());
    let least = largest / per_second - 0.5;
    let returned = partitions.returned();
    println!("{sizes:?}: {took:.2} s, at least {least:.2} s; {returned:.3} returned");
    Run {
        to_the_least: took / least,
        returned,
    }
}

/// Whether times mean something: Amazon's DynamoDB Local is slower than the partitions.
fn is_timed() -> bool {
    endpoint().is_none()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_is_about_as_fast_as_its_largest_partition() {
    let run = if is_timed() {
        delete(&[1_000, 2_000, 3_000, 4_000], 500.0, 100).await
    } else {
        delete(&[200, 400, 600, 800], 500.0, 100).await
    };
    // One after the other, they would take two and a half times as long as the largest.
    assert!(
        !is_timed() || run.to_the_least < 2.3,
        "{:.3}",
        run.to_the_least
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_partition_gives_back_little_and_loses_no_time() {
    let run = delete(&[if is_timed() { 8_000 } else { 1_500 }], 1_000.0, 200).await;
    assert!(
        !is_timed() || run.to_the_least < 2.0,
        "{:.3}",
        run.to_the_least
    );
    assert!(run.returned < 0.15, "{:.3}", run.returned);
}

/// Leaves a deletion behind as a dead worker does: several ranges with marks somewhere in
/// them, all deleted up to the first mark, some of the rest up to the second. Returns its
/// reference.
async fn left_behind(world: &World, rng: &mut fastrand::Rng, children: &[String]) -> Value {
    let claimed = world.delete("campaign_1").await;
    assert_eq!(claimed.status, 202);
    let mut cuts: Vec<usize> = (0..rng.usize(1..6))
        .map(|_| rng.usize(0..=children.len()))
        .collect();
    cuts.sort_unstable();
    cuts.dedup();
    let (mut ranges, mut counted, mut gone) = (Vec::new(), 0, Vec::new());
    let (mut from, mut after) = (0, None::<String>);
    for to in cuts.iter().map(|cut| Some(*cut)).chain([None]) {
        let end = to.unwrap_or(children.len());
        let within = &children[from..end];
        // A border is a key, or a text between keys.
        let through = to.map(|_| match within.last() {
            Some(last) if rng.bool() => last.clone(),
            Some(last) => format!("{last}~"),
            None => format!("{}!", after.clone().unwrap_or_default()),
        });
        let counts = rng.usize(0..=within.len());
        let deletes = rng.usize(0..=counts);
        counted += counts;
        gone.extend_from_slice(&within[..deletes]);
        gone.extend(
            within[deletes..counts]
                .iter()
                .filter(|_| rng.bool())
                .cloned(),
        );
        let mark = |keys: usize| keys.checked_sub(1).map(|last| within[last].clone());
        let members = [
            ("after", after),
            ("through", through.clone()),
            ("countedThrough", mark(counts)),
            ("deletedThrough", mark(deletes)),
        ];
        let members = members.into_iter();
        ranges.push(AttributeValue::M(
            members
                .filter_map(|(name, key)| Some((name.to_owned(), s(&key?))))
                .collect(),
        ));
        (from, after) = (end, through);
    }
    let client = world.table.client();
    for key in gone {
        let delete = client.delete_item().table_name(world.table.name());
        let delete = delete.key("PK", s("CAMPAIGN#campaign_1"));
        delete.key("SK", s(&key)).send().await.unwrap();
    }
    let counts = HashMap::from([("messages".to_owned(), n(i64::try_from(counted).unwrap()))]);
    client
        .update_item()
        .table_name(world.table.name())
        .key("PK", s(&format!("ACCOUNT#{ACCOUNT}")))
        .key("SK", s(&format!("DELETION#{}", claimed.deletion_id())))
        .update_expression("SET ranges = :ranges, countedThrough = :true, counted = :counted")
        .expression_attribute_values(":ranges", AttributeValue::L(ranges))
        .expression_attribute_values(":true", AttributeValue::Bool(true))
        .expression_attribute_values(":counted", AttributeValue::M(counts))
        .send()
        .await
        .unwrap();
    json!({ "accountId": ACCOUNT, "deletionId": claimed.deletion_id() })
}

/// Throttles, returns writes, and loses requests and answers.
fn fault(seed: u64, call: &Call<'_>) -> Action {
    let mut hasher = std::hash::DefaultHasher::new();
    (seed, call.operation, call.nth).hash(&mut hasher);
    let mut rng = fastrand::Rng::with_seed(hasher.finish());
    match rng.u32(0..24) {
        0 | 1 => throttled(),
        2 => Action::LoseRequest,
        3 => Action::LoseAnswer,
        4 | 5 if call.operation == "BatchWriteItem" => Action::Unprocessed(2),
        _ => Action::Pass,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_takeover_continues_in_every_range() {
    for seed in 0..12 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut world = World::new().await.lease(60).inline_budget(0);
        world.put_campaign("campaign_1", &[]).await;
        let children: Vec<_> = (0..rng.usize(1..90)).map(key).collect();
        world.put_children("campaign_1", &children).await;
        world.put_children("campaign_10", &children).await;
        let deletion = left_behind(&world, &mut rng, &children).await;
        world = world.inline_budget(400);
        world.proxy.page_limit(rng.u64(1..9));
        world.proxy.policy(move |call| fault(seed, call));
        let mut slices = 0;
        loop {
            let runs = Duration::from_millis(700);
            let slice = world.drain(deletion.clone(), runs).await;
            if slice.is_ok_and(|slice| slice.status == "succeeded") {
                break;
            }
            slices += 1;
            assert!(slices < 200, "seed {seed} does not end");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        world.proxy.settle().await;
        let record = &world.records().await[0];
        let counted = record["counted"]["messages"].as_u64();
        assert_eq!(
            counted,
            Some(children.len() as u64),
            "seed {seed}: {record}"
        );
        // Any version can read it from now on.
        assert!(record["ranges"].is_null() && !record["countedThrough"].is_boolean());
        assert!(world.left("campaign_1").await.is_empty(), "seed {seed}");
        assert_eq!(world.left("campaign_10").await, children, "seed {seed}");
    }
}
