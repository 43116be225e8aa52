//! The one TLS of the process.

/// Makes ring the provider of cryptography, where no other is.
pub(crate) fn install_provider() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // an error says that somebody else was faster, which will do as well
        rustls::crypto::ring::default_provider().install_default().ok();
    }
}
