//! Turns of names and their orders on a real store, with authorities that cannot be reached.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::net::UdpSocket;

use super::{
    authorities::{Known, Patience},
    names::{Names, Need},
    proof::Proof,
    *,
};
use crate::{
    acme::{Client, FailureKind, Kind, Limits, Shown, Work},
    domain::issuance::{Authority, Budget, Challenge, KeyKind},
    metrics::{AuthorityRole, OrderOutcome},
    store::{DomainRow, DomainState, NewOrder, Spent, SpentSince},
};

const HOST: &str = "meet.wagtail.example";

/// A life cycle with a store of its own, and two authorities at which nothing listens.
struct Stage {
    certificates: Certificates,
    url: String,
    dir: tempfile::TempDir,
}

fn directory(nth: u16) -> String {
    // Of the closed ports.
    format!("https://127.0.0.1:{nth}/dir")
}

fn authority(directory: String) -> Authority {
    Authority { directory, contact: Vec::new(), root: None, external_account: None, profile: None }
}

impl Stage {
    async fn start(budget: Budget) -> Self {
        // Of which nothing comes back.
        let silent = std::net::UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        Self::with_resolver(budget, silent.expect("an address")).await
    }

    async fn with_resolver(budget: Budget, resolver: SocketAddr) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let url = format!("sqlite:{}", dir.path().join("store.db").display());
        let store = Store::open(&url).await.expect("a store");
        let issuance = Issuance {
            authority: authority(directory(1)),
            fallback: Some(authority(directory(2))),
            key: KeyKind::Ecdsa,
            challenges: vec![Challenge::Http01, Challenge::TlsAlpn01],
            dns_hook: None,
            addresses: vec![resolver.ip()],
            target: None,
            precheck: false,
            on_demand_wait: Duration::ZERO,
            budget,
        };
        let clock = Clock::manual(Timestamp::from_secs(1_796_000_000));
        let parts = Parts {
            clock: clock.clone(),
            vault: Vault::new(store, &["5e".repeat(32).parse().expect("a key")]),
            tls: Arc::new(Tls::new(Certs::default(), true, None).expect("randomness")),
            issuance: Some(Arc::new(issuance)),
            roots: RootCertStore::empty(),
            resolver: vec![resolver],
            metrics: Arc::default(),
        };
        let opened = Certificates::open(parts).await.expect("opened");
        let mut certificates = Arc::try_unwrap(opened).expect("the only reference");
        let limits = Limits { pause: Duration::from_millis(1), ..Limits::default() };
        let known = |role, nth| {
            let authority = authority(directory(nth));
            let directory = authority.directory.clone();
            let client = Client::with_limits(authority, RootCertStore::empty(), clock.clone(), limits);
            Known { role, directory, client, patience: Patience::default() }
        };
        certificates.authorities = vec![known(AuthorityRole::Main, 1), known(AuthorityRole::Fallback, 2)];
        let need = Need { tenant: Some("wagtail".parse().expect("an id")), key: KeyKind::Ecdsa };
        certificates.answers.set(Arc::new(Names::from([(HOST.parse().expect("a name"), need)])));
        Self { certificates, url, dir }
    }

    fn now(&self) -> Timestamp {
        self.certificates.clock.now()
    }

    fn row(&self, name: &str, state: DomainState) -> DomainRow {
        DomainRow { state, ..DomainRow::new(name.into(), "wagtail".into(), self.now()) }
    }

    fn proof(&self, row: DomainRow, is_suggested: bool) -> Proof<'_> {
        let issuance = self.certificates.issuance.as_ref().expect("it orders");
        Proof::new(&self.certificates, &self.certificates.authorities[0], &issuance.budget, is_suggested, row)
    }

    async fn add(&self, row: &DomainRow) {
        let store = self.certificates.store().certificates();
        store.add_domains(std::slice::from_ref(row)).await.expect("written");
        store.set_domain(row).await.expect("written");
    }

    async fn stored(&self) -> DomainRow {
        self.certificates.store().certificates().domain(HOST).await.expect("read").expect("there")
    }

    /// What of the first authority has been used up, for a name.
    async fn spent(&self, name: &str) -> Spent {
        let order = NewOrder { authority: &directory(1), name, registered: name, at: self.now(), is_exempt: false };
        let since =
            SpentSince { of_account: Timestamp::EPOCH, of_domain: Timestamp::EPOCH, failures: Timestamp::EPOCH };
        let refused = self.certificates.store().certificates().note_order(order, since, Err).await;
        refused.expect("read").expect_err("refused")
    }

    fn counted(&self, role: AuthorityRole, outcome: OrderOutcome) -> u64 {
        let all = self.certificates.metrics.orders();
        all.filter(|(of, what, _)| (*of, *what) == (role, outcome)).map(|(_, _, n)| n).sum()
    }
}

