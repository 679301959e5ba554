//! The metrics as text for Prometheus. Names and labels are documented in docs/reference/metrics.md.

use std::{fmt, sync::atomic::Ordering::Relaxed};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text::encode},
    metrics::MetricType,
    registry::Registry,
};

use super::Admin;
use crate::{net::rates::RateOf, store, supervise};

/// All metrics, in OpenMetrics text.
///
/// # Errors
/// Never in practice: text is written to memory.
pub(super) fn text(admin: Admin) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("anteroom");
    registry.register_collector(Box::new(Now(admin)));
    let mut out = String::new();
    encode(&mut out, &registry)?;
    Ok(out)
}

#[derive(Debug)]
struct Now(Admin);

type Row<'a> = (Vec<(&'static str, &'a str)>, i64);

impl Collector for Now {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Admin { gateway, tls, leads, .. } = &self.0;
        let leads = &(*leads.borrow() == Some(true));
        let metrics = &gateway.metrics;
        let tenants = metrics.tenants();
        let mut counter = |name, help, rows| family(&mut encoder, MetricType::Counter, name, help, rows);
        counter(
            "requests",
            "Requests by tenant, call and outcome",
            tenants
                .iter()
                .flat_map(|(id, t)| {
                    t.requests().map(move |(call, outcome, n)| {
                        let labels =
                            vec![("tenant", id.as_str()), ("call", call.as_str()), ("outcome", outcome.as_str())];
                        (labels, signed(n))
                    })
                })
                .collect(),
        )?;
        counter(
            "refusals",
            "Refusals by tenant and reason (the messageKey)",
            tenants
                .iter()
                .flat_map(|(id, t)| {
                    t.denials().map(move |(key, n)| (vec![("tenant", id.as_str()), ("reason", key)], signed(n)))
                })
                .collect(),
        )?;
        counter(
            "socket_bytes",
            "Bytes that closed WebSockets have carried, by tenant and direction",
            tenants
                .iter()
                .flat_map(|(id, t)| {
                    let (up, down) = t.bytes();
                    [("up", up), ("down", down)]
                        .map(|(way, n)| (vec![("tenant", id.as_str()), ("direction", way)], signed(n)))
                })
                .collect(),
        )?;
        counter(
            "body_bytes",
            "Bytes of the bodies of requests (up) and answers (down), by tenant",
            tenants
                .iter()
                .flat_map(|(id, t)| {
                    let (up, down) = t.body_bytes();
                    [("up", up), ("down", down)]
                        .map(|(way, n)| (vec![("tenant", id.as_str()), ("direction", way)], signed(n)))
                })
                .collect(),
        )?;
        let plain = |n| vec![(Vec::new(), n)];
        counter(
            "unknown_hosts",
            "Requests for hosts that no tenant has, or other than that of their handshake",
            plain(signed(metrics.unknown_hosts.load(Relaxed))),
        )?;
        counter(
            "handshakes_failed",
            "TLS handshakes that were refused or failed",
            plain(signed(metrics.handshakes_failed.load(Relaxed))),
        )?;
        counter(
            "malformed_requests",
            "Connections on which something came that is no HTTP request, or has too large a head",
            plain(signed(metrics.malformed.load(Relaxed))),
        )?;
        counter(
            "task_panics",
            "Panics of tasks, which were started again, or of one of their steps",
            supervise::panics().into_iter().map(|(task, n)| (vec![("task", task)], signed(n))).collect(),
        )?;
        counter(
            "store_notes_dropped",
            "What the database did not take and was left out: notes of seats and names, or usage",
            store::dropped().into_iter().map(|(kind, n)| (vec![("kind", kind)], signed(n))).collect(),
        )?;
        counter(
            "rate_limited",
            "What came too fast, by kind; with rates.count_only it was not refused",
            RateOf::ALL.iter().map(|k| (vec![("kind", k.as_str())], signed(gateway.net.rates.limited(*k)))).collect(),
        )?;
        counter(
            "connections_closed",
            "Connections that a limit of number or time has closed, by reason",
            metrics.closed().map(|(reason, n)| (vec![("reason", reason)], signed(n))).collect(),
        )?;
        counter(
            "accept_errors",
            "Connections that the system did not hand over, such as for want of a file handle",
            plain(signed(metrics.accept_errors.load(Relaxed))),
        )?;
        counter(
            "upstream_exhausted",
            "Connections to servers and frontends for which this machine had no file handle, port or memory",
            plain(signed(gateway.pool.exhausted())),
        )?;
        let files = &gateway.live.files;
        counter(
            "client_file_hits",
            "Requests for files of BBB's client that were answered from memory",
            plain(signed(files.hits.load(Relaxed))),
        )?;
        counter(
            "client_file_reads",
            "Files of BBB's client that were read from a server",
            plain(signed(files.reads.load(Relaxed))),
        )?;
        counter(
            "client_files_without_room",
            "Files of BBB's client that were carried since there was no room in memory",
            plain(signed(files.without_room.load(Relaxed))),
        )?;
        counter(
            "config_reloads",
            "Reloads of the configuration that took something over",
            plain(signed(metrics.reloads.load(Relaxed))),
        )?;

