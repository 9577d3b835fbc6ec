//! TLS settings: rustls with ring, the public roots or a private one, nothing that weakens the check.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

/// Why TLS could not be set up. Always the operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read {path}: {cause}; give a PEM file")]
    File { path: PathBuf, cause: String },
    #[error("the certificate or key is not usable: {0}")]
    Unusable(#[from] rustls::Error),
}

/// Trusts the public roots, or the certificates of `ca_file` alone.
pub fn client_config(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, TlsError> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(path) => {
            for certificate in certificates(path)? {
                roots.add(certificate)?;
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?.with_root_certificates(roots);
    Ok(Arc::new(config.with_no_client_auth()))
}

/// Serves the certificate chain and key of two PEM files.
pub fn server_config(chain: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let unreadable = |cause: rustls::pki_types::pem::Error| TlsError::File { path: key.to_owned(), cause: cause.to_string() };
    let key = PrivateKeyDer::from_pem_file(key).map_err(unreadable)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?.with_no_client_auth();
    Ok(Arc::new(config.with_single_cert(certificates(chain)?, key)?))
}

/// The certificates of a PEM file, at least one.
///
/// # Errors
/// When the file cannot be read or holds none.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let unreadable = |cause: String| TlsError::File { path: path.to_owned(), cause };
    let all: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(|e| unreadable(e.to_string()))?.collect();
    match all.map_err(|e| unreadable(e.to_string()))? {
        none if none.is_empty() => Err(unreadable("no certificate in it".to_owned())),
        some => Ok(some),
    }
}
