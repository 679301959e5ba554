//! The metrics as text for Prometheus. Names and labels are documented in docs/reference/metrics.md.

mod format;
mod rows;

use std::{fmt, sync::atomic::Ordering::Relaxed};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text::encode},
    metrics::MetricType,
    registry::Registry,
};

use super::state::Admin;
use crate::{net::rates::RateOf, store, supervise};
pub(super) use format::Format;
pub(super) use rows::Scrape;
use rows::{Most, Row, Tenants};

/// All metrics.
///
/// # Errors
/// Never in practice: text is written to memory.
pub(super) fn text(admin: Admin, scrape: &Scrape, format: Format) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("anteroom");
    registry.register_collector(Box::new(Now { admin, most: scrape.rows }));
    let mut out = String::new();
    encode(&mut out, &registry)?;
    Ok(format.write(out))
}

#[derive(Debug)]
struct Now {
    admin: Admin,
    most: Most,
}

impl Collector for Now {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Admin { gateway, tls, leads, .. } = &self.admin;
        let leads = &(*leads.borrow() == Some(true));
        let metrics = &gateway.metrics;
        let tenants = Tenants::new(metrics, self.most);
        let mut counter = |name, help, rows| family(&mut encoder, MetricType::Counter, name, help, rows);
        counter(
            "requests",
            "Requests by tenant, call and outcome",
            tenants.rows(|tenant| {
                let all = tenant.requests();
                all.map(|(call, outcome, n)| (vec![("call", call.as_str()), ("outcome", outcome.as_str())], signed(n)))
                    .collect::<Vec<_>>()
            }),
        )?;
        counter(
            "refusals",
            "Refusals by tenant and reason (the messageKey)",
            tenants
                .rows(|tenant| tenant.denials().map(|(key, n)| (vec![("reason", key)], signed(n))).collect::<Vec<_>>()),
        )?;
        counter(
            "graphql_sockets_ended",
            "Ended GraphQL sockets, by tenant and reason",
            tenants.rows(|tenant| {
                let all = tenant.socket_ends.all();
                all.map(|(end, n)| (vec![("reason", end.as_str())], signed(n))).collect::<Vec<_>>()
            }),
        )?;
        counter(
            "callbacks",
            "Callbacks of servers to tenants, by tenant and event",
            tenants.rows(|tenant| {
                let all = tenant.callbacks.all();
                all.map(|(event, n)| (vec![("event", event.as_str())], signed(n))).collect::<Vec<_>>()
            }),
        )?;
        counter(
            "webhook_events",
            "Events for webhooks of tenants, by tenant and event",
            tenants.rows(|tenant| {
                let all = tenant.webhooks.all();
                all.map(|(event, n)| (vec![("event", event.as_str())], signed(n))).collect::<Vec<_>>()
            }),
        )?;
        let directions =
            |(up, down)| [("up", up), ("down", down)].map(|(way, n)| (vec![("direction", way)], signed(n)));
        counter(
            "socket_bytes",
            "Bytes of closed WebSockets, by tenant and direction",
            tenants.rows(|tenant| directions(tenant.bytes())),
        )?;
        counter(
            "body_bytes",
            "Bytes of the bodies of requests (up) and answers (down), by tenant",
            tenants.rows(|tenant| directions(tenant.body_bytes())),
        )?;
        let plain = |n| vec![(Vec::new(), n)];
        counter(
            "unknown_hosts",
            "Requests for an unknown host, or for a host other than the SNI",
            plain(signed(metrics.unknown_hosts.load(Relaxed))),
        )?;
        counter(
            "handshakes_failed",
            "Failed and refused TLS handshakes",
            plain(signed(metrics.handshakes_failed.load(Relaxed))),
        )?;
        let (loaded, failed) = tls.loads();
        let loads = [("loaded", loaded), ("failed", failed)];
        counter(
            "certificate_loads",
            "Certificates loaded when their host was first asked for, by result",
            loads.iter().map(|(result, n)| (vec![("result", *result)], signed(*n))).collect(),
        )?;
        let (challenges, first) = (tls.challenges(), tls.first_hello());
        let challenges =
            [("answered", &challenges.answered), ("unknown", &challenges.refused)].map(|(r, n)| (r, n.load(Relaxed)));
        counter(
            "tls_challenges",
            "Handshakes of ACME servers (acme-tls/1), by result",
            challenges.iter().map(|(result, n)| (vec![("result", *result)], signed(*n))).collect(),
        )?;
        let first = [("waited", &first.waited), ("refused", &first.refused)].map(|(r, n)| (r, n.load(Relaxed)));
        counter(
            "first_hellos",
            "Handshakes for a host without a certificate yet that waited for it, or found too many waiting",
            first.iter().map(|(result, n)| (vec![("result", *result)], signed(*n))).collect(),
        )?;
        counter(
            "malformed_requests",
            "Connections with a malformed HTTP request or too large headers",
            plain(signed(metrics.malformed.load(Relaxed))),
        )?;
        counter(
            "task_panics",
            "Panics, by task; other: connections, sockets and what is done once",
            supervise::panics().into_iter().map(|(task, n)| (vec![("task", task)], signed(n))).collect(),
        )?;
        counter(
            "store_notes_dropped",
            "Writes that the database rejected and that were discarded, by kind",
            store::dropped().into_iter().map(|(kind, n)| (vec![("kind", kind)], signed(n))).collect(),
        )?;
        counter(
            "rate_limited",
            "Events over a rate limit, by kind; only counted with rates.count_only",
            RateOf::ALL.iter().map(|k| (vec![("kind", k.as_str())], signed(gateway.net.rates.limited(*k)))).collect(),
        )?;
        counter(
            "connections_closed",
            "Connections closed by a limit, by reason",
            metrics.closed().map(|(reason, n)| (vec![("reason", reason)], signed(n))).collect(),
        )?;
        counter(
            "accept_errors",
            "Failed accepts, such as for lack of a file handle",
            plain(signed(metrics.accept_errors.load(Relaxed))),
        )?;
        counter(
            "upstream_exhausted",
            "Upstream connections that failed for lack of a file handle, port or memory",
            plain(signed(gateway.meetings.backends.pool.exhausted())),
        )?;
        let files = &gateway.meetings.live.files;
        counter(
            "client_file_hits",
            "Client file requests answered from the cache",
            plain(signed(files.hits.load(Relaxed))),
        )?;
        counter(
            "client_file_reads",
            "Client files read from servers into the cache",
            plain(signed(files.reads.load(Relaxed))),
        )?;
        counter(
            "client_files_without_room",
            "Client files proxied because the cache was full",
            plain(signed(files.without_room.load(Relaxed))),
        )?;
        counter(
            "certificate_orders",
            "Orders of certificates, by certificate authority and outcome",
            metrics
                .certificates
                .orders()
                .map(|(role, outcome, n)| {
                    (vec![("authority", role.as_str()), ("outcome", outcome.as_str())], signed(n))
                })
                .collect(),
        )?;
        counter(
            "config_reloads",
            "Configuration reloads that changed something",
            plain(signed(metrics.reloads.load(Relaxed))),
        )?;

