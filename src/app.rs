//! Wiring: builds all parts of the gateway, starts its tasks and listeners, and stops them.

mod error;
mod reload;

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use tokio::{
    net::TcpListener,
    runtime::Handle,
    sync::{mpsc, watch},
    task::{JoinHandle, JoinSet},
};

use crate::{
    admin::{self, Admin, token::Tokens},
    certificates::{self, Certificates, Vault},
    config::{Loaded, Loader, Settings, SlugKey},
    domain::{session::LEASE, time::Clock},
    live::sessions::UserKeys,
    meetings::{
        Meetings,
        callbacks::{Callbacks, deliver},
        operate,
        refill::refill,
        webhooks::{self, Webhooks},
    },
    net::{Net, connections::Connections, files, rates::Rates},
    poll, private,
    proxy::{
        Gateway, Parts,
        accept::{Stop, serve_http, serve_https},
        cookies::{Binding, Unbound},
        grant::Grants,
        names::Names,
    },
    replicas,
    store::{Store, writer::Notes},
    supervise::{self, Vital},
    tls::{Tls, brought::Certs, tickets::Tickets},
    upstream::{Connector, Pool, Receivers, Resolver},
};

pub use error::{StartError, counted};
use reload::{reload, warn_of_missing_recordings};

/// Capacity of the queue of notices of other gateways.
const CHANGES_MAX: usize = 1024;
/// Time limit for the last writes to the store at shutdown.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// Time limit for deliveries in flight at shutdown: a receiver has 15 s, and the store 5 s for the result.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(20);

/// A running gateway.
#[derive(Debug)]
pub struct App {
    /// Addresses of the HTTPS listeners, in the order of the configuration, with real ports for port 0.
    pub https: Vec<SocketAddr>,
    /// Addresses of the plain HTTP listeners.
    pub http: Vec<SocketAddr>,
    /// Address of the admin listener.
    pub admin: Option<SocketAddr>,
    meetings: Arc<Meetings>,
    tls: Arc<Tls>,
    rounds: watch::Receiver<u32>,
    stop: watch::Sender<bool>,
    finished: mpsc::Receiver<Infallible>,
    vital: Vital,
    /// Apart from the others: they end by themselves, and before the store is closed.
    deliveries: JoinSet<()>,
    tasks: Vec<JoinHandle<()>>,
}

impl App {
    /// Starts a gateway with the configuration of a directory. Nothing listens before all of it has been found sound.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(dir: &Path) -> Result<Self, StartError> {
        let clock = Clock::system();
        let mut loader = Loader::new(dir, clock.clone());
        let settings = loader.prepare().map_err(StartError::Config)?;

        let net = net(&settings);
        let https = bind_all("listen.https", &settings.listen.https).await?;
        let http = bind_all("listen.http", &settings.listen.http).await?;
        let store = open_store(&settings).await?;
        let key = SlugKey(store.keys().shared("slug", random_key()?).await?);
        let grants = Grants::new(store.keys().shared("grant", random_key()?).await?);
        let tokens = Arc::new(tokens(&store).await?);
        let Loaded { directory, certs, warnings, .. } = loader.load_with_slugs(&key).map_err(StartError::Config)?;
        for warning in warnings {
            tracing::warn!(%warning, "configuration warning");
        }

        let user_keys = UserKeys::new(store.keys().shared("users", random_key()?).await?);
        let (live, last_session) = refill(&store, clock.clone()).await?;
        let unbound = Unbound::since(clock.now(), last_session).to_bytes();
        let unbound = Unbound::from_bytes(&store.keys().shared("cookie.unbound", unbound).await?);
        let binding = Binding::new(store.keys().shared("cookie", random_key()?).await?, unbound);
        let (lost, without_seat) = mpsc::unbounded_channel();
        let (notes, writer) = Notes::with_writer(store.clone(), clock.clone(), lost);
        let connector = Connector::new(trust_roots(settings.server_ca.as_deref())?);
        let resolvers = Resolver::of_both_kinds(&settings.resolver);
        let receivers = Receivers::new(connector.clone(), resolvers.clone());
        let callbacks = Callbacks::new(store.keys().shared("callback", random_key()?).await?, receivers);
        let pool = Pool::new(connector);
        let webhooks = Webhooks::new(store.keys().shared("webhook", random_key()?).await?);
        let told = (callbacks, webhooks);
        let meetings = Arc::new(Meetings::new(clock, Arc::new(directory), live, (store, notes), pool, told));
        operate::read_operations(&meetings).await?;
        webhooks::read(&meetings).await?;
        warn_of_missing_recordings(&meetings);
        let tickets = meetings.store.is_shared().then(Arc::<Tickets>::default);
        let (tls, certificates) = secured(&settings, certs, tickets.clone(), &meetings).await?;
        let gateway = Arc::new(Gateway::new(Parts {
            meetings: Arc::clone(&meetings),
            net,
            idle_timeout: settings.connections.idle_timeout,
            http2_websockets: settings.listen.http2_websockets,
            answers_max_age: settings.answers_max_age,
            grants,
            binding,
            user_keys,
            names: Names::new(resolvers),
            answers: certificates.answers(),
        }));

