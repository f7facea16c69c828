//! The HTTP client: what it trusts and how it connects.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::{Client, redirect};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_platform_verifier::Verifier;

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

fn tls(trusts_platform: bool) -> Result<ClientConfig, String> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let mut config = if trusts_platform {
        let trust = Arc::new(PlatformTrust {
            provider,
            verifier: OnceLock::new(),
        });
        // While the connection is made, which takes longer. Nobody waits for the task: whoever needs
        // the certificates earlier loads them, or waits for them, itself.
        tokio::task::spawn_blocking({
            let trust = Arc::clone(&trust);
            move || drop(trust.verifier())
        });
        builder
            .dangerous()
            .with_custom_certificate_verifier(trust)
            .with_no_client_auth()
    } else {
        builder
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth()
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Trusts what the platform trusts. Its certificates are many and slow to load, so they are loaded only
/// when a server shows its own.
#[derive(Debug)]
struct PlatformTrust {
    provider: Arc<CryptoProvider>,
    verifier: OnceLock<Result<Verifier, Error>>,
}

impl PlatformTrust {
    fn verifier(&self) -> Result<&Verifier, Error> {
        self.verifier
            .get_or_init(|| Verifier::new(Arc::clone(&self.provider)))
            .as_ref()
            .map_err(Error::clone)
    }
}

impl ServerCertVerifier for PlatformTrust {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verifier()?.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        )
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier()?.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier()?.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;
    use rustls::pki_types::PrivateKeyDer;
    use rustls::{ServerConfig, ServerConnection};
    use tokio::task::spawn_blocking;

    use super::*;

    /// A certificate for `localhost` that signs itself, so no platform trusts it, and its key.
    const CERTIFICATE: &str = "MIIBmzCCAUGgAwIBAgIUDzlMnMvoTOHt/h9ijwcdj2aM2AAwCgYIKoZIzj0EAwIwFDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMjIyMTMxM1oYDzIxMjYxMDI5MjIxMzEzWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAARwShkF78c8pEk9UyMaaBlPW3Dbo0cC/Kol5+BPQb73kw2X9zs1PCOWMVcppElOKOgVamuEeJCigeA5fba5Aw6eo28wbTAdBgNVHQ4EFgQUXbTPa/iZutXtz7vfUF4oAvz1CHwwHwYDVR0jBBgwFoAUXbTPa/iZutXtz7vfUF4oAvz1CHwwDwYDVR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZIzj0EAwIDSAAwRQIhALPOm71INp7pUclVOA+rMrGQBjlPMW5fFMvw8BCg00j9AiAhbGHLh0v9oFpx1s/eoLspqMcgQlZK86996kz4fV5WOA==";
    const KEY: &str = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgO+eZeDez4QvyTBRD/ZDcyVnRmq8RgybPOLgcvDutpUqhRANCAARwShkF78c8pEk9UyMaaBlPW3Dbo0cC/Kol5+BPQb73kw2X9zs1PCOWMVcppElOKOgVamuEeJCigeA5fba5Aw6e";

    /// Asks a server, which handles its one connection by `serve`, and returns why that failed.
    async fn ask(scheme: &str, serve: impl FnOnce(TcpStream) + Send + 'static) -> String {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let url = format!("{scheme}://{}/", listener.local_addr().unwrap());
        let server = spawn_blocking(move || serve(listener.accept().unwrap().0));
        let error = build(scheme).unwrap().post(url).send().await.unwrap_err();
        server.await.unwrap();
        assert!(error.is_connect(), "{error:?}");
        super::super::refusal::innermost(&error)
    }

    #[tokio::test]
    async fn a_certificate_that_the_platform_does_not_trust_is_refused() {
        let told = ask("https", |mut socket| {
            let certificate = BASE64_STANDARD.decode(CERTIFICATE).unwrap();
            let key = PrivateKeyDer::try_from(BASE64_STANDARD.decode(KEY).unwrap()).unwrap();
            let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![CertificateDer::from(certificate)], key)
                .unwrap();
            let mut connection = ServerConnection::new(Arc::new(config)).unwrap();
            let ended = connection.complete_io(&mut socket);
            // The client hangs up on it, with or without a word.
            assert!(ended.is_err() || connection.is_handshaking() || connection.wants_read());
        })
        .await;
        // A platform without any certificates says so.
        assert!(told.contains("certificate"), "{told}");
    }

    #[tokio::test]
    async fn a_server_that_does_not_encrypt_is_told_as_such() {
        let told = ask("https", |mut socket| {
            socket
                .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                .unwrap();
        })
        .await;
        assert!(told.contains("corrupt message"), "{told}");
    }
}