        let mut gauge = |name, help, rows| family(&mut encoder, MetricType::Gauge, name, help, rows);
        gauge("open_sockets", "Open WebSockets, by tenant", tenants.rows(|tenant| [(Vec::new(), tenant.sockets())]))?;
        let secrets: Vec<_> = tenants.own().map(|(id, tenant)| (id, tenant.secrets())).collect();
        gauge(
            "secret_last_used_timestamp_seconds",
            "Time of the last call signed with an API secret, seconds since the epoch",
            secrets
                .iter()
                .flat_map(|(id, labels)| {
                    labels.iter().map(move |(label, at)| {
                        let (account, name) = label.split_once('/').unwrap_or((label, ""));
                        (vec![("tenant", *id), ("account", account), ("secret", name)], at.as_secs())
                    })
                })
                .collect(),
        )?;
        let seen = metrics.certificates.seen();
        let states = seen.iter().flat_map(|seen| &seen.states);
        gauge(
            "certificates",
            "Names that need a certificate, by state; on the gateway that orders",
            states.map(|(state, n)| (vec![("state", *state)], signed(*n))).collect(),
        )?;
        gauge(
            "certificates_overdue",
            "Certificates that should have been renewed and expire soon; on the gateway that orders",
            seen.iter().map(|seen| (Vec::new(), signed(seen.overdue))).collect(),
        )?;
        let bytes = |n: usize| plain(signed_len(n));
        gauge(
            "client_file_bytes",
            "Memory of the client file cache, including files being read or sent",
            bytes(files.bytes()),
        )?;
        gauge("held_body_bytes", "Bytes of request bodies buffered in memory", bytes(gateway.bodies.bytes()))?;
        gauge("open_connections", "Open client connections", plain(metrics.connections()))?;
        let (places, addresses) = gateway.net.connections.open();
        gauge("connection_places", "Open client connections, WebSockets included", plain(i64::from(places)))?;
        let limits = gateway.net.connections.limits();
        gauge("connection_places_max", "Maximum of open client connections", plain(i64::from(limits.max)))?;
        gauge(
            "connection_addresses",
            "Client addresses (IPv6: /64 networks) with open connections",
            plain(signed_len(addresses)),
        )?;
        gauge(
            "config_faults",
            "Faults in the configuration files as of the last reload",
            plain(metrics.config_faults.load(Relaxed)),
        )?;
        gauge("meetings", "Running meetings", plain(signed_len(gateway.meetings.live.meetings.count())))?;
        let directory = gateway.meetings.directory.load();
        let states: Vec<_> = directory
            .servers()
            .map(|server| (server.id.as_str(), gateway.meetings.live.servers.of(&server.id)))
            .collect();
        let by_server = |value: fn(&crate::live::servers::ServerState) -> i64| -> Vec<Row<'_>> {
            states.iter().map(|(id, state)| (vec![("server", *id)], value(state))).collect()
        };
        gauge("server_up", "1 if a BBB server is ready, else 0", by_server(|s| i64::from(s.is_up())))?;
        let modes = states.iter().map(|(id, state)| (vec![("server", *id), ("mode", state.mode().as_str())], 1));
        gauge("server_mode", "1 for the administrative mode of a BBB server", modes.collect())?;
        let found =
            states.iter().map(|(id, state)| (vec![("server", *id), ("state", state.health.state().as_str())], 1));
        gauge("server_state", "1 for the health state of a BBB server", found.collect())?;
        gauge(
            "server_load",
            "Expected participants of a BBB server: present, and still to join young meetings",
            by_server(|s| i64::from(s.load.people())),
        )?;
        gauge("store_up", "1 if the store answers, else 0", plain(i64::from(!gateway.meetings.store.is_away())))?;
        gauge(
            "loop_age_seconds",
            "Seconds since the last progress of a background loop that has work",
            gateway.meetings.loops().map(|round| (vec![("loop", round.name)], signed(round.age().as_secs()))).collect(),
        )?;
        gauge("polls", "1 if this gateway polls the servers, else 0", plain(i64::from(*leads)))?;
        gauge("server_meetings", "Meetings on a BBB server", by_server(|s| i64::from(s.load.meetings())))?;
        gauge("server_seats", "Participants present on a BBB server", by_server(|s| i64::from(s.load.seats())))?;
        let mut expiries: Vec<_> = tls.expiries().into_iter().map(|(name, at)| (at, name)).collect();
        gauge("hosts_with_certificate", "Hosts with a certificate", plain(signed_len(expiries.len())))?;
        expiries.sort_unstable();
        let expiries: Vec<(String, i64)> =
            self.most.of(expiries).into_iter().map(|(at, name)| (name.to_string(), at.as_secs())).collect();
        gauge(
            "certificate_expiry_timestamp_seconds",
            "Expiry of the certificates that expire first, by host, seconds since the epoch",
            expiries.iter().map(|(host, at)| (vec![("host", host.as_str())], *at)).collect(),
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

fn signed_len(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
