//! `anteroom domain list|show|retry|import|revoke`: commands about certificates on the admin API of a running gateway.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand, ValueEnum};
use form_urlencoded::Serializer;
use serde_json::{Value, json};

use super::{
    operate::{Asking, segment},
    table::cell,
};

/// Why a certificate is revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Reason {
    /// Not said.
    Unspecified,
    /// Others may know its key.
    KeyCompromise,
    /// It has been replaced.
    Superseded,
    /// Its names are not served any more.
    CessationOfOperation,
}

#[derive(Debug, Subcommand)]
pub(super) enum DomainOperation {
    /// List the names of tenants with the state of their certificates.
    List {
        /// Only names of this tenant.
        #[arg(long)]
        tenant: Option<String>,
        /// Only names in this state: configured, waiting_for_dns, ordering, active, failing, brought, expired or bare.
        #[arg(long)]
        state: Option<String>,
        #[command(flatten)]
        asking: Asking,
    },
    /// Show all that is known of a name: what is missing, and what happens next.
    Show(OneDomain),
    /// Look at a name now, as if no order had failed.
    Retry(OneDomain),
    /// Take a certificate from elsewhere into the store; it is renewed like one that was ordered.
    ///
    /// Refuses one whose chain and key do not fit, that has expired or is not valid yet, or that names no host of a tenant.
    Import {
        /// The chain, PEM, such as certbot's live/HOST/fullchain.pem; or a folder with fullchain.pem and privkey.pem.
        chain: PathBuf,
        /// The private key, PEM; left out for a folder.
        key: Option<PathBuf>,
        #[command(flatten)]
        asking: Asking,
    },
    /// Revoke the certificate of a name at its authority, and order another one; it is served until that is there.
    Revoke {
        #[command(flatten)]
        one: OneDomain,
        /// The reason for the authority.
        #[arg(long, value_enum, default_value_t = Reason::Unspecified)]
        reason: Reason,
    },
}

#[derive(Debug, Args)]
pub(super) struct OneDomain {
    /// A host, or `*.` and a base domain.
    host: String,
    #[command(flatten)]
    asking: Asking,
}

pub(super) async fn domains(action: DomainOperation) -> Result<String, String> {
    match action {
        DomainOperation::List { tenant, state, asking } => {
            let mut query = Serializer::new(String::new());
            query.append_pair("limit", "10000");
            query.extend_pairs(tenant.map(|id| ("tenant", id)));
            query.extend_pairs(state.map(|state| ("state", state)));
            let columns = ["name", "tenant", "state", "not_after", "renew_at", "next_at", "reason"];
            asking.list_pages(&format!("/api/domains?{}", query.finish()), "domains", &columns).await
        }
        DomainOperation::Show(OneDomain { host, asking }) => {
            asking.show(&format!("/api/domains/{}", segment(&host)), in_lines).await
        }
        DomainOperation::Retry(OneDomain { host, asking }) => {
            let line = |row: &Value| format!("{} is looked at now", cell(&row["name"]));
            asking.change(&format!("/api/domains/{}/retry", segment(&host)), &json!({}), line).await
        }
        DomainOperation::Import { chain, key, asking } => {
            let (chain, key) = files(&chain, key.as_deref())?;
            let body = json!({ "chain": read(&chain)?, "key": read(&key)? });
            let line = |row: &Value| {
                format!(
                    "the certificate of {} is kept, and good until {}",
                    cell(&row["names"]),
                    cell(&row["not_after"])
                )
            };
            asking.change("/api/domains/import", &body, line).await
        }
        DomainOperation::Revoke { one: OneDomain { host, asking }, reason } => {
            let reason = match reason {
                Reason::Unspecified => "unspecified",
                Reason::KeyCompromise => "key_compromise",
                Reason::Superseded => "superseded",
                Reason::CessationOfOperation => "cessation_of_operation",
            };
            let line = |row: &Value| format!("the certificate of {} is revoked", cell(&row["name"]));
            let path = format!("/api/domains/{}/revoke", segment(&host));
            asking.change(&path, &json!({ "reason": reason }), line).await
        }
    }
}

/// A folder as ACME clients write it, or two files.
fn files(chain: &Path, key: Option<&Path>) -> Result<(PathBuf, PathBuf), String> {
    match key {
        Some(key) => Ok((chain.to_owned(), key.to_owned())),
        None if chain.is_dir() => Ok((chain.join("fullchain.pem"), chain.join("privkey.pem"))),
        None => Err(format!("{} is no folder: name the file with the private key as well", chain.display())),
    }
}

fn read(file: &Path) -> Result<String, String> {
    fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))
}

/// One thing a line; what there is nothing of is left out.
fn in_lines(row: &Value) -> String {
    let keys = [
        "name",
        "tenant",
        "state",
        "since",
        "reason",
        "found",
        "expected",
        "failures",
        "next_at",
        "authority",
        "issuer",
        "not_after",
        "renew_at",
    ];
    let lines = keys.iter().filter(|key| !row[**key].is_null() && row[**key] != json!(0));
    lines.map(|key| format!("{:<10} {}", key.replace('_', " "), cell(&row[*key]))).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_shown_line_by_line_without_what_is_not_there() {
        let row = json!({ "name": "meet.example", "state": "active", "reason": null, "failures": 0, "not_after": "2027-01-01T00:00:00Z" });
        assert_eq!(in_lines(&row), "name       meet.example\nstate      active\nnot after  2027-01-01T00:00:00Z");
    }

    #[test]
    fn a_folder_has_both_files_and_a_file_needs_the_other() {
        let dir = tempfile::tempdir().expect("a directory");
        let both = files(dir.path(), None).expect("a folder");
        assert_eq!(both, (dir.path().join("fullchain.pem"), dir.path().join("privkey.pem")));
        assert!(files(Path::new("/nowhere/chain.pem"), None).is_err());
    }
}
