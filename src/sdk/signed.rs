//! Signed requests to services that are asked one thing, for which a whole client would be
//! too much.

use std::time::SystemTime;

use aws_config::SdkConfig;
use aws_credential_types::provider::ProvideCredentials;
use aws_sigv4::{
    http_request::{
        PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
        UriPathNormalizationMode, sign,
    },
    sign::v4::SigningParams,
};

use aws_smithy_runtime_api::client::orchestrator::HttpRequest;

use super::cause::in_one_line;

/// A request to a service.
#[derive(Clone, Copy, Debug)]
pub struct ToSign<'a> {
    /// The name of the service in signatures.
    pub service: &'static str,
    /// The method.
    pub method: &'static str,
    /// The whole URL.
    pub url: &'a str,
    /// Its headers.
    pub headers: &'a [(&'static str, &'a str)],
    /// Its body.
    pub body: SignedBody<'a>,
    /// When it is sent, by the service's clock.
    pub time: SystemTime,
}

/// The body of a request, and with it the rules of the signature.
#[derive(Clone, Copy, Debug)]
pub enum SignedBody<'a> {
    /// The body itself.
    Text(&'a str),
    /// The SHA-256, in hexadecimal, of a body that goes to S3. There, the hash is a header, and
    /// the path is signed as it is in the URL.
    OfS3(&'a str),
}

/// Returns a request, of which there is the body, with everything else and its signature.
///
/// # Errors
/// Why it cannot be signed.
pub async fn signed_request(
    config: &SdkConfig,
    to_sign: ToSign<'_>,
    mut request: HttpRequest,
) -> Result<HttpRequest, String> {
    let signature = signature(config, to_sign).await?;
    let set = request.set_uri(to_sign.url);
    set.map_err(|error| error.to_string())?;
    let set = request.set_method(to_sign.method);
    set.map_err(|error| error.to_string())?;
    for (name, value) in to_sign.headers {
        request.headers_mut().insert(*name, (*value).to_owned());
    }
    for (name, value) in signature {
        request.headers_mut().insert(name, value);
    }
    Ok(request)
}

/// Returns the headers that sign a request (Signature Version 4).
///
/// # Errors
/// Why it cannot be signed.
pub async fn signature(
    config: &SdkConfig,
    request: ToSign<'_>,
) -> Result<Vec<(&'static str, String)>, String> {
    let credentials = config.credentials_provider().ok_or("no credentials")?;
    let credentials = credentials.provide_credentials().await;
    let identity = credentials.map_err(|error| in_one_line(&error))?.into();
    let mut settings = SigningSettings::default();
    let body = match request.body {
        SignedBody::Text(text) => SignableBody::Bytes(text.as_bytes()),
        SignedBody::OfS3(hash) => {
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
            settings.percent_encoding_mode = PercentEncodingMode::Single;
            settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
            SignableBody::Precomputed(hash.to_owned())
        }
    };
    let region = config.region().map_or("", AsRef::as_ref);
    let parameters = SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(request.service)
        .time(request.time)
        .settings(settings)
        .build()
        .map_err(|error| in_one_line(&error))?
        .into();
    let headers = request.headers.iter().copied();
    let signable = SignableRequest::new(request.method, request.url, headers, body);
    let signable = signable.map_err(|error| in_one_line(&error))?;
    let signed = sign(signable, &parameters).map_err(|error| in_one_line(&error))?;
    let (instructions, _) = signed.into_parts();
    let headers = instructions.headers();
    // Every name is one of the signature's own.
    let names = [
        "x-amz-content-sha256",
        "x-amz-date",
        "x-amz-security-token",
        "authorization",
    ];
    let headers = headers.filter_map(|(name, value)| {
        let name = names.into_iter().find(|known| *known == name)?;
        Some((name, value.to_owned()))
    });
    Ok(headers.collect())
}
