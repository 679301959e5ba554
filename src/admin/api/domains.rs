//! Lists the names of tenants with their certificates, has one tried again or revoked, and takes certificates from elsewhere.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Query, State, rejection::QueryRejection},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    answer::Answer,
    extract::{Named, Operator, Wanted},
    refused,
};
use crate::{
    admin::state::Admin,
    certificates::{self, Domain, ImportError, Reason},
    domain::{ids::TenantId, time::Timestamp},
    tls::certs::CertName,
};

/// Names of a page, where nothing else is asked for; and the most.
const PAGE: u32 = 1000;
const PAGE_MAX: u32 = 10_000;
/// A chain and a key.
const IMPORT_BYTES_MAX: usize = 256 * 1024;

/// Filter: the names of all tenants or of one, in all states or in one; behind a name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    tenant: Option<String>,
    state: Option<String>,
    after: Option<String>,
    limit: Option<u32>,
}

/// Why a certificate is revoked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Revocation {
    reason: Option<String>,
}

/// A certificate from elsewhere, both PEM.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Import {
    chain: String,
    key: String,
}

pub(super) async fn list(
    State(admin): State<Admin>,
    filter: Result<Query<Filter>, QueryRejection>,
) -> Result<Answer, Answer> {
    let Query(Filter { tenant, state, after, limit }) = filter.map_err(|error| refused::invalid(&error.body_text()))?;
    let tenant = tenant.map(|id| id.parse::<TenantId>().map_err(|_| refused::unknown_tenant(&id))).transpose()?;
    let state =
        state.map(|word| certificates::State::read(&word).ok_or_else(|| refused::unknown_state(&word))).transpose()?;
    let filter = certificates::Filter {
        after: after.unwrap_or_default(),
        tenant: tenant.map(|tenant| tenant.to_string()),
        state,
        most: limit.unwrap_or(PAGE).clamp(1, PAGE_MAX),
    };
    let certificates = Arc::clone(&admin.certificates);
    let most = usize::try_from(filter.most).unwrap_or(usize::MAX);
    let found =
        admin.in_gateway(async move { certificates.list(&filter).await }).await.ok_or_else(refused::failed)??;
    // There may be more behind a full page.
    let next = found.last().filter(|_| found.len() >= most).map(|domain| domain.name.clone());
    Ok(Answer::ok(json!({ "domains": found.iter().map(told).collect::<Vec<_>>(), "next": next })))
}

pub(super) async fn show(State(admin): State<Admin>, Named(host): Named) -> Result<Answer, Answer> {
    let name = name_of(&host)?;
    let certificates = Arc::clone(&admin.certificates);
    let found = admin.in_gateway(async move { certificates.show(&name).await }).await.ok_or_else(refused::failed)??;
    found.map(|domain| Answer::ok(told(&domain))).ok_or_else(|| refused::unknown_domain(&host))
}

pub(super) async fn retry_one(
    State(admin): State<Admin>,
    Extension(Operator(operator)): Extension<Operator>,
    Named(host): Named,
) -> Result<Answer, Answer> {
    let name = name_of(&host)?;
    let certificates = Arc::clone(&admin.certificates);
    let found =
        admin.in_gateway(async move { certificates.retry(&name).await }).await.ok_or_else(refused::failed)??;
    let domain = found.ok_or_else(|| refused::unknown_domain(&host))?;
    tracing::info!(target: "audit", host, operator, "certificate to be tried again by operator");
    Ok(Answer::ok(told(&domain)))
}

pub(super) async fn revoke_one(
    State(admin): State<Admin>,
    Extension(Operator(operator)): Extension<Operator>,
    Named(host): Named,
    Wanted(Revocation { reason }): Wanted<Revocation>,
) -> Result<Answer, Answer> {
    let name = name_of(&host)?;
    let reason = match reason.as_deref() {
        None | Some("unspecified") => Reason::Unspecified,
        Some("key_compromise") => Reason::KeyCompromise,
        Some("superseded") => Reason::Superseded,
        Some("cessation_of_operation") => Reason::CessationOfOperation,
        Some(_) => {
            return Err(refused::invalid("reason: unspecified, key_compromise, superseded or cessation_of_operation"));
        }
    };
    let certificates = Arc::clone(&admin.certificates);
    let done = admin.in_gateway(async move { certificates.revoke(&name, reason).await }).await;
    done.ok_or_else(refused::failed)?.map_err(|why| refused::not_revoked(&why))?;
    tracing::info!(target: "audit", host, operator, "certificate revoked by operator");
    Ok(Answer::ok(json!({ "name": host })))
}

pub(super) async fn import(
    State(admin): State<Admin>,
    Extension(Operator(operator)): Extension<Operator>,
    Wanted(Import { chain, key }): Wanted<Import, IMPORT_BYTES_MAX>,
) -> Result<Answer, Answer> {
    let certificates = Arc::clone(&admin.certificates);
    let done = admin.in_gateway(async move { certificates.import(&chain, &key).await }).await;
    let imported = done.ok_or_else(refused::failed)?.map_err(|error| match error {
        ImportError::Unfit(why) => refused::invalid(&why),
        ImportError::Store(error) => error.into(),
    })?;
    tracing::info!(target: "audit", names = imported.names.join(", "), operator, "certificate imported by operator");
    Ok(Answer::ok(json!({ "names": imported.names, "not_after": imported.not_after.rfc3339() })))
}

fn name_of(host: &str) -> Result<CertName, Answer> {
    host.parse().map_err(|_| refused::unknown_domain(host))
}

fn told(domain: &Domain) -> Value {
    let at = |at: Option<Timestamp>| at.and_then(|at| at.rfc3339());
    json!({
        "name": domain.name,
        "tenant": domain.tenant,
        "state": domain.state.as_str(),
        "since": at(domain.since),
        "reason": domain.reason,
        "found": domain.found,
        "expected": domain.expected,
        "failures": domain.failures,
        "next_at": at(domain.next_at),
        "authority": domain.authority,
        "issuer": domain.issuer,
        "not_after": at(domain.not_after),
        "renew_at": at(domain.renew_at),
    })
}
