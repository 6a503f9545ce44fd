//! What a function's memory setting makes of a deletion. Lambda gives processing
//! power in proportion to memory, one CPU at 1,769 MB (developer guide, "Configure
//! Lambda function memory").

use serde_json::{Value, json};

/// Dollars for a GB of memory for a second, on x86 in us-east-1 (AWS Lambda's price
/// list, first tier, November 2026); arm64 costs a fifth less.
pub(crate) const GB_SECOND: f64 = 0.000_016_666_7;
/// Dollars for a request.
pub(crate) const REQUEST: f64 = 0.000_000_2;
/// The memory that comes with one CPU, MB.
const ONE_CPU: f64 = 1_769.0;

/// What a deletion that took so long on a whole CPU, and so much of it, takes and costs
/// with less: an upper bound, as if it never waited and worked at the same time.
pub(crate) fn table(seconds: f64, cpu: f64) -> Vec<Value> {
    println!(
        "  {:>10} {:>10} {:>22}",
        "memory", "seconds", "$ per million deletions"
    );
    let row = |megabytes: f64| {
        let takes = seconds - cpu + cpu * ONE_CPU / megabytes;
        let dollars = (takes * megabytes / 1_024.0 * GB_SECOND + REQUEST) * 1e6;
        println!("  {megabytes:>7} MB {takes:>10.3} {dollars:>22.2}");
        json!({ "megabytes": megabytes, "seconds": takes, "dollarsPerMillion": dollars })
    };
    [128.0, 256.0, 512.0, 1_024.0, ONE_CPU].map(row).into()
}
