//! A development CA for the demo, tests and trials: certificates from a local root.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

use crate::{domain::host::Host, private};

/// A CA in a directory: `ca.pem`, which browsers must trust, and `ca-key.pem`.
#[derive(Debug)]
pub struct DevCa {
    issuer: Issuer<'static, KeyPair>,
    root: PathBuf,
}

impl DevCa {
    /// Opens the CA in a directory, or makes one there.
    ///
    /// # Errors
    /// When its files cannot be read or written, or are none of a CA.
    pub fn open(dir: &Path) -> io::Result<Self> {
        let (root, key_file) = (dir.join("ca.pem"), dir.join("ca-key.pem"));
        if !root.exists() {
            private::make_dir(dir)?;
            let key = KeyPair::generate().map_err(io::Error::other)?;
            let certificate = ca_params().self_signed(&key).map_err(io::Error::other)?;
            private::write(&key_file, &key.serialize_pem())?;
            private::write(&root, &certificate.pem())?;
        }
        let key = KeyPair::from_pem(&fs::read_to_string(&key_file)?).map_err(io::Error::other)?;
        let issuer = Issuer::from_ca_cert_pem(&fs::read_to_string(&root)?, key).map_err(io::Error::other)?;
        Ok(Self { issuer, root })
    }

    /// The certificate to trust.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Writes a certificate for a host to `certs/<host>/`, as an operator would bring it.
    ///
    /// # Errors
    /// When the files cannot be written.
    pub fn issue(&self, certs: &Path, host: &Host) -> io::Result<()> {
        let mut params = CertificateParams::new(vec![host.to_string()]).map_err(io::Error::other)?;
        params.distinguished_name.push(DnType::CommonName, host.as_str());
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(io::Error::other)?;
        let dir = certs.join(host.as_str());
        private::make_dir(&dir)?;
        private::write(&dir.join("privkey.pem"), &key.serialize_pem())?;
        private::write(&dir.join("fullchain.pem"), &certificate.pem())
    }
}

fn ca_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.distinguished_name.push(DnType::CommonName, "Anteroom development CA");
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}
