//! Certificates, the names that need one, orders and challenges.

use super::*;

for_both!(
    a_certificate_is_kept_replaced_and_removed,
    what_has_changed_is_read_by_its_time,
    names_are_listed_in_pages_by_tenant_and_state,
    names_are_due_with_and_without_a_certificate_apart,
    names_that_go_lose_their_certificate_later_and_may_come_back,
    many_names_are_added_and_dropped_at_once,
    orders_are_counted_by_account_domain_name_and_failure,
    of_many_orders_at_once_no_more_are_noted_than_are_allowed,
    an_order_of_a_dead_gateway_is_taken_over,
    an_order_that_is_under_way_is_not_hurried,
    a_name_that_waits_for_dns_is_hurried_and_one_whose_order_failed_is_not,
    a_certificate_that_is_late_is_overdue_and_a_fresh_one_is_not,
    challenges_are_open_until_their_time,
    a_sealed_key_is_the_first_one_and_is_replaced_by_itself_only,
);

fn certificate(name: &str, version: i64) -> CertificateRow {
    CertificateRow {
        name: name.into(),
        chain: format!("chain {version} of {name}"),
        key: vec![0, 255, 7],
        issuer: "An Authority".into(),
        authority: "https://ca.example/dir".into(),
        not_before: ms(1_000),
        not_after: ms(90_000),
        version,
    }
}

fn row(name: &str, tenant: &str, state: DomainState, next_at: i64, good_until: i64) -> DomainRow {
    DomainRow {
        state,
        next_at: ms(next_at),
        good_until: ms(good_until),
        ..DomainRow::new(name.into(), tenant.into(), ms(1))
    }
}

async fn set(store: &Store, rows: &[DomainRow]) {
    store.certificates().add_domains(rows).await.expect("written");
    for row in rows {
        store.certificates().set_domain(row).await.expect("written");
    }
}

fn names(rows: &[DomainRow]) -> Vec<&str> {
    rows.iter().map(|row| &*row.name).collect()
}

async fn a_certificate_is_kept_replaced_and_removed(f: Fixture) {
    let store = f.store.certificates();
    assert_eq!(store.certificate("a.example").await.expect("read"), None);
    for version in [1, 2] {
        let row = certificate("a.example", version);
        store.put(&row, ms(5)).await.expect("written");
        assert_eq!(store.certificate("a.example").await.expect("read"), Some(row));
    }
    store.reseal("a.example", 1, b"late").await.expect("written");
    let kept = store.certificate("a.example").await.expect("read").expect("there");
    assert_eq!(kept.key, [0, 255, 7], "another certificate has come meanwhile");
    store.reseal("a.example", 2, b"new").await.expect("written");
    assert_eq!(store.certificate("a.example").await.expect("read").expect("there").key, b"new");
    assert!(!store.remove("a.example", 1, ms(8)).await.expect("asked"), "another certificate has come meanwhile");
    assert!(store.certificate("a.example").await.expect("read").is_some());
    assert!(store.remove("a.example", 2, ms(9)).await.expect("written"));
    assert!(!store.remove("a.example", 3, ms(10)).await.expect("asked"), "it is gone");
    assert_eq!(store.certificate("a.example").await.expect("read"), None);
    let changed = store.changed_since(ms(9)).await.expect("read");
    assert!(matches!(&*changed, [one] if one.is_removed && one.version == 3), "{changed:?}");
}

async fn what_has_changed_is_read_by_its_time(f: Fixture) {
    let store = f.store.certificates();
    for (name, at) in [("a.example", 10), ("b.example", 30), ("c.example", 20)] {
        store.put(&certificate(name, at), ms(at)).await.expect("written");
    }
    let seen = async |at| {
        let changed = store.changed_since(ms(at)).await.expect("read");
        changed.into_iter().map(|known| (known.name, known.version, known.is_removed)).collect::<Vec<_>>()
    };
    assert_eq!(seen(20).await, [("c.example".to_owned(), 20, false), ("b.example".to_owned(), 30, false)]);
    assert_eq!(seen(0).await.len(), 3);
    assert_eq!(seen(31).await, []);
}