#[tokio::test]
async fn of_orders_that_begin_at_once_as_many_begin_as_the_budget_has() {
    let stage = Stage::start(Budget { orders_of_account: 5, ..Budget::default() }).await;
    let rows = (0..20).map(|n| stage.row(&format!("h{n}.example"), DomainState::Configured));
    let proofs: Vec<_> = rows.map(|row| stage.proof(row, false)).collect();
    let begun = join_all(proofs.iter().map(|proof| proof.begin(false))).await;
    assert_eq!(begun.iter().filter(|begun| begun.is_ok()).count(), 5);
    assert_eq!(stage.spent(HOST).await.of_account, 5);
    for (begun, proof) in begun.into_iter().zip(proofs) {
        let course = proof.into_course();
        assert_eq!(course.is_held_back, begun.is_err());
        assert_eq!(course.row.state == DomainState::Ordering, begun.is_ok(), "what is held back is not ordered");
        if let Err(failure) = begun {
            assert_eq!(failure.text, "held back by acme.budget: 5 certificates were ordered within three hours");
            assert_eq!((failure.kind, failure.retry_after), (FailureKind::RateLimited, Some(Duration::from_secs(600))));
        }
    }
}

#[tokio::test]
async fn a_suggested_renewal_is_free_only_as_one_that_replaces_a_certificate() {
    let stage = Stage::start(Budget { orders_of_name: 1, ..Budget::default() }).await;
    let row = || stage.row(HOST, DomainState::Active);
    stage.proof(row(), false).begin(true).await.expect("the first one");
    stage.proof(row(), false).begin(true).await.expect_err("not suggested");
    let proof = stage.proof(row(), true);
    proof.begin(true).await.expect("suggested");
    // The authority refuses `replaces`, and the order is placed without.
    proof.not_begun().await;
    proof.begin(false).await.expect_err("it counts as any other");
    let course = proof.into_course();
    assert!(course.is_held_back && course.order.is_none());
    let spent = stage.spent(HOST).await;
    assert_eq!((spent.of_account, spent.of_name), (1, 1));
}

#[tokio::test]
async fn authorities_that_cannot_be_reached_cost_no_budget_and_are_asked_again_soon() {
    let stage = Stage::start(Budget { orders_of_name: 1, failures_of_name: 1, ..Budget::default() }).await;
    stage.add(&DomainRow { failures: 40, ..stage.row(HOST, DomainState::Failing) }).await;
    for failures in [41, 42] {
        stage.certificates.take_turn(stage.stored().await).await.expect("written");
        let row = stage.stored().await;
        assert_eq!((row.state, row.failures), (DomainState::Failing, failures));
        let reason = row.reason.expect("a reason");
        assert!(reason.contains("there is no connection to the CA 127.0.0.1"), "{reason}");
        let pause = row.next_at.saturating_duration_since(stage.now());
        assert!(pause <= schedule::OUTAGE_MAX * 6 / 5, "{pause:?}");
    }
    assert_eq!(stage.spent(HOST).await, Spent::default(), "nothing was ordered");
    let failed = |role| stage.counted(role, OrderOutcome::Failed);
    assert_eq!((failed(AuthorityRole::Main), failed(AuthorityRole::Fallback)), (2, 2));
}

