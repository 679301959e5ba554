//! A minimal pingora-proxy in front of one server, carrying what the gateway carries, as plainly as it can. Whatever is not the
//! default has its reason beside it.
//!
//! `anteroom-bench-pingora FILE`: the file has `listen` and `server` (addresses with ports), `certificate` and `key` (PEM files),
//! each with its value behind it in a line (`bench/peers/pingora.conf`).

use std::{env, fs, process::ExitCode};

use async_trait::async_trait;
use pingora::{
    Result,
    http::RequestHeader,
    listeners::tls::TlsSettings,
    proxy::{ProxyHttp, Session, http_proxy_service},
    server::{RunArgs, Server, configuration::ServerConf},
    upstreams::peer::HttpPeer,
};

struct Plain {
    /// Address and port.
    server: String,
}

#[async_trait]
impl ProxyHttp for Plain {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _session: &mut Session, _ctx: &mut ()) -> Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(&self.server, false, String::new())))
    }

    /// The same fields as the other peers set.
    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        _ctx: &mut (),
    ) -> Result<()> {
        request.insert_header("host", "bbb-01.internal.test")?;
        request.insert_header("x-forwarded-proto", "https")?;
        if let Some(address) = session.client_addr().and_then(|address| address.as_inet()) {
            request.insert_header("x-forwarded-for", address.ip().to_string())?;
        }
        Ok(())
    }

    /// Written, and going nowhere, as the gateway's.
    async fn logging(&self, session: &mut Session, _error: Option<&pingora::Error>, ctx: &mut ()) {
        let status = session.response_written().map_or(0, |response| response.status.as_u16());
        println!("{} {status}", self.request_summary(session, ctx));
    }
}

fn run(listen: &str, server: &str, certificate: &str, key: &str) -> Result<()> {
    let conf = ServerConf {
        threads: 1,                       // one core, as the gateway has
        upstream_keepalive_pool_size: 64, // as the other peers have
        grace_period_seconds: Some(0),    // the harness ends it
        graceful_shutdown_timeout_seconds: Some(0),
        ..ServerConf::default()
    };
    let mut pingora = Server::new_with_opt_and_conf(None, conf);
    pingora.bootstrap();
    let mut service = http_proxy_service(&pingora.configuration, Plain { server: server.to_owned() });
    let mut tls = TlsSettings::intermediate(certificate, key)?;
    tls.enable_h2(); // as the load asks for
    service.add_tls_with_settings(listen, None, tls);
    pingora.add_service(service);
    pingora.run(RunArgs::default());
    Ok(())
}

/// The value of a name in a file of lines with a name and a value each.
fn value<'a>(text: &'a str, name: &str) -> &'a str {
    text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim()
}

fn main() -> ExitCode {
    let argument = env::args().nth(1).unwrap_or_default();
    if argument == "--version" {
        println!("pingora-proxy 0.9.1");
        return ExitCode::SUCCESS;
    }
    let done = fs::read_to_string(&argument).map_err(|error| format!("{argument}: {error}")).and_then(|text| {
        let [listen, server, certificate, key] =
            ["listen", "server", "certificate", "key"].map(|name| value(&text, name));
        run(listen, server, certificate, key).map_err(|error| error.to_string())
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
