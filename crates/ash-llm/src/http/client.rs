//! The HTTP client: what it trusts and how it connects.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, redirect};
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;

/// A server that takes longer to greet is down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const KEEPALIVE: Duration = Duration::from_mins(1);

/// Builds a client for servers of this scheme.
///
/// Proxies named by the environment are deliberately not used: a library reads no environment.
pub(super) fn build(scheme: &str) -> Result<Client, String> {
    Client::builder()
        .tls_backend_preconfigured(tls(scheme == "https")?)
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_keepalive(KEEPALIVE)
        .user_agent(concat!("ash/", env!("CARGO_PKG_VERSION")))
        // Following would send the conversation, and perhaps the key, to an address that nobody set.
        .redirect(redirect::Policy::none())
        .no_proxy()
        .build()
        .map_err(|error| super::refusal::innermost(&error))
}

/// The certificates of the platform are many and slow to load, so only what needs them does.
fn tls(load_platform_roots: bool) -> Result<ClientConfig, String> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let mut config = if load_platform_roots {
        builder
            .with_platform_verifier()
            .map_err(|error| format!("cannot load the platform's certificates: {error}"))?
            .with_no_client_auth()
    } else {
        builder
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth()
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