#[tokio::test]
async fn an_authority_that_asks_for_patience_is_left_alone_and_the_other_one_is_asked() {
    let stage = Stage::start(Budget::default()).await;
    let main = &stage.certificates.authorities[0];
    stage.add(&DomainRow { failures: 1, ..stage.row(HOST, DomainState::Failing) }).await;
    let asked = |role| stage.counted(role, OrderOutcome::Failed);
    main.patience.ask(HOST, Duration::from_secs(7200), stage.now());
    stage.certificates.take_turn(stage.stored().await).await.expect("written");
    assert_eq!((asked(AuthorityRole::Main), asked(AuthorityRole::Fallback)), (0, 1));
    let row = stage.stored().await;
    let reason = row.reason.expect("a reason");
    assert!(reason.contains("it has asked for patience, and is asked again in 120 min"), "{reason}");
    assert!(
        row.next_at.saturating_duration_since(stage.now()) < Duration::from_secs(600),
        "the other one is asked soon"
    );

    stage.certificates.clock.advance(Duration::from_secs(7200));
    stage.certificates.take_turn(stage.stored().await).await.expect("written");
    assert_eq!((asked(AuthorityRole::Main), asked(AuthorityRole::Fallback)), (1, 2), "the time is over");

    for known in &stage.certificates.authorities {
        known.patience.ask(HOST, Duration::from_secs(7200), stage.now());
    }
    stage.certificates.take_turn(stage.stored().await).await.expect("written");
    let row = stage.stored().await;
    assert_eq!(
        (row.failures, row.next_at),
        (3, stage.now().saturating_add(Duration::from_secs(7200))),
        "none is asked"
    );
    assert_eq!((asked(AuthorityRole::Main), asked(AuthorityRole::Fallback)), (1, 2));

    // The operator has raised a limit there, and says so.
    stage.certificates.store().certificates().retry_domain(HOST, stage.now()).await.expect("written");
    stage.certificates.take_turn(stage.stored().await).await.expect("written");
    assert_eq!((asked(AuthorityRole::Main), asked(AuthorityRole::Fallback)), (2, 3));
}

#[tokio::test]
async fn a_name_that_waits_for_dns_is_looked_at_when_somebody_comes_for_it() {
    let host: Host = HOST.parse().expect("a host");
    for (state, is_hurried) in [(DomainState::WaitingForDns, true), (DomainState::Failing, false)] {
        let stage = Stage::start(Budget::default()).await;
        let later = stage.now().saturating_add(Duration::from_secs(300));
        stage.add(&DomainRow { next_at: later, failures: 3, ..stage.row(HOST, state) }).await;
        stage.certificates.answers.came(&"other.example".parse().expect("a host"));
        stage.certificates.answers.came(&host);
        let hurried = stage.certificates.hurry_next();
        tokio::time::timeout(Duration::from_secs(30), hurried).await.expect("it was heard");
        let row = stage.stored().await;
        assert_eq!((row.next_at < later, row.failures), (is_hurried, 3), "{state:?}");
    }
}

/// A name server that cannot find anything out: SERVFAIL.
async fn lost_resolver() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("an address");
    let address = socket.local_addr().expect("bound");
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            // An answer, with this code.
            buffer[2] |= 0x80;
            buffer[3] = 2;
            let _ = socket.send_to(&buffer[..length], from).await;
        }
    });
    address
}