async fn names_are_listed_in_pages_by_tenant_and_state(f: Fixture) {
    let store = f.store.certificates();
    set(
        &f.store,
        &[
            row("a.example", "heron", DomainState::Active, 1, 1),
            row("b.example", "wagtail", DomainState::Failing, 1, 0),
            row("c.example", "heron", DomainState::Failing, 1, 0),
            row("*.d.example", "", DomainState::Configured, 1, 0),
        ],
    )
    .await;
    let page = async |after: &str, tenant: Option<&str>, state, most| {
        let filter = DomainFilter { after, tenant, state, most };
        names(&store.domains(filter).await.expect("read")).join(" ")
    };
    assert_eq!(page("", None, None, 2).await, "*.d.example a.example");
    assert_eq!(page("a.example", None, None, 2).await, "b.example c.example");
    assert_eq!(page("", Some("heron"), None, 9).await, "a.example c.example");
    assert_eq!(page("", Some("heron"), Some(DomainState::Failing), 9).await, "c.example");
    assert_eq!(page("", None, Some(DomainState::Failing), 9).await, "b.example c.example");
    let mut counts = store.count_states().await.expect("read");
    counts.sort();
    assert_eq!(counts, [(DomainState::Configured, 1), (DomainState::Active, 1), (DomainState::Failing, 2)]);
}

async fn names_are_due_with_and_without_a_certificate_apart(f: Fixture) {
    let store = f.store.certificates();
    set(
        &f.store,
        &[
            row("late.example", "t", DomainState::Active, 10, 500),
            row("soon.example", "t", DomainState::Active, 10, 300),
            row("none.example", "t", DomainState::Failing, 20, 0),
            row("later.example", "t", DomainState::Configured, 21, 0),
        ],
    )
    .await;
    let due = async |now, have_certificate, most| {
        names(&store.due_domains(ms(now), Due { have_certificate, most }).await.expect("read")).join(" ")
    };
    assert_eq!(due(20, true, 9).await, "soon.example late.example");
    assert_eq!(due(20, true, 1).await, "soon.example");
    assert_eq!(due(20, false, 9).await, "none.example");
    assert_eq!(due(21, false, 9).await, "later.example none.example", "a new one does not wait for all others");
    assert_eq!((due(9, true, 9).await, due(9, false, 9).await), (String::new(), String::new()));
    assert_eq!(store.next_due().await.expect("read"), Some(ms(10)));
    assert!(store.retry_domain("later.example", ms(2)).await.expect("written"));
    assert_eq!(store.next_due().await.expect("read"), Some(ms(2)));
}

async fn names_that_go_lose_their_certificate_later_and_may_come_back(f: Fixture) {
    let store = f.store.certificates();
    set(
        &f.store,
        &[row("a.example", "t", DomainState::Active, 1, 9), row("b.example", "t", DomainState::Active, 1, 9)],
    )
    .await;
    for name in ["a.example", "b.example"] {
        store.put(&certificate(name, 1), ms(1)).await.expect("written");
    }
    store.drop_domains(&["a.example".into(), "b.example".into()], ms(100)).await.expect("written");
    assert_eq!(store.domain("a.example").await.expect("read"), None);
    assert_eq!(
        names(&store.due_domains(ms(200), Due { have_certificate: false, most: 9 }).await.expect("read")),
        [""; 0]
    );
    assert!(!store.retry_domain("a.example", ms(1)).await.expect("written"));
    // Back before its time: it is as it was, and another tenant's.
    store.add_domains(&[DomainRow::new("b.example".into(), "u".into(), ms(150))]).await.expect("written");
    let back = store.domain("b.example").await.expect("read").expect("there");
    assert_eq!((back.tenant.as_str(), back.state, back.good_until), ("u", DomainState::Active, ms(9)));
    assert_eq!(store.forget_gone(ms(100), ms(300)).await.expect("written"), 0);
    assert_eq!(store.forget_gone(ms(101), ms(300)).await.expect("written"), 1);
    assert_eq!(store.certificate("a.example").await.expect("read"), None);
    assert!(store.certificate("b.example").await.expect("read").is_some());
    let changed = store.changed_since(ms(300)).await.expect("read");
    assert!(matches!(&*changed, [one] if one.name == "a.example" && one.is_removed), "{changed:?}");
}

async fn many_names_are_added_and_dropped_at_once(f: Fixture) {
    let store = f.store.certificates();
    let all: Vec<String> = (0..2_500).map(|n| format!("h{n:05}.example")).collect();
    let rows: Vec<_> = all.iter().map(|name| DomainRow::new(name.clone(), "t".into(), ms(1))).collect();
    store.add_domains(&rows).await.expect("written");
    store.add_domains(&rows).await.expect("written once more");
    assert_eq!(store.domain_names().await.expect("read").len(), 2_500);
    store.drop_domains(&all[1..], ms(2)).await.expect("written");
    assert_eq!(store.domain_names().await.expect("read"), [("h00000.example".to_owned(), "t".to_owned())]);
}

fn order_of<'a>(name: &'a str, registered: &'a str, at: i64) -> NewOrder<'a> {
    NewOrder { authority: "ca", name, registered, at: ms(at), is_exempt: false }
}

