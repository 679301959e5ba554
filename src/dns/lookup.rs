//! [`Lookup`]: questions to name servers, and the three ways in which there is no answer. Knows nothing of what is expected.
//!
//! Nothing is remembered between questions, and `/etc/hosts` is not read: a check must see what a certificate authority sees.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use futures_util::StreamExt;
use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig},
    net::{DnsError, NetError, runtime::TokioRuntimeProvider, udp::UdpClientStream, xfer::DnsHandle},
    proto::{
        op::{DnsRequest, DnsRequestOptions, Query, ResponseCode},
        rr::{Name, RData, Record, RecordType},
    },
    system_conf::read_system_conf,
};

use super::words::ascii;

/// How long a name server has for one answer, and how often it is asked again. A resolver may have to ask half of the world
/// first.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
const RETRIES: usize = 1;
/// How many names a name may lead to, one after the other. Resolvers follow 8 to 16.
const ALIASES_MAX: usize = 8;
/// Records of one answer that are read.
const RECORDS_MAX: usize = 256;

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// SERVFAIL: the name servers of the zone do not answer, or their answers make no sense.
    ServerFailure,
    /// The answer exists, but its DNSSEC signatures are wrong.
    Dnssec,
    /// The name servers refuse the question.
    Refused,
    /// No answer within the time limit.
    Timeout,
    /// No name server can be asked: none is configured, or none can be reached.
    NoServer,
    /// Names lead to one another without an end, or to too many.
    Loop,
    /// An answer that cannot be read.
    Unreadable,
}

impl Trouble {
    /// What it is called in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ServerFailure => "servfail",
            Self::Dnssec => "dnssec",
            Self::Refused => "refused",
            Self::Timeout => "timeout",
            Self::NoServer => "no-name-server",
            Self::Loop => "loop",
            Self::Unreadable => "unreadable",
        }
    }

    /// What happened and what to do, for a name and what was asked for (such as `AAAA`).
    pub(super) fn advice(self, name: &str, asked: &str) -> String {
        match self {
            Self::ServerFailure => format!(
                "the name servers of {name} fail when they are asked for {asked} (SERVFAIL): correct the zone, or ask its DNS provider"
            ),
            Self::Dnssec => format!(
                "the DNSSEC signatures of {name} are wrong ({asked}): sign the zone again, or remove its DS record at the registrar"
            ),
            Self::Refused => format!(
                "the name servers refuse to answer for {name} ({asked}, REFUSED): create the zone there, or correct the NS records at the registrar"
            ),
            Self::Timeout => format!(
                "no answer about {name} ({asked}) in time: check the name servers of its zone, and the DNS server of the gateway"
            ),
            Self::NoServer => {
                "the gateway reaches no DNS server: correct /etc/resolv.conf, or upstream.resolver".into()
            }
            Self::Loop => {
                format!("{name} leads from CNAME to CNAME without an end: let it point to the right name directly")
            }
            Self::Unreadable => {
                format!("the answer about {name} ({asked}) cannot be read: ask the DNS provider of its zone")
            }
        }
    }
}

/// What there is in place of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nothing {
    /// The name does not exist (NXDOMAIN).
    NoName,
    /// It exists, and has no record of this type.
    NoData,
    /// It is not known.
    Failed(Trouble),
}

/// Asks name servers. Clones are cheap.
#[derive(Clone)]
pub(super) struct Lookup {
    /// None where the system has no name server.
    resolver: Option<TokioResolver>,
    servers: Arc<[SocketAddr]>,
}

impl Lookup {
    /// Asks these name servers, or, where there are none, those of the system.
    pub(super) fn new(servers: &[SocketAddr]) -> Self {
        let mut config = ResolverConfig::from_parts(None, Vec::new(), servers.iter().map(name_server).collect());
        if servers.is_empty() {
            match read_system_conf() {
                Ok((system, _)) => {
                    let servers = system.name_servers().to_vec();
                    // Without the domain and the search list of the system: names here are whole.
                    config = ResolverConfig::from_parts(None, Vec::new(), servers);
                }
                Err(error) => tracing::warn!(%error, "no DNS server configured in the system: no name is checked"),
            }
        }
        let ports = |server: &NameServerConfig| {
            server.connections.first().map(|connection| SocketAddr::new(server.ip, connection.port))
        };
        let servers: Arc<[SocketAddr]> = config.name_servers().iter().filter_map(ports).collect();
        if servers.is_empty() {
            return Self { resolver: None, servers };
        }
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let options = builder.options_mut();
        options.timeout = ANSWER_TIMEOUT;
        options.attempts = RETRIES;
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        Self { resolver: builder.build().ok(), servers }
    }

    /// The records of this type that a name has, be it through other names.
    pub(super) async fn ask(&self, name: &str, kind: RecordType) -> Result<Vec<RData>, Nothing> {
        let records = self.records(name, kind).await?;
        let data: Vec<_> =
            records.into_iter().filter(|record| record.record_type() == kind).map(|record| record.data).collect();
        if data.is_empty() { Err(Nothing::NoData) } else { Ok(data) }
    }