#[tokio::test]
async fn a_renewal_does_not_wait_for_name_servers_that_fail() {
    let silent = Stage::start(Budget::default()).await;
    let lost = Stage::with_resolver(Budget::default(), lost_resolver().await).await;
    for (stage, words) in [(silent, ["in time", "reaches no DNS server"]), (lost, ["SERVFAIL", "SERVFAIL"])] {
        let (certificates, name) = (&stage.certificates, HOST.parse().expect("a name"));
        let issuance = certificates.issuance.as_ref().expect("it orders");
        let issuance = Issuance { precheck: true, ..Issuance::clone(issuance) };
        let look = |is_renewal| certificates.look_at_dns(&name, &issuance, is_renewal);
        let (first, renewal) = tokio::join!(look(false), look(true));
        assert!(renewal.is_none(), "the authority asks its own");
        let why = first.expect("it waits").reason;
        assert!(words.iter().any(|word| why.contains(word)), "{why}");
    }
}

#[tokio::test]
async fn a_record_of_an_order_that_was_cut_off_is_removed_by_the_next_one() {
    let mut stage = Stage::start(Budget::default()).await;
    let log = stage.dir.path().join("log");
    let script = format!("echo \"$1 $3\" >> {}", log.display());
    let issuance = stage.certificates.issuance.as_deref().expect("it orders").clone();
    let dns_hook = Some(["/bin/sh", "-c", &script, "hook"].map(str::to_owned).to_vec());
    stage.certificates.issuance = Some(Arc::new(Issuance { dns_hook, ..issuance }));
    let shown = |key: &str| Shown {
        kind: Kind::Dns01,
        name: "meet.example".parse().expect("a host"),
        token: "token".into(),
        key_authorization: key.into(),
    };
    let (lost, next) = (shown("lost"), shown("next"));
    let row = stage.row("*.meet.example", DomainState::Ordering);
    stage.proof(row.clone(), false).show(&lost).await.expect("set");
    let proof = stage.proof(row, false);
    proof.show(&next).await.expect("set");
    proof.hide(&next).await;
    proof.show(&next).await.expect("set");
    let (lost, next) = (lost.dns_value(), next.dns_value());
    let expected = [("add", &lost), ("remove", &lost), ("add", &next), ("remove", &next), ("add", &next)]
        .map(|(action, value)| format!("{action} {value}\n"));
    assert_eq!(std::fs::read_to_string(log).expect("called"), expected.concat());
    stage.certificates.follow_challenges().await.expect("read");
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_of_a_dead_gateway_are_taken_over_also_when_the_store_fails_at_first() {
    let stage = Stage::start(Budget::default()).await;
    let dead = DomainRow {
        owner: Some("another".into()),
        next_at: stage.now().saturating_add(turn::LEASE),
        ..stage.row(HOST, DomainState::Ordering)
    };
    stage.add(&dead).await;
    // Somebody else writes, and does not come to an end: SQLite has one writer.
    let other = Store::open_beside(&stage.url).await.expect("a store");
    let (release, held) = std::sync::mpsc::channel::<()>();
    let (writes, begun) = tokio::sync::oneshot::channel();
    let writer = tokio::spawn(async move {
        let order = NewOrder { authority: "ca", name: "a", registered: "a", at: Timestamp::EPOCH, is_exempt: false };
        let since =
            SpentSince { of_account: Timestamp::EPOCH, of_domain: Timestamp::EPOCH, failures: Timestamp::EPOCH };
        let hold = move |_| {
            let _ = writes.send(());
            held.recv().map_err(drop)
        };
        other.certificates().note_order(order, since, hold).await
    });
    begun.await.expect("it writes");
    let certificates = Arc::new(stage.certificates);
    let mut leader = worker::Leader::new(Arc::clone(&certificates));
    leader.list_names(certificates.clock.now()).await.expect_err("the store is busy");
    release.send(()).expect("it waits");
    writer.await.expect("no panic").expect("written").expect("allowed");
    leader.list_names(certificates.clock.now()).await.expect("written");
    let row = certificates.store().certificates().domain(HOST).await.expect("read").expect("there");
    assert_eq!(row.owner.as_deref(), Some(certificates.store().gateway()));
    assert_eq!(row.next_at, certificates.clock.now(), "it is looked at now");
}
