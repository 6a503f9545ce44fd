//! `campaigns receipt`: gets the receipt of a deletion from the API, and verifies one with
//! published keys, without the service that has signed it.

mod verify;

use clap::{Args, Subcommand};

use self::verify::Verify;
use super::{
    CliError, print,
    web::{Ask, Web, api_key},
};
use crate::record::deletion_id;

/// `campaigns receipt`.
#[derive(Subcommand, Debug)]
#[command(after_help = "\
Examples:
  campaigns receipt get DELETION_ID --api-url http://127.0.0.1:3000 --key KEY > receipt.jws
  curl -f -o jwks.json http://127.0.0.1:3000/v1/jwks.json
  campaigns receipt verify receipt.jws --jwks jwks.json

Keep the keys beside the receipts: a receipt can be verified as long as both are there.")]
pub(super) enum Receipt {
    /// Get the receipt of a finished deletion, a JWS in compact form.
    Get(Get),
    /// Verify a receipt, and print what it says.
    Verify(Verify),
}

/// `campaigns receipt get`.
#[derive(Args, Debug)]
pub(super) struct Get {
    /// The deletion's id.
    #[arg(value_name = "DELETION_ID", value_parser = uuid)]
    deletion_id: String,
    /// The URL of the API, without /v1.
    #[arg(long, value_name = "URL")]
    api_url: String,
    /// An API key that may read the deletion.
    #[arg(long, value_parser = api_key, allow_hyphen_values = true)]
    key: String,
    /// Print the whole answer as JSON.
    #[arg(long)]
    json: bool,
}

fn uuid(text: &str) -> Result<String, String> {
    deletion_id(text).ok_or_else(|| "must be the id of a deletion, a UUID".to_owned())
}

impl Receipt {
    pub(super) async fn run(self) -> Result<(), CliError> {
        match self {
            Self::Get(get) => get.run().await,
            Self::Verify(verify) => verify.run().await,
        }
    }
}

impl Get {
    async fn run(self) -> Result<(), CliError> {
        let web = Web::new(&self.api_url)?;
        let path = format!("/v1/deletions/{}/receipt", self.deletion_id);
        let ask = Ask {
            method: "GET",
            path: &path,
            key: Some(&self.key),
            headers: &[],
        };
        let answer = web.ask_patiently(ask).await.map_err(CliError::Refused)?;
        match answer.body["receipt"].as_str() {
            Some(_) if answer.status != 200 => Err(not_given(&answer.text())),
            Some(_) if self.json => print::json(&answer.body),
            Some(receipt) => print::line(&print::plain(receipt)),
            None => Err(not_given(&answer.explained())),
        }
    }
}

fn not_given(why: &str) -> CliError {
    CliError::Refused(format!("the API gave no receipt: {}", print::plain(why)))
}