        let (stop, stop_signal) = watch::channel(false);
        let (alive, finished) = mpsc::channel(1);
        let told = Stop { signal: stop_signal.clone(), alive };
        let (round, rounds) = watch::channel(0);
        let (leads, leading) = watch::channel(None);
        let admin = match settings.listen.admin {
            Some(address) => {
                let side = Admin {
                    meetings: Arc::clone(&meetings),
                    gateway: Arc::clone(&gateway),
                    tls: Arc::clone(&tls),
                    certificates: Arc::clone(&certificates),
                    tokens,
                    runtime: Handle::current(),
                    rounds: rounds.clone(),
                    leads: leading.clone(),
                    stop: stop_signal.clone(),
                };
                Some(admin::start(address, side)?.0)
            }
            None => None,
        };

        // What can be started again is, after a panic; what owns a queue guards each of its steps, and ends the process otherwise.
        let vital = Vital::default();
        let mut tasks = vec![
            vital.spawn("writer", writer),
            vital.spawn("reseat", replicas::reseat(Arc::clone(&meetings), without_seat)),
        ];
        let to_all = Arc::clone(&meetings);
        tasks.push(supervise::spawn("heartbeat", move || replicas::live_on(Arc::clone(&to_all), leads.clone())));
        let (leads_of_webhooks, leads_to_orders) = (leading.clone(), leading.clone());
        let (asks, stops) = (Arc::clone(&meetings), stop_signal.clone());
        tasks.push(supervise::spawn("poll", move || {
            poll::run(Arc::clone(&asks), leading.clone(), stops.clone(), round.clone())
        }));
        let (looks, leading, stops) = (Arc::clone(&meetings), leads_of_webhooks, stop_signal.clone());
        tasks.push(supervise::spawn("webhook_servers", move || {
            webhooks::servers::run(Arc::clone(&looks), leading.clone(), stops.clone())
        }));
        let (ordering, leading, stops) = (Arc::clone(&certificates), leads_to_orders, stop_signal.clone());
        tasks.push(supervise::spawn("certificates", move || {
            certificates::run(Arc::clone(&ordering), leading.clone(), stops.clone())
        }));
        let deliveries = deliveries(&meetings, &stop_signal);
        let (served, dir, mut loader) = (Arc::clone(&gateway), dir.to_owned(), Some(loader));
        let of_tls = (Arc::clone(&tls), Arc::clone(&certificates));
        tasks.push(supervise::spawn("reload", move || {
            let loader = loader.take().unwrap_or_else(|| Loader::new(&dir, served.meetings.clock.clone()));
            reload(loader, key.clone(), Arc::clone(&served), of_tls.clone(), stop_signal.clone())
        }));
        if meetings.store.is_shared() {
            let (told, changes) = mpsc::channel(CHANGES_MAX);
            let store = meetings.store.clone();
            tasks.push(supervise::spawn("attend", move || {
                let (store, told) = (store.clone(), told.clone());
                async move { store.attend(told).await }
            }));
            tasks.push(
                vital.spawn("follow", replicas::follow(Arc::clone(&meetings), Arc::clone(&certificates), changes)),
            );
        }
        if let Some(tickets) = tickets {
            replicas::read_ticket_keys(&meetings, &tickets).await?;
            let keeper = Arc::clone(&meetings);
            let rotate = move || replicas::rotate_ticket_keys(Arc::clone(&keeper), Arc::clone(&tickets));
            tasks.push(supervise::spawn("ticket_keys", rotate));
        }
        let (https_addresses, http_addresses) = (addresses(&https)?, addresses(&http)?);
        let https_port = https_addresses.first().map_or(443, SocketAddr::port);
        for listener in https {
            let (gateway, tls, told) = (Arc::clone(&gateway), Arc::clone(&tls), told.clone());
            tasks.push(listen("https", listener, move |listener| {
                serve_https(listener, Arc::clone(&gateway), Arc::clone(&tls), told.clone())
            })?);
        }
        for listener in http {
            let (gateway, told) = (Arc::clone(&gateway), told.clone());
            tasks.push(listen("http", listener, move |listener| {
                serve_http(listener, Arc::clone(&gateway), https_port, told.clone())
            })?);
        }
        let (https, http) = (https_addresses, http_addresses);
        tracing::info!(?https, ?http, ?admin, "gateway started");
        Ok(Self { https, http, admin, meetings, tls, rounds, stop, finished, vital, deliveries, tasks })
    }

    /// The certificates, and what else the listeners have of TLS.
    #[must_use]
    pub fn tls(&self) -> &Tls {
        &self.tls
    }

    /// Waits until all servers have been polled once.
    pub async fn ready(&mut self) {
        let _ = self.rounds.wait_for(|rounds| *rounds > 0).await;
    }

    /// Waits until a task has panicked that cannot be restarted, and returns its name: the process must exit.
    pub async fn lost(&self) -> &'static str {
        self.vital.lost().await
    }

    /// Graceful shutdown: stops accepting, answers open requests, gives connections `grace` to close, and flushes the store.
    /// Returns whether all connections closed in time.
    pub async fn stop(mut self, grace: Duration) -> bool {
        self.stop.send_replace(true);
        let drained = async {
            let drained = tokio::time::timeout(grace, self.finished.recv()).await.is_ok();
            if !drained {
                tracing::warn!("grace period over: closing open connections");
            }
            drained
        };
        let delivered = async { while self.deliveries.join_next().await.is_some() {} };
        let delivered = tokio::time::timeout(DELIVERY_TIMEOUT, delivered);
        let (drained, delivered) = tokio::join!(drained, delivered);
        if delivered.is_err() {
            tracing::warn!("deliveries in flight at shutdown: they may be sent again");
            self.deliveries.abort_all();
        }
        let written = async {
            poll::note_carried(&self.meetings);
            self.meetings.notes.flush().await;
            if let Err(error) = self.meetings.store.gateways().retire(self.meetings.clock.now(), LEASE).await {
                tracing::warn!(%error, "failed to notify other gateways of the shutdown");
            }
            self.meetings.store.close().await;
        };
        if tokio::time::timeout(WRITE_TIMEOUT, written).await.is_err() {
            tracing::error!("timeout while writing to the store at shutdown: writes may be lost");
        }
        for task in self.tasks.drain(..) {
            task.abort();
        }
        tracing::info!("gateway stopped");
        drained
    }
}