    /// The addresses of a name, IPv4 or IPv6.
    pub(super) async fn addresses(&self, name: &str, kind: RecordType) -> Result<Vec<IpAddr>, Nothing> {
        let data = self.ask(name, kind).await?;
        let addresses = data.into_iter().filter_map(|data| match data {
            RData::A(address) => Some(IpAddr::V4(address.0)),
            RData::AAAA(address) => Some(IpAddr::V6(address.0)),
            _ => None,
        });
        Ok(addresses.collect())
    }

    /// The names that a name leads to by CNAME, one after the other, without a dot at their ends; none where it has records
    /// of its own or does not exist.
    pub(super) async fn aliases(&self, name: &str) -> Result<Vec<String>, Trouble> {
        let mut chain: Vec<String> = Vec::new();
        loop {
            let current = chain.last().map_or(name, String::as_str);
            let next = match self.ask(current, RecordType::CNAME).await {
                Ok(data) => data.into_iter().find_map(|data| match data {
                    RData::CNAME(target) => Some(ascii(&target.0)),
                    _ => None,
                }),
                Err(Nothing::NoName | Nothing::NoData) => None,
                Err(Nothing::Failed(trouble)) => return Err(trouble),
            };
            let Some(next) = next else { return Ok(chain) };
            if chain.len() == ALIASES_MAX || next == name || chain.contains(&next) {
                return Err(Trouble::Loop);
            }
            chain.push(next);
        }
    }

    /// The texts of a name's TXT records, the pieces of each joined.
    pub(super) async fn texts(&self, name: &str) -> Result<Vec<String>, Nothing> {
        let data = self.ask(name, RecordType::TXT).await?;
        let texts = data.into_iter().filter_map(|data| match data {
            RData::TXT(text) => Some(String::from_utf8_lossy(&text.txt_data.concat()).into_owned()),
            _ => None,
        });
        Ok(texts.collect())
    }

    /// Whether a name is the top of a zone, where no CNAME may be. No answer counts as no.
    pub(super) async fn is_apex(&self, name: &str) -> bool {
        let Ok(records) = self.records(name, RecordType::SOA).await else { return false };
        records.iter().any(|record| record.record_type() == RecordType::SOA && ascii(&record.name) == name)
    }

    async fn records(&self, name: &str, kind: RecordType) -> Result<Vec<Record>, Nothing> {
        let resolver = self.resolver.as_ref().ok_or(Nothing::Failed(Trouble::NoServer))?;
        // Absolute, so that no domain of the system's own is tried behind it.
        let name = Name::from_ascii(format!("{name}.")).map_err(|_| Nothing::NoName)?;
        match resolver.lookup(name.clone(), kind).await {
            Ok(found) => Ok(found.answers().iter().take(RECORDS_MAX).cloned().collect()),
            Err(error) => match nothing(&error) {
                Nothing::Failed(Trouble::ServerFailure) if self.answers_unchecked(name, kind).await => {
                    Err(Nothing::Failed(Trouble::Dnssec))
                }
                nothing => Err(nothing),
            },
        }
    }

    /// Whether a name server that has failed answers once it is asked not to check signatures (RFC 4035, 3.2.2).
    async fn answers_unchecked(&self, name: Name, kind: RecordType) -> bool {
        for server in self.servers.iter() {
            let query = Query::query(name.clone(), kind);
            let mut request = DnsRequest::from_query(query, DnsRequestOptions::default());
            request.metadata.checking_disabled = true;
            let exchange = UdpClientStream::builder(*server, TokioRuntimeProvider::default())
                .with_timeout(Some(ANSWER_TIMEOUT))
                .exchange();
            let answer = exchange.send(request).next().await;
            if let Some(Ok(answer)) = answer {
                return matches!(answer.response_code, ResponseCode::NoError | ResponseCode::NXDomain);
            }
        }
        false
    }
}

impl fmt::Debug for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lookup").field("servers", &self.servers).finish_non_exhaustive()
    }
}

fn name_server(server: &SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = server.port();
        connection
    });
    NameServerConfig::new(server.ip(), true, connections.into())
}

fn nothing(error: &NetError) -> Nothing {
    let code = match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => none.response_code,
        NetError::Dns(DnsError::ResponseCode(code)) => *code,
        NetError::Timeout => return Nothing::Failed(Trouble::Timeout),
        NetError::NoConnections | NetError::Io(_) | NetError::Busy => return Nothing::Failed(Trouble::NoServer),
        _ => return Nothing::Failed(Trouble::Unreadable),
    };
    match code {
        ResponseCode::NoError => Nothing::NoData,
        ResponseCode::NXDomain => Nothing::NoName,
        ResponseCode::ServFail => Nothing::Failed(Trouble::ServerFailure),
        ResponseCode::Refused | ResponseCode::NotAuth => Nothing::Failed(Trouble::Refused),
        _ => Nothing::Failed(Trouble::Unreadable),
    }
}
