//! What a deletion consumes, by what the engine says of each request, against what
//! no way of deleting could do without. (`.ci/run` runs this on Amazon's DynamoDB
//! Local, too, which counts more for a transaction.)

use std::collections::BTreeMap;

use campaigns::cli::seed::Children;
use serde_json::{Value, json};

use crate::{
    harness::World,
    harness::proxy::{Action, Exchange},
};

/// Write units and read units.
#[derive(Clone, Copy, Debug, Default)]
struct Units {
    write: f64,
    read: f64,
}

/// What each operation has consumed, all requests of it together.
fn consumed(exchanges: &[Exchange]) -> BTreeMap<&str, (usize, Units)> {
    let mut by_operation: BTreeMap<&str, (usize, Units)> = BTreeMap::new();
    for exchange in exchanges {
        let answer: Value = serde_json::from_slice(&exchange.answer).unwrap();
        let said = &answer["ConsumedCapacity"];
        let tables = said.as_array().cloned().unwrap_or(vec![said.clone()]);
        let units: f64 = tables
            .iter()
            .map(|table| table["CapacityUnits"].as_f64().unwrap())
            .sum();
        let (requests, total) = by_operation.entry(&exchange.operation).or_default();
        *requests += 1;
        match exchange.operation.as_str() {
            "Query" | "GetItem" => total.read += units,
            _ => total.write += units,
        }
    }
    by_operation
}

/// The bytes of an item: names and values (developer guide, "DynamoDB item sizes and
/// formats"); children have nothing but texts.
fn bytes(item: &Value) -> usize {
    let attributes = item.as_object().unwrap().iter();
    attributes
        .map(|(name, value)| name.len() + value.as_str().unwrap().len())
        .sum()
}

/// What is unavoidable: a unit for each started KB of each item that is deleted, one
/// for the campaign item's entry in the index, and reading what is there once,
/// strongly consistent, a unit for each 4 KB.
async fn unavoidable(world: &World, id: &str) -> Units {
    let partition = format!("CAMPAIGN#{id}");
    let mut units = Units {
        write: 1.0,
        read: 0.0,
    };
    let mut total = 0;
    for ((pk, _), item) in &world.dump().await {
        if *pk == partition {
            let bytes = bytes(item);
            units.write += f64::from(u32::try_from(bytes.div_ceil(1_024)).unwrap());
            total += bytes;
        }
    }
    units.read = f64::from(u32::try_from(total.div_ceil(4_096)).unwrap());
    units
}

#[tokio::test(flavor = "multi_thread")]
async fn the_protocol_adds_few_units_to_the_unavoidable() {
    for (children, most_more) in [(837, 0.03), (24_000, 0.01)] {
        let mut world = World::new().await.inline_budget(120_000);
        // As it is deployed.
        world.rate_limit = std::num::NonZeroU32::new(60);
        world
            .seed("campaign_1", Children::in_proportion(children))
            .await;
        let least = unavoidable(&world, "campaign_1").await;
        world.proxy.policy(|call| {
            call.body["ReturnConsumedCapacity"] = json!("TOTAL");
            Action::Pass
        });
        assert_eq!(world.delete("campaign_1").await.status, 200);
        let exchanges = world.proxy.exchanges();
        let by_operation = consumed(&exchanges);
        println!("{children} children; unavoidable: {least:?}");
        let mut all = Units::default();
        for (operation, (requests, units)) in &by_operation {
            println!("  {operation}: {requests} requests, {units:?}");
            all.write += units.write;
            all.read += units.read;
        }
        let more = (all.write + all.read) / (least.write + least.read) - 1.0;
        println!(
            "  in all {all:?}: {:.2} % more than is unavoidable",
            more * 100.0
        );
        assert!(more < most_more, "{more}");
    }
}