/// The TLS side, and the life cycle of its certificates, with what the store has.
async fn secured(
    settings: &Settings,
    certs: Certs,
    tickets: Option<Arc<Tickets>>,
    meetings: &Meetings,
) -> Result<(Arc<Tls>, Arc<Certificates>), StartError> {
    let vault = Vault::new(meetings.store.clone(), &settings.encryption_keys);
    let tls = Tls::new(certs, settings.listen.http2, tickets).map_err(io::Error::other)?;
    let tls = Arc::new(tls.with_source(Arc::new(vault.clone())));
    let parts = certificates::Parts {
        clock: meetings.clock.clone(),
        vault,
        tls: Arc::clone(&tls),
        issuance: settings.acme.clone(),
        roots: trust_roots(None)?,
        resolver: settings.resolver.clone(),
        metrics: Arc::clone(&meetings.metrics.certificates),
    };
    let certificates = Certificates::open(parts).await.map_err(StartError::Certificates)?;
    certificates.configure(&meetings.directory.load(), &tls.certs());
    Ok((tls, certificates))
}

/// Starts what delivers callbacks and the events of webhooks.
fn deliveries(meetings: &Arc<Meetings>, stop: &watch::Receiver<bool>) -> JoinSet<()> {
    let mut deliveries = JoinSet::new();
    let (delivering, stops) = (Arc::clone(meetings), stop.clone());
    deliveries.spawn(supervise::run("callbacks", move || deliver::run(Arc::clone(&delivering), stops.clone())));
    let (delivering, stops) = (Arc::clone(meetings), stop.clone());
    let webhooks = move || webhooks::deliver::run(Arc::clone(&delivering), stops.clone());
    deliveries.spawn(supervise::run("webhooks", webhooks));
    deliveries
}