        let mut gauge = |name, help, rows| family(&mut encoder, MetricType::Gauge, name, help, rows);
        gauge(
            "open_sockets",
            "WebSockets that are open, by tenant",
            tenants.iter().map(|(id, t)| (vec![("tenant", id.as_str())], t.sockets())).collect(),
        )?;
        let secrets: Vec<_> = tenants.iter().map(|(id, t)| (id, t.secrets())).collect();
        gauge(
            "secret_last_used_timestamp_seconds",
            "When an API secret has last signed a call, seconds since the epoch",
            secrets
                .iter()
                .flat_map(|(id, labels)| {
                    labels.iter().map(move |(label, at)| {
                        let (account, name) = label.split_once('/').unwrap_or((label, ""));
                        (vec![("tenant", id.as_str()), ("account", account), ("secret", name)], at.as_secs())
                    })
                })
                .collect(),
        )?;
        let bytes = |n: usize| plain(i64::try_from(n).unwrap_or(i64::MAX));
        gauge(
            "client_file_bytes",
            "Memory for files of BBB's client: held, being read, still being sent",
            bytes(files.bytes()),
        )?;
        gauge("held_body_bytes", "Bodies of API calls that are held in memory", bytes(gateway.bodies.bytes()))?;
        gauge("open_connections", "Connections that are open", plain(metrics.connections()))?;
        let (places, addresses) = gateway.net.connections.open();
        gauge("connection_places", "Connections that are open, WebSockets included", plain(i64::from(places)))?;
        let limits = gateway.net.connections.limits();
        gauge("connection_places_max", "How many connections there may be", plain(i64::from(limits.max)))?;
        gauge(
            "connection_addresses",
            "Addresses (of IPv6: /64) that connections are open from",
            plain(i64::try_from(addresses).unwrap_or(i64::MAX)),
        )?;
        gauge(
            "config_faults",
            "Faults in the configuration files as of the last reload",
            plain(metrics.config_faults.load(Relaxed)),
        )?;
        gauge("meetings", "Meetings that run", plain(i64::try_from(gateway.live.meetings_len()).unwrap_or(i64::MAX)))?;
        let directory = gateway.directory.load();
        let states: Vec<_> =
            directory.servers().map(|server| (server.id.as_str(), gateway.live.servers.of(&server.id))).collect();
        let by_server = |value: fn(&crate::live::servers::ServerState) -> i64| -> Vec<Row<'_>> {
            states.iter().map(|(id, state)| (vec![("server", *id)], value(state))).collect()
        };
        gauge("server_up", "Whether a BBB server answers: 1 or 0", by_server(|s| i64::from(s.is_up())))?;
        let modes = states.iter().map(|(id, state)| (vec![("server", *id), ("mode", state.mode().as_str())], 1));
        gauge("server_mode", "What the operator wants of a BBB server: 1 for its mode", modes.collect())?;
        let found = states.iter().map(|(id, state)| (vec![("server", *id), ("state", state.state().as_str())], 1));
        gauge("server_state", "What polls have found a BBB server to be: 1 for its state", found.collect())?;
        gauge(
            "server_load",
            "People that a BBB server is reckoned to have: those in its meetings, and those expected",
            by_server(|s| i64::from(s.load())),
        )?;
        gauge("store_up", "Whether the store answers: 1 or 0", plain(i64::from(!gateway.store.is_away())))?;
        gauge(
            "loop_age_seconds",
            "How long a loop has done nothing though there is something to be done",
            gateway.loops().map(|round| (vec![("loop", round.name)], signed(round.age().as_secs()))).collect(),
        )?;
        gauge("polls", "Whether this gateway is the one that polls the servers: 1 or 0", plain(i64::from(*leads)))?;
        gauge("server_meetings", "Meetings on a BBB server", by_server(|s| i64::from(s.meetings())))?;
        gauge("server_seats", "People who are present on a BBB server", by_server(|s| i64::from(s.seats())))?;
        let certs = tls.certs();
        gauge(
            "certificate_expiry_timestamp_seconds",
            "When a host's certificate expires, seconds since the epoch",
            certs.expiries().map(|(host, at)| (vec![("host", host)], at.as_secs())).collect(),
        )
    }
}

fn family(
    encoder: &mut DescriptorEncoder<'_>,
    kind: MetricType,
    name: &str,
    help: &str,
    rows: Vec<Row<'_>>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, kind)?;
    for (labels, value) in rows {
        // Without labels there are no braces either.
        if labels.is_empty() {
            encode_value(&mut family, kind, value)?;
        } else {
            encode_value(&mut family.encode_family(&labels)?, kind, value)?;
        }
    }
    Ok(())
}

fn encode_value(metric: &mut MetricEncoder<'_>, kind: MetricType, value: i64) -> fmt::Result {
    match kind {
        MetricType::Counter => metric.encode_counter::<NoLabelSet, u64, f64>(&u64::try_from(value).unwrap_or(0), None),
        _ => metric.encode_gauge(&value),
    }
}

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
