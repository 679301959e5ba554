//! `anteroom domain check`: what DNS says about hosts, what `certs/` has for them, and the records of a tenant's mail.

use std::{future::ready, io::Write, path::PathBuf, process::ExitCode, sync::Arc};

use clap::Args;
use futures_util::{StreamExt, stream};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use serde_json::{Value, json};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{failure::failed, table::table};
use crate::{
    app::StartError,
    config::{Loaded, Loader, SlugKey},
    dns::{self, Dns, Mail},
    domain::{
        host::Host,
        issuance::refusal_of,
        tenant::Tenant,
        time::{Clock, Timestamp},
    },
    tls::{certs::CertName, slot::Slot},
};

/// Hosts, or domains of mail, that are looked up at the same time.
const AT_ONCE: usize = 16;

/// Selects the hosts and the form of the result.
#[derive(Debug, Args)]
pub(super) struct Order {
    #[command(flatten)]
    what: What,
    /// Configuration directory.
    #[arg(long, value_name = "DIR")]
    config: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// The hosts to check.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct What {
    /// A host, which needs to be in no tenant's file yet.
    host: Option<Host>,
    /// All hosts of a tenant, and its mail.
    #[arg(long, value_name = "ID")]
    tenant: Option<String>,
    /// All hosts of all tenants, and their mail.
    #[arg(long)]
    all: bool,
}

/// Checks, prints, and says with the exit code whether something is to do.
pub(super) fn check(order: &Order) -> ExitCode {
    let clock = Clock::system();
    let loaded = match Loader::new(&order.config, clock.clone()).load(&SlugKey([0; 32])) {
        Ok(loaded) => loaded,
        Err(faults) => return failed(&StartError::Config(faults).to_string()),
    };
    let (hosts, tenants) = match selected(&order.what, &loaded, clock.now()) {
        Ok(selected) => selected,
        Err(error) => return failed(&error),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.to_string()),
    };
    let found = runtime.block_on(async {
        let dns = Dns::new(&loaded.settings.resolver);
        let hosts = stream::iter(&hosts).map(|host| look(&dns, host, &loaded, clock.now())).buffered(AT_ONCE).collect();
        let mails = stream::iter(&tenants).map(|tenant| post(&dns, tenant)).buffered(AT_ONCE);
        let mails = mails.filter_map(ready).collect();
        let (hosts, mails): (Vec<Found>, Vec<Value>) = tokio::join!(hosts, mails);
        json!({ "hosts": hosts, "mail": mails })
    });
    let todo = advices(&found);
    let text = if order.json { format!("{found:#}") } else { printed(&found, &todo) };
    // A reader that has closed the pipe needs no error.
    let _ = writeln!(std::io::stdout(), "{text}");
    if todo.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A host with its tenant, if it has one.
struct Asked {
    host: Host,
    tenant: Option<Arc<Tenant>>,
}

/// What was found about one host, as JSON has it.
type Found = Value;

/// The hosts to check, and the tenants whose mail is checked.
fn selected(what: &What, loaded: &Loaded, now: Timestamp) -> Result<(Vec<Asked>, Vec<Arc<Tenant>>), String> {
    if let Some(host) = &what.host {
        let tenant = loaded.directory.tenant_of_host(host.as_str(), now).cloned();
        return Ok((vec![Asked { host: host.clone(), tenant }], Vec::new()));
    }
    let tenants: Vec<Arc<Tenant>> = match &what.tenant {
        Some(id) => {
            let tenant = loaded.directory.tenant(id).ok_or_else(|| format!("there is no tenant {id:?}"))?;
            vec![Arc::clone(tenant)]
        }
        None => loaded.directory.tenants().cloned().collect(),
    };
    let of = |tenant: &Arc<Tenant>| {
        let asked = |host: &Host| Asked { host: host.clone(), tenant: Some(Arc::clone(tenant)) };
        tenant.hosts.iter().map(asked).collect::<Vec<_>>()
    };
    Ok((tenants.iter().flat_map(of).collect(), tenants))
}

/// Checks one host.
async fn look(dns: &Dns, asked: &Asked, loaded: &Loaded, now: Timestamp) -> Found {
    let host = &asked.host;
    // One that is outside its dates is served only until there is another one.
    let slot = loaded.certs.find(host.as_str()).find(|slot| slot.is_good(now));
    let is_good = slot.is_some();
    let certificate = match slot.or_else(|| loaded.certs.find(host.as_str()).next()) {
        Some(slot) => brought(host, slot, now),
        None => missing(host, loaded),
    };
    let pointing = dns.pointing(host, &loaded.settings.expected).await;
    // Nothing is ordered for a host that has a good certificate of the operator.
    let caa = if is_good {
        Value::Null
    } else {
        let wildcard = wildcard_above(host, loaded);
        let method = wildcard.map(|_| "dns-01");
        let name = wildcard.map_or_else(|| CertName::Exact(host.clone()), |base| CertName::Below(base.clone()));
        let wanted = dns::Issuance { issuers: &loaded.settings.issuers, method, ..dns::Issuance::default() };
        let caa = dns.caa(&name, &wanted).await;
        json!({ "verdict": caa.kind(), "found": caa.found(), "advice": caa.advice() })
    };
    json!({
        "host": host.as_str(),
        "tenant": asked.tenant.as_ref().map(|tenant| tenant.id.as_str()),
        "dns": { "verdict": pointing.kind(), "found": pointing.found(), "advice": pointing.advice() },
        "caa": caa,
        "certificate": certificate,
    })
}