/// The connection and rate limits. Raises the limit of file handles of the process.
fn net(settings: &Settings) -> Net {
    let files = files::raise();
    let limits = settings.connections.limits(files);
    if let Some(wanted) = settings.connections.max.filter(|wanted| limits.max < *wanted) {
        tracing::warn!(wanted, max = limits.max, files, "too few file handles for connections.max");
    }
    tracing::info!(files, connections = limits.max, per_address = limits.per_address, "connection limits");
    Net {
        connections: Connections::new(limits),
        rates: Rates::new(settings.rates),
        proxies: settings.listen.proxies.clone(),
        fronts: settings.listen.fronts.clone(),
    }
}

async fn bind_all(key: &str, to: &[SocketAddr]) -> io::Result<Vec<TcpListener>> {
    let mut listeners = Vec::new();
    for address in to {
        let listener = TcpListener::bind(address)
            .await
            .map_err(|error| io::Error::new(error.kind(), format!("{key} {address}: {error}")))?;
        listeners.push(listener);
    }
    Ok(listeners)
}

/// Serves a listener, and restarts after a panic: the socket stays open meanwhile, so that no connection is refused.
fn listen<F>(
    task: &'static str,
    listener: TcpListener,
    serve: impl Fn(TcpListener) -> F + Send + 'static,
) -> io::Result<JoinHandle<()>>
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = listener.into_std()?;
    Ok(supervise::spawn(task, move || {
        let again = listener.try_clone().and_then(TcpListener::from_std).map(&serve);
        async {
            match again {
                Ok(served) => served.await,
                // No file handle is left: another try has a pause before it.
                Err(error) => panic!("failed to reopen a listener: {error}"),
            }
        }
    }))
}

fn addresses(listeners: &[TcpListener]) -> io::Result<Vec<SocketAddr>> {
    listeners.iter().map(TcpListener::local_addr).collect()
}

/// The tokens of the admin API. Their key is in the store.
///
/// # Errors
/// When the store fails.
pub(crate) async fn tokens(store: &Store) -> Result<Tokens, StartError> {
    Ok(Tokens::new(&store.keys().shared("admin", random_key()?).await?))
}

async fn open_store(settings: &Settings) -> Result<Store, StartError> {
    let path = settings.store_url.reveal().strip_prefix("sqlite:").unwrap_or_default();
    if let Some(parent) = Path::new(path).parent() {
        private::make_dir(parent)
            .map_err(|error| io::Error::new(error.kind(), format!("store.url {path}: {error}")))?;
    }
    Ok(Store::open(settings.store_url.reveal()).await?)
}

fn random_key() -> io::Result<[u8; 32]> {
    let mut key = [0; 32];
    aws_lc_rs::rand::fill(&mut key).map_err(io::Error::other)?;
    Ok(key)
}

/// Trust roots for servers: those of the system, and those of the operator for a private CA.
pub(crate) fn trust_roots(own: Option<&Path>) -> io::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for root in rustls_native_certs::load_native_certs().certs {
        // The system's store may hold roots that rustls does not read; the others do.
        let _ = roots.add(root);
    }
    if let Some(path) = own {
        for root in CertificateDer::pem_file_iter(path).map_err(io::Error::other)? {
            roots.add(root.map_err(io::Error::other)?).map_err(io::Error::other)?;
        }
    }
    Ok(roots)
}

/// Directory of the development CA.
#[must_use]
pub fn dev_ca_dir(config: &Path) -> PathBuf {
    config.join("dev-ca")
}

#[cfg(test)]
mod tests;