fn since(account: i64, domain: i64, failures: i64) -> SpentSince {
    SpentSince { of_account: ms(account), of_domain: ms(domain), failures: ms(failures) }
}

async fn noted(store: &Store, order: NewOrder<'_>) -> i64 {
    let noted = store.certificates().note_order(order, since(0, 0, 0), |_| Ok::<_, ()>(())).await;
    noted.expect("written").expect("allowed")
}

/// What has been used up, by an order that is refused.
async fn spent(store: &Store, order: NewOrder<'_>, since: SpentSince) -> Spent {
    store.certificates().note_order(order, since, Err).await.expect("read").expect_err("refused")
}

async fn orders_are_counted_by_account_domain_name_and_failure(f: Fixture) {
    let (of, store) = (order_of, f.store.certificates());
    let first = noted(&f.store, of("a.x.example", "x.example", 10)).await;
    noted(&f.store, of("b.x.example", "x.example", 20)).await;
    noted(&f.store, of("c.y.example", "y.example", 30)).await;
    noted(&f.store, NewOrder { authority: "other", ..of("a.x.example", "x.example", 30) }).await;
    noted(&f.store, NewOrder { is_exempt: true, ..of("a.x.example", "x.example", 30) }).await;
    let spent = async |since| spent(&f.store, of("a.x.example", "x.example", 40), since).await;
    let all = Spent { of_account: 3, of_domain: 2, of_name: 1, failures_of_name: 0 };
    assert_eq!(spent(since(0, 0, 0)).await, all);
    assert_eq!(spent(since(0, 0, 0)).await, all, "one that was refused does not count");
    assert_eq!(spent(since(15, 15, 0)).await, Spent { of_account: 2, of_domain: 1, of_name: 0, failures_of_name: 0 });
    store.note_failed(first, ms(12)).await.expect("written");
    assert_eq!(
        spent(since(0, 0, 0)).await,
        Spent { of_domain: 1, of_name: 0, failures_of_name: 1, ..all },
        "no certificate of it"
    );
    assert_eq!(spent(since(0, 0, 12)).await, Spent { of_domain: 1, of_name: 0, failures_of_name: 0, ..all });
    store.note_issued("ca", "a.x.example").await.expect("written");
    assert_eq!(spent(since(0, 0, 0)).await.failures_of_name, 1, "the newest order is another one");
    store.forget_order(first).await.expect("written");
    assert_eq!(
        spent(since(0, 0, 0)).await,
        Spent { of_account: 2, of_domain: 1, of_name: 0, failures_of_name: 0 },
        "the authority has not taken it"
    );
    let second = noted(&f.store, of("a.x.example", "x.example", 24)).await;
    store.note_failed(second, ms(26)).await.expect("written");
    store.note_issued("ca", "a.x.example").await.expect("written");
    assert_eq!(
        spent(since(0, 0, 0)).await,
        Spent { of_account: 3, of_domain: 2, of_name: 1, failures_of_name: 0 },
        "it was finished after all"
    );
    store.forget_orders(ms(25)).await.expect("written");
    assert_eq!(spent(since(0, 0, 0)).await, Spent { of_account: 1, ..Spent::default() });
}

async fn of_many_orders_at_once_no_more_are_noted_than_are_allowed(f: Fixture) {
    let names: Vec<String> = (0..20).map(|n| format!("h{n}.example")).collect();
    let store = f.store.certificates();
    let orders = names.iter().map(|name| {
        let decide = |spent: Spent| if spent.of_account < 5 { Ok(()) } else { Err(spent.of_account) };
        store.note_order(order_of(name, name, 10), since(0, 0, 0), decide)
    });
    let done = futures_util::future::join_all(orders).await;
    let noted = done.into_iter().filter(|one| one.as_ref().expect("written").is_ok()).count();
    let spent = spent(&f.store, order_of("a.example", "example", 20), since(0, 0, 0)).await;
    assert_eq!((noted, spent.of_account), (5, 5));
}

async fn an_order_of_a_dead_gateway_is_taken_over(f: Fixture) {
    let store = f.store.certificates();
    let ordering = |name: &str, owner: &str| DomainRow {
        owner: Some(owner.into()),
        progress: Some(vec![1, 2]),
        ..row(name, "t", DomainState::Ordering, 900, 0)
    };
    let own = ordering("own.example", f.store.gateway());
    set(&f.store, &[own.clone(), ordering("dead.example", "another")]).await;
    assert_eq!(store.take_over_orders(ms(50)).await.expect("written"), 1);
    let taken = store.due_domains(ms(50), Due { have_certificate: false, most: 9 }).await.expect("read");
    assert_eq!(names(&taken), ["dead.example"]);
    assert_eq!((taken[0].owner.as_deref(), taken[0].progress.as_deref()), (Some(f.store.gateway()), Some(&[1, 2][..])));
    assert_eq!(store.domain("own.example").await.expect("read"), Some(own));
}

