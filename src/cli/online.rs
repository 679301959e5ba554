//! `anteroom check --online`: checks each BBB server: reachable, secret, version, redirect of a join.
//!
//! Only a join shows where the server redirects people, so a test meeting is created and ended at once. Its id belongs to no
//! tenant.

use std::{path::Path, process::ExitCode, sync::Arc, time::Duration};

use data_encoding::HEXLOWER;
use futures_util::{StreamExt, stream};
use http::{Uri, header::LOCATION};

use super::failure::failed;
use crate::{
    app::{counted, trust_roots},
    bbb::{
        elsewhere::strange,
        query::Params,
        release::{Release, advice::Advice},
        xml,
    },
    domain::{backend_error::BackendError, directory::Directory, tenant::Server},
    upstream::{ApiCall, Connector, Pool, Reply, version},
};

/// Time limit of each call.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Servers that are checked at the same time.
const AT_ONCE: usize = 16;
/// Redirect target of a refused join (RFC 2606).
const REFUSED: &str = "https://anteroom.invalid/";
/// Warning about a server whose release is not known.
const UNTOLD: &str = "does not tell its release: set allowRevealOfBBBVersion=true in its bbb-web.properties";

/// Checks all servers and prints a line for each.
pub(super) fn servers(directory: &Directory, ca: Option<&Path>) -> ExitCode {
    let roots = match trust_roots(ca) {
        Ok(roots) => roots,
        Err(error) => return failed(&error.to_string()),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.to_string()),
    };
    let servers: Vec<Arc<Server>> = directory.servers().cloned().collect();
    let told: Vec<_> = runtime.block_on(async {
        let pool = Pool::new(Connector::new(roots));
        stream::iter(&servers).map(|server| ask(&pool, server)).buffered(AT_ONCE).collect().await
    });
    let advice = Advice::new(directory);
    for (server, told) in servers.iter().zip(&told) {
        match told {
            Ok(told) => tell(server, told, &advice),
            Err(fault) => println!("server {}: fault: {fault}", server.id),
        }
    }
    match told.iter().filter(|told| told.is_err()).count() {
        0 => ExitCode::SUCCESS,
        faults => {
            println!("{} with the servers", counted(faults, "fault"));
            ExitCode::FAILURE
        }
    }
}

/// A server without a fault.
struct Sound {
    /// `BBB`, with its version if it tells that.
    name: String,
    release: Option<Release>,
}

/// Prints what a server without a fault is, and the warnings about its release.
fn tell(server: &Server, Sound { name, release }: &Sound, advice: &Advice) {
    let id = &server.id;
    println!("server {id}: {name}, answers, has this secret, and sends people to its own client");
    match release {
        Some(release) => {
            advice.warnings(server, *release).iter().for_each(|warning| println!("server {id}: warning: {warning}"));
        }
        None => println!("server {id}: warning: {UNTOLD}"),
    }
}

/// Checks one server: what it is, or its fault.
async fn ask(pool: &Pool, server: &Server) -> Result<Sound, String> {
    let listed = call(pool, server, "getMeetings", &Params::default()).await?;
    let listed = read(&listed)?;
    if listed.message_key == "checksumError" {
        return Err("wrong secret (`bbb-conf --secret` on the server shows it)".into());
    }
    if !listed.success {
        return Err(format!("refuses getMeetings: {}", shown(&listed.message)));
    }
    let version = version(pool, server).await.ok_or("does not report a version as a BBB server does")?;
    if version.before_3 != server.is_meteor {
        let (is, says) = if version.before_3 { ("older than 3.0", "3.0") } else { ("3.0 or newer", "2.7") };
        return Err(format!("is {is}, and servers.{}.version says {says}", server.id));
    }
    joins(pool, server).await?;
    let name = if version.bbb.is_empty() { "BBB".to_owned() } else { format!("BBB {}", shown(&version.bbb)) };
    Ok(Sound { name, release: Release::told(&version.bbb, &version.plugin_sdk) })
}

/// Checks that a join redirects to the client of this server.
async fn joins(pool: &Pool, server: &Server) -> Result<(), String> {
    let mut random = [0; 8];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| "the random number generator of the system failed")?;
    let id = format!("anteroom-check-{}", HEXLOWER.encode(&random));
    let params = |pairs: &[(&str, &str)]| {
        let mut params = Params::default();
        params.set("meetingID", &*id);
        pairs.iter().for_each(|(name, value)| params.set(name, *value));
        params
    };
    let wanted = [("name", "Anteroom check"), ("duration", "1"), ("record", "false")];
    let made = read(&call(pool, server, "create", &params(&wanted)).await?)?;
    if !made.success {
        return Err(format!("refuses create: {}", shown(&made.message)));
    }
    let person = [("fullName", "Anteroom check"), ("role", "MODERATOR"), ("errorRedirectUrl", REFUSED)];
    let joined = call(pool, server, "join", &params(&person)).await;
    // Whatever came of it.
    let _ = call(pool, server, "end", &params(&[])).await;
    let joined = joined?;
    match strange(server, &joined.headers, &joined.body) {
        Some((_, host)) if REFUSED.contains(&host) => Err("refuses join".into()),
        Some((strange, host)) => Err(format!("{strange} ({})", shown(&host))),
        None if joined.status.is_redirection() => Ok(()),
        None => Err("does not redirect people who join".into()),
    }
}

async fn call(pool: &Pool, server: &Server, name: &'static str, params: &Params) -> Result<Reply, String> {
    let mut call = ApiCall::new(name, params);
    call.timeout = TIMEOUT;
    call.send(pool, server).await.map_err(|error| match error {
        BackendError::Connect => "cannot be reached".to_owned(),
        error => format!("{name}: {error}"),
    })
}

fn read(reply: &Reply) -> Result<xml::Outcome, String> {
    if reply.status.is_redirection() {
        // Not all of the address: the checksum may be in it.
        let to = reply.headers.get(LOCATION).and_then(|to| to.to_str().ok()?.parse::<Uri>().ok()).unwrap_or_default();
        let (scheme, host) = (to.scheme_str().unwrap_or("its own"), to.host().unwrap_or("host"));
        return Err(format!("redirects calls ({scheme} {}): is this a balancer, or is that its url?", shown(host)));
    }
    xml::outcome(&reply.body)
        .ok_or_else(|| format!("is not a BBB server: it answers with status {}", reply.status.as_u16()))
}

/// Text of a server, without control characters and of bounded length, for the terminal.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}