/// The certificate of the operator that serves a host: its issuer and last moment.
fn brought(host: &Host, slot: &Slot, now: Timestamp) -> Value {
    let chain = slot.chain_in_files().unwrap_or_default();
    let leaf = CertificateDer::from_pem_slice(&chain).ok();
    let leaf = leaf.as_ref().and_then(|leaf| X509Certificate::from_der(leaf).ok());
    let issuer = leaf.map(|(_, leaf)| leaf.issuer().to_string());
    let not_after = slot.not_after;
    let until = not_after.rfc3339();
    let advice = if not_after < now {
        let until = until.as_deref().unwrap_or_default();
        format!("the certificate of {host} in certs/ has expired at {until}: put a new one there")
    } else if now < slot.not_before {
        let from = slot.not_before.rfc3339().unwrap_or_default();
        format!("the certificate of {host} in certs/ is not valid before {from}: put another one there until then")
    } else {
        String::new()
    };
    json!({ "issuer": issuer, "not_after": until, "advice": advice })
}

/// Of a host without a certificate of the operator: why no authority gives it one; null where one does, or none is needed.
fn missing(host: &Host, loaded: &Loaded) -> Value {
    let settings = &loaded.settings;
    if settings.listen.https.is_empty() || wildcard_above(host, loaded).is_some() {
        return Value::Null;
    }
    let advice = match (settings.acme.as_deref(), refusal_of(host)) {
        (None, _) => format!("{host} has no certificate: put one into certs/{host}/, or set [acme]"),
        (Some(_), Some(why)) => format!("{host} {why}: put a certificate into certs/{host}/"),
        (Some(issuance), None) if issuance.challenges.is_empty() => {
            format!("{host} has no certificate, and no listener fits acme.challenges: put one into certs/{host}/")
        }
        (Some(_), None) => return Value::Null,
    };
    json!({ "issuer": null, "not_after": null, "advice": advice })
}

/// The base domain whose wildcard a host gets of an authority.
fn wildcard_above<'l>(host: &Host, loaded: &'l Loaded) -> Option<&'l Host> {
    loaded.settings.acme.as_ref()?.wildcard_above(host, &loaded.settings.base_domains)
}

/// Checks the mail of a tenant, if its file says where it comes from.
async fn post(dns: &Dns, tenant: &Arc<Tenant>) -> Option<Value> {
    let from = tenant.mail.as_ref()?;
    let Mail { parts } = dns.mail(from).await;
    let parts = parts.iter().map(|part| {
        json!({ "record": part.kind, "name": part.at, "found": part.found, "good": part.is_right(), "advice": part.advice })
    });
    Some(json!({
        "tenant": tenant.id.as_str(),
        "domain": from.domain.as_str(),
        "records": parts.collect::<Vec<_>>(),
    }))
}

/// The sentences of everything that is to do.
fn advices(found: &Value) -> Vec<String> {
    let of = |value: &Value| value["advice"].as_str().filter(|advice| !advice.is_empty()).map(str::to_owned);
    let list = |key: &str| found[key].as_array().cloned().unwrap_or_default();
    let hosts = list("hosts");
    let hosts = hosts.iter().flat_map(|host| ["dns", "caa", "certificate"].map(|key| of(&host[key])));
    let mails = list("mail");
    let records: Vec<Value> = mails.iter().filter_map(|mail| mail["records"].as_array()).flatten().cloned().collect();
    hosts.flatten().chain(records.iter().filter_map(of)).collect()
}

/// A table of the hosts, one of the records of mail, and what is to do.
fn printed(found: &Value, todo: &[String]) -> String {
    let hosts = found["hosts"].as_array().map(Vec::as_slice).unwrap_or_default();
    let rows: Vec<Value> = hosts
        .iter()
        .map(|host| {
            json!({
                "host": host["host"],
                "tenant": host["tenant"],
                "points": host["dns"]["verdict"],
                "found": host["dns"]["found"],
                "caa": host["caa"]["verdict"],
                "certificate_until": host["certificate"]["not_after"],
            })
        })
        .collect();
    let mut blocks = vec![table(&rows, &["host", "tenant", "points", "found", "caa", "certificate_until"])];
    let mails = found["mail"].as_array().map(Vec::as_slice).unwrap_or_default();
    let records: Vec<Value> = mails
        .iter()
        .flat_map(|mail| {
            let records = mail["records"].as_array().map(Vec::as_slice).unwrap_or_default();
            records.iter().map(|record| {
                json!({
                    "mail_of": mail["tenant"],
                    "record": record["record"],
                    "name": record["name"],
                    "good": record["good"],
                    "found": record["found"],
                })
            })
        })
        .collect();
    if !records.is_empty() {
        blocks.push(table(&records, &["mail_of", "record", "name", "good", "found"]));
    }
    if !todo.is_empty() {
        blocks.push(todo.join("\n"));
    }
    blocks.join("\n\n")
}
