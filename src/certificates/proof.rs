//! [`Proof`]: what an order asks of its owner while it is under way.

use std::time::Duration;

use tokio::sync::Mutex;

use super::{Certificates, hook};
use crate::{
    acme::{Kind, Progress, Shown, Work},
    store::{ChallengeRow, DomainRow},
};

/// An answer on port 443 that is forgotten if its order is lost.
const CHALLENGE_LIFE: Duration = Duration::from_secs(900);
/// The other gateways hear of an answer in milliseconds; the authority must not come before.
const OTHERS_HEAR: Duration = Duration::from_secs(2);

/// An order of a name.
pub(super) struct Proof<'a> {
    certificates: &'a Certificates,
    authority: &'a str,
    /// The row of the name, with the progress.
    row: Mutex<DomainRow>,
}

impl<'a> Proof<'a> {
    pub(super) fn new(certificates: &'a Certificates, authority: &'a str, row: DomainRow) -> Self {
        Self { certificates, authority, row: Mutex::new(row) }
    }

    /// The row, with what was saved.
    pub(super) fn into_row(self) -> DomainRow {
        self.row.into_inner()
    }

    async fn hook(&self, action: &str, challenge: &Shown) -> Result<(), String> {
        let command = self.certificates.issuance.as_ref().and_then(|issuance| issuance.dns_hook.as_deref());
        hook::run(command.unwrap_or_default(), action, &challenge.dns_name(), &challenge.dns_value()).await
    }

    async fn open(&self, challenge: &Shown) -> Result<(), String> {
        let until = self.certificates.clock.now().saturating_add(CHALLENGE_LIFE);
        let (host, key_authorization) = (challenge.name.to_string(), challenge.key_authorization.clone());
        let store = self.certificates.store();
        let opened = store.certificates().open_challenge(&ChallengeRow { host, key_authorization, until }).await;
        opened.map_err(|error| error.to_string())?;
        self.certificates.follow_challenges().await.map_err(|error| error.to_string())?;
        if store.is_shared() {
            tokio::time::sleep(OTHERS_HEAR).await;
        }
        Ok(())
    }

    async fn close(&self, challenge: &Shown) {
        let closed = self.certificates.store().certificates().close_challenge(challenge.name.as_str()).await;
        let followed = match closed {
            Ok(()) => self.certificates.follow_challenges().await,
            Err(error) => Err(error),
        };
        if let Err(error) = followed {
            tracing::warn!(host = %challenge.name, %error, "failed to close a challenge: it lapses by itself");
        }
    }
}

impl Work for Proof<'_> {
    async fn show(&self, challenge: &Shown) -> Result<(), String> {
        match challenge.kind {
            // Any gateway answers any token: see `Answers`.
            Kind::Http01 => Ok(()),
            Kind::TlsAlpn01 => self.open(challenge).await,
            Kind::Dns01 => self.hook("add", challenge).await,
        }
    }

    async fn hide(&self, challenge: &Shown) {
        match challenge.kind {
            Kind::Http01 => {}
            Kind::TlsAlpn01 => self.close(challenge).await,
            Kind::Dns01 => {
                if let Err(why) = self.hook("remove", challenge).await {
                    tracing::warn!(name = %challenge.name, why, "failed to remove a TXT record");
                }
            }
        }
    }

    async fn save(&self, progress: &Progress) -> Result<(), String> {
        let mut row = self.row.lock().await;
        row.progress = Some(self.certificates.vault.seal_progress(&row.name, self.authority, progress)?);
        self.certificates.store().certificates().set_domain(&row).await.map_err(|error| error.to_string())
    }
}
