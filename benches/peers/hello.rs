//! The least that answers: `lambda_http` and nothing behind it. It is what the cold
//! start of `api` is measured against (`tests/emulator/emulator.py cold`).

use lambda_http::{Body, Error, Request, Response, run, service_fn};

async fn hello(_: Request) -> Result<Response<Body>, Error> {
    Ok(Response::builder().status(404).body("{}".into())?)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    run(service_fn(hello)).await
}
