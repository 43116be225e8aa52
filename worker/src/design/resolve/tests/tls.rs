//! TLS: a private authority of the test, and who trusts it.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio_rustls::TlsAcceptor;

use super::*;

/// An authority, in a file of its own that goes with it.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    file: std::path::PathBuf,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let file = std::env::temp_dir().join(format!("longshore-ca-{name}-{}.pem", std::process::id()));
        std::fs::write(&file, certificate.pem()).unwrap();
        Self { issuer: Issuer::new(params, key), file }
    }

    /// What a server of this name shows.
    fn certify(&self, name: &str) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap());
        TlsAcceptor::from(Arc::new(config.unwrap()))
    }

    fn trusted(&self, design: &str) -> Resolver {
        let design = format!("allow = ['127.0.0.1']\nca_file = '{}'\n{design}", self.file.display());
        let names = names(&[("site.test", &["127.0.0.1"]), ("other.test", &["127.0.0.1"])]);
        Resolver::with_lookup(&settings(&design), &names).unwrap()
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        std::fs::remove_file(&self.file).ok();
    }
}

#[tokio::test]
async fn a_private_authority_is_trusted_where_it_is_configured_and_for_the_name_alone() {
    let authority = Authority::new("trust");
    let server = Server::on("127.0.0.1:0", Some(authority.certify("site.test")), |_| ok("a: 1\n")).await;
    let port = server.address.port();
    let (site, other) = (format!("https://site.test:{port}/"), format!("https://other.test:{port}/"));
    let resolver = authority.trusted("");
    assert_eq!(told(&resolver, &site).await, "a: 1\n");
    let asked = server.requests().len();
    for (resolver, reference) in [
        (&resolver, &other),
        (&resolver, &format!("https://127.0.0.1:{port}/")),
        (&Authority::new("stranger").trusted(""), &site),
    ] {
        let told = told(resolver, reference).await;
        assert!(
            told.starts_with("Transient ") && told.contains("cannot connect") && told.contains("certificate"),
            "{told}"
        );
    }
    let plain = told(&resolver, &format!("http://site.test:{port}/")).await;
    assert!(plain.starts_with("Transient "), "{plain}");
    assert_eq!(server.requests().len(), asked, "nobody sent a request to whom it does not trust");
}

#[tokio::test]
async fn a_secure_page_does_not_lead_to_an_insecure_one() {
    let authority = Authority::new("downgrade");
    let plain = Server::start(|_| ok("a: 1\n")).await;
    let to = plain.url("/");
    let redirect = move |_: &server::Request| server::answer("302 Found", &format!("location: {to}\r\n"), b"");
    let server = Server::on("127.0.0.1:0", Some(authority.certify("site.test")), redirect).await;
    let reference = format!("https://site.test:{}/", server.address.port());
    let told = told(&authority.trusted("redirects = 3"), &reference).await;
    let expected =
        format!("Permanent design reference {reference}: is redirected to http from https, which is not followed");
    assert_eq!((told, plain.connections()), (expected, 0));
}

#[test]
fn a_file_of_certificates_that_cannot_be_used_is_named() {
    let refused = |path: &str| {
        let settings = settings(&format!("ca_file = '{path}'"));
        Resolver::new(&settings).map(drop).unwrap_err().to_string()
    };
    let missing = refused("/nowhere/ca.pem");
    assert!(missing.starts_with("design.ca_file: /nowhere/ca.pem cannot be read: No such file"), "{missing}");
    let path = std::env::temp_dir().join(format!("longshore-ca-empty-{}.pem", std::process::id()));
    std::fs::write(&path, "nothing").unwrap();
    let path_text = path.display().to_string();
    assert_eq!(refused(&path_text), format!("design.ca_file: {path_text} must hold certificates as PEM"));
    std::fs::remove_file(path).unwrap();
}
