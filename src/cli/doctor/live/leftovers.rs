//! Takes away what runs have made: this one's at its end, and those of runs that are dead.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::super::{
    super::{CliError, connect::patience},
    check::Check,
};
use crate::table::{Table, Trial};

/// How long a run is silent before it counts as dead: several of its beats.
const SILENCE: Duration = Duration::from_secs(8);
/// How long taking away may take, in all.
const LONGEST: Duration = Duration::from_mins(2);

/// Takes away what dead runs have left. One that says that it is alive is left alone.
pub(super) async fn check(table: &Table) -> Check {
    const NAME: &str = "leftovers";
    match of_dead_runs(table).await {
        Ok((0, 0)) => Check::ok(NAME, "no earlier run has left anything"),
        Ok((dead, 0)) => {
            let seen = format!("{dead} earlier runs were killed; what they left is gone");
            Check::ok(NAME, seen)
        }
        Ok((dead, alive)) => Check::warning(
            NAME,
            format!("{alive} other runs are at work, {dead} dead ones were taken away"),
            "Wait for them, and run this again.",
        ),
        Err(error) => Check::failed(
            NAME,
            error.to_string(),
            "Allow dynamodb:Query, DeleteItem and BatchWriteItem on the table, and run this \
             again.",
        ),
    }
}

/// Returns how many runs were dead, and how many are alive.
async fn of_dead_runs(table: &Table) -> Result<(usize, usize), CliError> {
    let found = table.trials(patience()).await?;
    if found.is_empty() {
        return Ok((0, 0));
    }
    sleep(SILENCE).await;
    let now = table.trials(patience()).await?;
    let (silent, alive): (Vec<_>, Vec<_>) =
        now.into_iter().partition(|trial| found.contains(trial));
    for trial in &silent {
        take_away(table, trial).await?;
    }
    Ok((silent.len(), alive.len()))
}

/// Takes away everything that a run may have made, and its journal last. Repeating it is
/// safe at any point.
pub(super) async fn take_away(table: &Table, trial: &Trial) -> Result<(), CliError> {
    let until = Instant::now() + LONGEST;
    let account = trial.account_id();
    // The key first, so that no further request is admitted; then the campaigns, so that
    // none can be claimed; and their records after that.
    if !table.delete_trial_key(trial, until).await? {
        return Err(of_another("its key"));
    }
    for id in super::campaigns(trial.id)? {
        if !table.clear_campaign(&id, &account, until).await? {
            return Err(of_another(&format!("campaign {id}")));
        }
    }
    table.clear_account(&account, until).await?;
    table.end_trial(trial.id, until).await?;
    Ok(())
}

fn of_another(what: &str) -> CliError {
    CliError::Refused(format!(
        "{what} belongs to another account, and was left alone"
    ))
}