async fn an_order_that_is_under_way_is_not_hurried(f: Fixture) {
    let store = f.store.certificates();
    set(&f.store, &[row("a.example", "t", DomainState::Ordering, 900, 0)]).await;
    assert!(!store.retry_domain("a.example", ms(1)).await.expect("written"));
    let failing = DomainRow { failures: 7, ..row("a.example", "t", DomainState::Failing, 900, 0) };
    store.set_domain(&failing).await.expect("written");
    assert!(store.retry_domain("a.example", ms(1)).await.expect("written"));
    let row = store.domain("a.example").await.expect("read").expect("there");
    assert_eq!((row.failures, row.next_at), (0, ms(1)));
}

async fn a_name_that_waits_for_dns_is_hurried_and_one_whose_order_failed_is_not(f: Fixture) {
    let store = f.store.certificates();
    for (state, is_hurried) in [
        (DomainState::Configured, true),
        (DomainState::WaitingForDns, true),
        (DomainState::Ordering, false),
        (DomainState::Active, false),
        (DomainState::Failing, false),
    ] {
        let name = format!("{}.example", state.as_str());
        let row = DomainRow { failures: 7, ..row(&name, "t", state, 900, 0) };
        set(&f.store, &[row]).await;
        assert_eq!(store.hurry_domain(&name, ms(10)).await.expect("asked"), is_hurried, "{state:?}");
        assert!(!store.hurry_domain(&name, ms(20)).await.expect("asked"), "{state:?}: it is to be looked at earlier");
        let row = store.domain(&name).await.expect("read").expect("there");
        assert_eq!((row.next_at, row.failures), (ms(if is_hurried { 10 } else { 900 }), 7), "{state:?}");
    }
    assert!(!store.hurry_domain("other.example", ms(10)).await.expect("asked"));
}

async fn a_certificate_that_is_late_is_overdue_and_a_fresh_one_is_not(f: Fixture) {
    let store = f.store.certificates();
    let with = |name: &str, renew_at, good_until| DomainRow {
        renew_at: ms(renew_at),
        ..row(name, "t", DomainState::Active, 1, good_until)
    };
    set(
        &f.store,
        &[
            with("late.example", 600, 1_000),
            with("just-due.example", 850, 1_000),
            with("long.example", 100, 5_000),
            with("none.example", 0, 0),
            with("gone.example", 100, 800),
        ],
    )
    .await;
    let (rows, all) = store.overdue(ms(900), ms(2_000), 1).await.expect("read");
    assert_eq!((names(&rows), all), (vec!["gone.example"], 2), "also one that has expired");
    assert_eq!(names(&store.overdue(ms(900), ms(2_000), 9).await.expect("read").0), ["gone.example", "late.example"]);
}

async fn challenges_are_open_until_their_time(f: Fixture) {
    let store = f.store.certificates();
    let challenge = |host: &str, until| ChallengeRow {
        host: host.into(),
        key_authorization: format!("token.{host}.{until}"),
        until: ms(until),
    };
    for row in [challenge("a.example", 10), challenge("a.example", 30), challenge("b.example", 20)] {
        store.open_challenge(&row).await.expect("written");
    }
    assert_eq!(
        store.challenges(ms(5), 9).await.expect("read"),
        [challenge("a.example", 30), challenge("b.example", 20)]
    );
    assert_eq!(store.challenges(ms(5), 1).await.expect("read").len(), 1, "bounded");
    assert_eq!(store.challenges(ms(20), 9).await.expect("read"), [challenge("a.example", 30)]);
    assert_eq!(store.challenge("b.example").await.expect("read"), Some(challenge("b.example", 20)), "at any time");
    store.close_challenge("a.example").await.expect("written");
    assert_eq!(store.challenge("a.example").await.expect("read"), None);
    assert_eq!(store.challenges(ms(5), 9).await.expect("read"), [challenge("b.example", 20)]);
}

async fn a_sealed_key_is_the_first_one_and_is_replaced_by_itself_only(f: Fixture) {
    let store = f.store.certificates();
    assert_eq!(store.sealed_key("account", b"one").await.expect("written"), b"one");
    assert_eq!(store.sealed_key("account", b"two").await.expect("read"), b"one");
    store.reseal_key("account", b"two", b"three").await.expect("written");
    assert_eq!(store.sealed_key("account", b"four").await.expect("read"), b"one");
    store.reseal_key("account", b"one", b"three").await.expect("written");
    assert_eq!(store.sealed_key("account", b"four").await.expect("read"), b"three");
}
