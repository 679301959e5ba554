//! `[acme]` of `anteroom.toml`.

use schemars::JsonSchema;
use serde::Deserialize;

/// Certificates by ACME (docs/certificates.md, "Certificates"). A change takes effect at the next start.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Acme {
    /// The directory of the ACME server, such as `"https://acme-v02.api.letsencrypt.org/directory"`.
    #[schemars(required)]
    pub directory: Option<String>,
    /// Contacts for the certificate authority, as `"mailto:"` addresses. Some authorities require one.
    pub contact: Option<Vec<String>>,
    /// PEM file with an additional trust root for the ACME server itself, relative to the configuration directory.
    pub root: Option<String>,
    /// The account at the authority that ACME accounts are bound to, if the authority requires one.
    pub external_account: Option<ExternalAccount>,
    /// The profile of certificates, such as `"tlsserver"`, if the authority has profiles. Default: the authority's.
    pub profile: Option<String>,
    /// The kind of key of certificates: `"ecdsa"` (P-256) or `"rsa"` (2048 bits); a tenant may override it. Default:
    /// `"ecdsa"`.
    pub key_type: Option<String>,
    /// How hosts are proven, in order of preference: `"http-01"` (the authority reads a file on port 80) and
    /// `"tls-alpn-01"` (it makes a handshake on port 443). After a failure the next try takes the next one. Default:
    /// `["http-01", "tls-alpn-01"]`.
    pub challenges: Option<Vec<String>>,
    /// A command with its arguments, such as `["/usr/local/bin/dns-hook"]`, that sets and removes TXT records. It is
    /// called without a shell with `add NAME VALUE` or `remove NAME VALUE` behind its arguments, and ends with 0 when all
    /// name servers have the change. With it, the gateway orders a certificate for `*.` and each of `base_domains`
    /// instead of one for each host there. Default: none.
    pub dns_hook: Option<Vec<String>>,
    /// The public addresses of the gateway, IPv4 and IPv6, to which tenants' hosts should point (docs/domains.md, "For
    /// operators"). `anteroom domain check` compares DNS with them. Default: none.
    pub addresses: Option<Vec<String>>,
    /// The name that tenants' hosts should be a CNAME for, such as `"gateway.meet.example"`. Default: none.
    pub target: Option<String>,
    /// Whether to check DNS before an order: that the host leads to `addresses` or `target`, and that no CAA record
    /// forbids the order. Default: `true`.
    pub precheck: Option<bool>,
    /// How long the first handshake for a host without a certificate may wait for it, up to `"30s"`; `"0s"` does not
    /// wait. Default: `"0s"`.
    pub on_demand_wait: Option<String>,
    /// The authority that is asked when the first is unreachable or refuses for a reason of its own. Default: none.
    pub fallback: Option<Fallback>,
    /// How much is asked of an authority. The defaults are under the limits of Let's Encrypt.
    pub budget: Option<Budget>,
}

/// Another certificate authority.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fallback {
    /// As `acme.directory`.
    #[schemars(required)]
    pub directory: Option<String>,
    /// As `acme.contact`.
    pub contact: Option<Vec<String>>,
    /// As `acme.root`.
    pub root: Option<String>,
    /// As `acme.external_account`.
    pub external_account: Option<ExternalAccount>,
    /// As `acme.profile`.
    pub profile: Option<String>,
}

/// An account at a certificate authority (external account binding).
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(crate) struct ExternalAccount {
    /// The key id that the authority gives.
    #[schemars(required)]
    pub id: Option<String>,
    /// The MAC key that it gives, in base64url: a literal, `"file:PATH"` or `"env:NAME"`.
    #[schemars(required)]
    pub key: Option<String>,
}

/// How much is asked of an authority: each a number of at least 1.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Budget {
    /// Orders of the account in three hours. Default: `250`.
    pub orders_of_account: Option<i64>,
    /// Orders for hosts of one registered domain in seven days. Default: `45`.
    pub orders_of_domain: Option<i64>,
    /// Orders for one host in seven days. Default: `4`.
    pub orders_of_name: Option<i64>,
    /// Failed orders for one host in an hour. Default: `4`.
    pub failures_of_name: Option<i64>,
    /// Orders at the same time, up to 64. Default: `8`.
    pub at_once: Option<i64>,
}
