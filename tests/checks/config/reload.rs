//! What a reload takes over, what it keeps, and when there is one.

use super::*;

#[test]
fn a_reload_of_what_has_not_changed_takes_nothing_over() {
    let config = Config::new();
    config.cert("wagtail.meet.example", &["wagtail.meet.example"]);
    let mut loader = config.started();
    for text in [GATEWAY.to_owned(), format!("# a comment only\n{GATEWAY}")] {
        config.write("anteroom.toml", text);
        let reload = loader.reload(&KEY);
        assert!(reload.loaded.is_none() && reload.faults.is_empty());
    }
}

#[test]
fn a_start_reads_once_for_both_of_its_steps_and_the_first_reload_finds_what_changed_between_them() {
    let config = Config::new();
    let long_ago = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1);
    let gateway = fs::File::options().append(true).open(config.path("anteroom.toml")).expect("it is there");
    gateway.set_modified(long_ago).expect("settled: a reload does not read it again");
    let whole = config.load().expect("it is sound").directory;
    let mut loader = config.loader();
    let settings = loader.prepare().expect("it is sound");
    config.tenant("heron", "");
    let started = loader.load_with_slugs(&KEY).expect("it is sound");
    assert_eq!(started.settings, settings);
    assert_eq!(tenants(&started.directory), ["wagtail"], "not looked at again");
    let servers = |directory: &Directory| directory.servers().cloned().collect::<Vec<_>>();
    assert_eq!(servers(&started.directory), servers(&whole), "with the slugs of the key");
    let before = started.directory.servers().next().expect("one");
    assert!(started.directory.server_of_slug(before.slug.as_str()).is_some());
    let reload = loader.reload(&KEY);
    assert!(reload.faults.is_empty(), "{}", lines(&reload.faults));
    let after = took_over(reload).directory;
    assert_eq!(tenants(&after), ["heron", "wagtail"]);
    assert!(after.servers().next().is_some_and(|server| Arc::ptr_eq(server, before)), "they are the same");
    assert!(loader.reload(&KEY).loaded.is_none());

    let config = Config::new();
    config.write("tenants/heron.toml", "name");
    assert!(config.loader().prepare().is_err(), "all of it has to be sound");
    assert!(config.loader().load_with_slugs(&KEY).is_err(), "nothing has been prepared: all is read");
}

#[test]
fn tenants_share_what_they_do_not_say_themselves() {
    let config = Config::new();
    config.tenant("heron", "").tenant("plover", "limits.rooms = 1\nbranding.welcome = \"Hello\"\n");
    let directory = config.load().expect("it is sound").directory;
    let [heron, plover, wagtail] = ["heron", "plover", "wagtail"].map(|id| directory.tenant(id).expect("it is there"));
    assert!(Arc::ptr_eq(&heron.policy, &wagtail.policy) && Arc::ptr_eq(&heron.rules, &wagtail.rules));
    assert!(Arc::ptr_eq(&heron.limits, &heron.policy.limits) && Arc::ptr_eq(&heron.limits, &wagtail.limits));
    assert!(Arc::ptr_eq(&heron.branding, &wagtail.branding) && Arc::ptr_eq(&heron.pools, &wagtail.pools));
    assert_eq!((heron.limits.rooms, plover.limits.rooms), (Limit::AtMost(3), Limit::AtMost(1)));
    assert_eq!(plover.limits.participants, heron.limits.participants);
    assert!(heron.branding.welcome.is_none() && plover.branding.welcome.as_deref() == Some("Hello"));
}

#[test]
fn a_reload_takes_over_what_was_added_changed_and_removed() {
    let config = Config::new();
    let mut loader = config.loader();
    let before = loader.load(&KEY).expect("it is sound").directory;

    config.tenant("heron", "");
    let after = took_over(loader.reload(&KEY)).directory;
    assert_eq!(tenants(&after), ["heron", "wagtail"]);
    let wagtail = |directory: &Directory| directory.tenant("wagtail").cloned().expect("it is there");
    assert!(Arc::ptr_eq(&wagtail(&before), &wagtail(&after)), "who has not changed is the same as before");

    config.tenant("heron", "suspended = true\n");
    assert!(took_over(loader.reload(&KEY)).directory.tenant("heron").is_some_and(|heron| heron.suspended));

    config.remove("tenants/heron.toml");
    assert_eq!(tenants(&took_over(loader.reload(&KEY)).directory), ["wagtail"]);

    config.write("policies/small.toml", POLICY.replace("rooms = 3", "rooms = 5"));
    assert_eq!(wagtail(&took_over(loader.reload(&KEY)).directory).limits.rooms, Limit::AtMost(5));

    config.write("anteroom.toml", GATEWAY.replace("secret of the first server", "another secret of the server"));
    let directory = took_over(loader.reload(&KEY)).directory;
    assert!(directory.server("bbb-01").is_some_and(|server| server.secret.reveal() == "another secret of the server"));
    assert!(loader.reload(&KEY).loaded.is_none(), "once is enough");
}

#[test]
fn a_reload_takes_over_what_was_changed_of_an_event() {
    let event = |day| format!("[[events]]\nfrom = \"{day}\"\nuntil = \"{day}\"\nlimits = {{ rooms = 50 }}\n");
    let config = Config::new();
    let mut loader = config.started();
    let rooms = |directory: &Directory| {
        directory.tenant_of_host("wagtail.meet.example", Timestamp::EPOCH).expect("it is there").limits.rooms
    };
    config.tenant("wagtail", &event("1970-01-01"));
    assert_eq!(rooms(&took_over(loader.reload(&KEY)).directory), Limit::AtMost(50));
    config.tenant("wagtail", &format!("# a comment only\n{}", event("1970-01-01")));
    assert!(loader.reload(&KEY).loaded.is_none());
    config.tenant("wagtail", &event("1970-01-02"));
    assert_eq!(rooms(&took_over(loader.reload(&KEY)).directory), Limit::AtMost(3));
    config.tenant("wagtail", &event("yesterday"));
    let reload = loader.reload(&KEY);
    assert!(reload.loaded.is_none() && reload.faults.len() == 2, "{}", lines(&reload.faults));
}

#[test]
fn what_is_broken_stays_as_it_was_until_it_is_mended_and_holds_nobody_up() {
    let config = Config::new();
    let mut loader = config.started();
    for (broken, fault) in [
        ("name =", "tenants/wagtail.toml:1: is not TOML: string values must be quoted, expected literal string"),
        (
            "name = \"W\"\nhosts = [\"wagtail.meet.example\"]\npolicy = \"none\"\n[secrets]\na = \"s\"\n",
            "tenants/wagtail.toml:3: policy: the policy \"none\" is not known; there are small",
        ),
    ] {
        config.write("tenants/wagtail.toml", broken).tenant("heron", "");
        let reload = loader.reload(&KEY);
        let fault_now = lines(&reload.faults);
        assert!(fault_now.starts_with(fault), "{fault_now}");
        let directory = took_over(reload).directory;
        assert_eq!(tenants(&directory), ["heron", "wagtail"]);
        assert!(directory.tenant_of_host("wagtail.meet.example", Timestamp::EPOCH).is_some());

        let again = loader.reload(&KEY);
        assert!(again.loaded.is_none() && lines(&again.faults) == fault_now, "it is told again while it lasts");

        config.tenant("wagtail", "suspended = true\n").remove("tenants/heron.toml");
        let mended = loader.reload(&KEY);
        assert!(mended.faults.is_empty());
        assert!(took_over(mended).directory.tenant("wagtail").is_some_and(|wagtail| wagtail.suspended));
        config.tenant("wagtail", "");
        took_over(loader.reload(&KEY));
    }

    config.write("anteroom.toml", "nothing").tenant("heron", "");
    let reload = loader.reload(&KEY);
    assert_eq!(reload.faults.len(), 1);
    let loaded = took_over(reload);
    assert!(loaded.directory.server("bbb-01").is_some() && loaded.directory.tenant("heron").is_some());
}

#[test]
fn a_tenant_that_was_never_sound_is_not_served() {
    let config = Config::new();
    let mut loader = config.started();
    config.write("tenants/heron.toml", "nothing");
    let reload = loader.reload(&KEY);
    assert!(reload.loaded.is_none());
    assert_eq!(reload.faults.len(), 1);
}

#[test]
fn a_host_stays_with_the_tenant_that_has_it() {
    let config = Config::new();
    let mut loader = config.started();
    let owner =
        |directory: &Directory, host: &str| directory.tenant_of_host(host, Timestamp::EPOCH).map(|t| t.id.to_string());

    // By its id, the thief comes first.
    config.tenant_at("ape", &["ape.meet.example", "wagtail.meet.example"], "");
    let reload = loader.reload(&KEY);
    assert!(reload.loaded.is_none(), "a newcomer that claims what another one has is not served");
    let theft = "tenants/ape.toml:3: hosts[1]: \"wagtail.meet.example\" is a host of tenants/wagtail.toml as well";
    assert_eq!(lines(&reload.faults), theft);

    // It was a tenant before: then it stays as it was.
    config.tenant("ape", "");
    took_over(loader.reload(&KEY));
    config.tenant_at("ape", &["b.ape.meet.example", "wagtail.meet.example"], "");
    let reload = loader.reload(&KEY);
    assert!(reload.loaded.is_none());
    assert!(lines(&reload.faults).starts_with("tenants/ape.toml:3: hosts[1]"));

    // What ape gave up in vain, another one cannot have.
    config.tenant_at("bat", &["ape.meet.example"], "");
    let reload = loader.reload(&KEY);
    assert_eq!(lines(&reload.faults).lines().count(), 2, "{}", lines(&reload.faults));
    assert!(reload.loaded.is_none());

    // The owner gives it up: all three get what they ask for.
    config.tenant_at("wagtail", &["new.wagtail.meet.example"], "");
    let reload = loader.reload(&KEY);
    assert!(reload.faults.is_empty(), "{}", lines(&reload.faults));
    let directory = took_over(reload).directory;
    assert_eq!(owner(&directory, "wagtail.meet.example").as_deref(), Some("ape"));
    assert_eq!(owner(&directory, "ape.meet.example").as_deref(), Some("bat"));

    // Two tenants change places in one go.
    config.tenant_at("ape", &["ape.meet.example"], "").tenant_at(
        "bat",
        &["b.ape.meet.example", "wagtail.meet.example"],
        "",
    );
    let reload = loader.reload(&KEY);
    assert!(reload.faults.is_empty(), "{}", lines(&reload.faults));
    assert_eq!(owner(&took_over(reload).directory, "wagtail.meet.example").as_deref(), Some("bat"));
}

#[test]
fn a_secret_stays_with_the_tenant_that_has_it() {
    let config = Config::new();
    let mut loader = config.started();
    config.tenant("ape", "[secrets]\nx = \"the secret of wagtail\"\n");
    let reload = loader.reload(&KEY);
    assert!(reload.loaded.is_none());
    let faults = lines(&reload.faults);
    assert_eq!(faults, "tenants/ape.toml:5: secrets.x: is the same secret as secrets.main of tenants/wagtail.toml");
}

#[test]
fn a_policy_that_is_gone_stays_while_a_tenant_has_it() {
    let config = Config::new();
    let mut loader = config.started();
    config.remove("policies/small.toml").tenant("wagtail", "suspended = true\n");
    let reload = loader.reload(&KEY);
    assert_eq!(
        lines(&reload.faults),
        "policies/small.toml: was removed, but tenants/wagtail.toml still has this policy: its last version stays"
    );
    let directory = took_over(reload).directory;
    assert!(directory.tenant("wagtail").is_some_and(|w| w.suspended && w.limits.rooms == Limit::AtMost(3)));

    config.write("policies/small.toml", POLICY);
    assert_eq!(lines(&loader.reload(&KEY).faults), "");
    config.remove("policies/small.toml").remove("tenants/wagtail.toml");
    assert_eq!(lines(&loader.reload(&KEY).faults), "", "nobody has it any more");
}

#[test]
fn a_level_that_no_longer_allows_what_a_tenant_has_leaves_the_tenant_as_it_was() {
    let config = Config::new();
    config.tenant_at("wagtail", &["meet.wagtail.example"], "");
    let mut loader = config.started();
    config
        .write(
            "policies/small.toml",
            POLICY.replace("own_domains = 1", "own_domains = 0").replace("rooms = 3", "rooms = 9"),
        )
        .tenant("heron", "");
    let reload = loader.reload(&KEY);
    assert_eq!(
        lines(&reload.faults),
        "tenants/wagtail.toml:3: hosts[0]: \"meet.wagtail.example\" is below no base domain, and the level allows no own \
         domain"
    );
    let directory = took_over(reload).directory;
    let rooms = |id| directory.tenant(id).map(|tenant| tenant.limits.rooms);
    assert_eq!((rooms("wagtail"), rooms("heron")), (Some(Limit::AtMost(3)), Some(Limit::AtMost(9))));
}

#[test]
fn a_directory_that_vanishes_takes_no_tenant_with_it() {
    let config = Config::new();
    let mut loader = config.started();
    fs::rename(config.path("tenants"), config.path("elsewhere")).expect("it can be moved");
    let reload = loader.reload(&KEY);
    assert_eq!(lines(&reload.faults), "tenants: does not exist");
    assert!(reload.loaded.is_none());
    fs::rename(config.path("elsewhere"), config.path("tenants")).expect("it can be moved");
    assert_eq!(lines(&loader.reload(&KEY).faults), "");
}

#[test]
fn a_certificate_is_replaced_when_both_files_fit() {
    let host = "wagtail.meet.example";
    let config = Config::new();
    config.cert(host, &[host]);
    let mut loader = config.loader();
    let leaf = |loaded: &Loaded| loaded.certs.find(host).next().cloned();
    let before = leaf(&loader.load(&KEY).expect("it is sound"));
    assert!(before.is_some());

    let (chain, key) = pems(&[host]);
    config.write(&format!("certs/{host}/fullchain.pem"), chain);
    let reload = loader.reload(&KEY);
    assert!(reload.loaded.is_none(), "the former pair stays");
    assert_eq!(
        lines(&reload.faults),
        format!("certs/{host}/privkey.pem: does not fit the first certificate of fullchain.pem")
    );
    config.write(&format!("certs/{host}/privkey.pem"), key);
    let reload = loader.reload(&KEY);
    assert!(reload.faults.is_empty());
    let after = leaf(&took_over(reload));
    assert!(after.is_some() && after != before);

    fs::remove_dir_all(config.path(&format!("certs/{host}"))).expect("it is there");
    assert_eq!(leaf(&took_over(loader.reload(&KEY))), None);
}

#[test]
fn a_certificate_outside_its_dates_replaces_none_that_is_good() {
    let host = "wagtail.meet.example";
    let now = time::OffsetDateTime::from_unix_timestamp(Clock::system().now().as_secs()).expect("of our time");
    let (hour, day) = (time::Duration::HOUR, time::Duration::DAY);
    let at = |moment: time::OffsetDateTime| Timestamp::from_secs(moment.unix_timestamp());
    let config = Config::new();
    config.dated_cert(host, now - day, now + day);
    let mut loader = config.loader();
    let leaf = |loaded: &Loaded| loaded.certs.find(host).next().cloned();
    let good = leaf(&loader.load(&KEY).expect("it is sound")).expect("it has one");
    let end = at(now + day).saturating_add(Duration::from_millis(1));
    assert_eq!(loader.next_date(), Some(end), "what it means is looked at again when it expires");

    let file = format!("certs/{host}/fullchain.pem");
    for (from, until, why, next) in [
        (now - day * 3, now - hour * 25, "has expired 1 day ago", end),
        (now + hour, now + day * 2, "becomes valid less than a day from now", at(now + hour)),
    ] {
        config.dated_cert(host, from, until);
        let reload = loader.reload(&KEY);
        assert!(reload.loaded.is_none(), "the good one stays: {why}");
        assert_eq!(lines(&reload.faults), format!("{file}: {why}"));
        assert_eq!(loader.next_date(), Some(next), "{why}");
    }
    config.cert("heron.meet.example", &["heron.meet.example"]);
    assert_eq!(leaf(&took_over(loader.reload(&KEY))).as_ref(), Some(&good), "others are taken over");

    config.cert(host, &[host]);
    let reload = loader.reload(&KEY);
    assert_eq!(lines(&reload.faults), "");
    let better = leaf(&took_over(reload)).expect("it has one");
    assert_ne!(better, good);
    // At a start there is nothing better.
    config.dated_cert(host, now - day * 3, now - day * 2);
    let expired = leaf(&config.load().expect("it is sound")).expect("it has one");
    assert!(!expired.is_good(Clock::system().now()) && expired != better);
}

#[test]
fn a_secret_file_counts_as_part_of_the_tenant() {
    let config = Config::new();
    config.write("secrets/w", "one\n").tenant("wagtail", "[secrets]\nmain = \"file:secrets/w\"\n");
    let mut loader = config.started();
    let secret = |loaded: Loaded| {
        loaded
            .directory
            .tenant("wagtail")
            .map(|w| w.credentials[0].secrets[0].secret.reveal().to_owned())
            .unwrap_or_default()
    };
    config.write("secrets/w", "two\n");
    assert_eq!(secret(took_over(loader.reload(&KEY))), "two");
    config.remove("secrets/w");
    let reload = loader.reload(&KEY);
    assert_eq!(lines(&reload.faults), "tenants/wagtail.toml:5: secrets.main: its file \"secrets/w\" does not exist");
    assert!(reload.loaded.is_none());
    config.write("secrets/w", "two\n");
    let reload = loader.reload(&KEY);
    assert!(reload.faults.is_empty() && reload.loaded.is_none(), "it is what it was before");
}

#[test]
fn what_needs_a_start_is_told_and_otherwise_left_alone() {
    let config = Config::new();
    let mut loader = config.started();
    let changed = GATEWAY
        .replace("[\"meet.example\"]", "[\"meet.example\", \"meet.test\"]")
        .replace("http = [\"127.0.0.1:0\"]", "http = [\"127.0.0.1:1\"]\nadmin = \"127.0.0.1:2\"");
    let acme = "[acme]\ndirectory = \"https://ca.example/directory\"\naddresses = [\"192.0.2.7\"]\n";
    let store = "[store]\nurl = \"sqlite:b.db\"\nencryption_key = \"file:key\"\n";
    config.write("key", "5e".repeat(32)).write("anteroom.toml", changed + store + acme);
    let reload = loader.reload(&KEY);
    assert_eq!(
        lines(&reload.faults),
        "anteroom.toml:4: listen.http: has changed: takes effect at the next start\n\
         anteroom.toml:5: listen.admin: has changed: takes effect at the next start\n\
         anteroom.toml:12: store.url: has changed: takes effect at the next start\n\
         anteroom.toml:13: store.encryption_key: has changed: takes effect at the next start\n\
         anteroom.toml:14: acme: has changed: takes effect at the next start"
    );
    let settings = took_over(reload).settings;
    assert_eq!(settings.base_domains.len(), 2, "what needs none is taken over");
    assert!(settings.acme.is_none() && settings.encryption_keys.is_empty());
    assert!(settings.listen.admin.is_none() && settings.store_url.reveal().ends_with("var/anteroom.db"));
    assert_eq!(loader.reload(&KEY).faults.len(), 5, "it is told again while it lasts");
}

#[test]
fn files_that_are_none_of_the_configuration_are_left_alone() {
    let config = Config::new();
    config
        .write("tenants/.wagtail.toml.swp", "x")
        .write("tenants/.#heron.toml", "x")
        .write("tenants/wagtail.toml~", "x")
        .write("tenants/README.md", "x")
        .write("certs/README.md", "x");
    assert_eq!(config.faults(), "");
}

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a test waits for what must not come.
const SILENCE: Duration = Duration::from_millis(400);

async fn is_told(watcher: &mut Watcher) -> bool {
    tokio::time::timeout(PATIENCE, watcher.changed()).await.is_ok()
}

/// Lets what has happened so far pass by.
async fn settle(watcher: &mut Watcher) {
    while tokio::time::timeout(SILENCE, watcher.changed()).await.is_ok() {}
}

#[tokio::test]
async fn a_watcher_tells_of_every_change_and_of_nothing_else() {
    let config = Config::new();
    config.write("secrets/w", "one").tenant("wagtail", "[secrets]\nmain = \"file:secrets/w\"\n");
    config.write("anteroom.toml", format!("{GATEWAY}[store]\nurl = \"sqlite:anteroom.db\"\n"));
    let mut loader = config.started();
    let mut watcher = Watcher::new(&loader).expect("files can be watched");
    settle(&mut watcher).await;

    for file in ["anteroom.db", "anteroom.db-wal", "anteroom.db-shm", "var/anteroom.log"] {
        config.write(file, "x");
    }
    // `var` itself is new in the directory.
    settle(&mut watcher).await;
    for file in ["anteroom.db", "anteroom.db-wal", "anteroom.db-shm", "var/anteroom.log"] {
        config.write(file, "y");
    }
    loader.reload(&KEY);
    let told = tokio::time::timeout(SILENCE, watcher.changed()).await.is_ok();
    assert!(!told, "neither the store nor the reading of files is a change");

    for file in ["tenants/heron.toml", "secrets/w", "policies/large.toml", "anteroom.toml"] {
        config.write(file, "x");
        assert!(is_told(&mut watcher).await, "{file}");
        settle(&mut watcher).await;
    }

    // Directories that appear, and what comes into them later.
    config.cert("wagtail.meet.example", &["wagtail.meet.example"]);
    assert!(is_told(&mut watcher).await);
    loader.reload(&KEY);
    watcher.follow(&loader);
    settle(&mut watcher).await;
    config.cert("wagtail.meet.example", &["wagtail.meet.example"]);
    assert!(is_told(&mut watcher).await, "a certificate is replaced");
    settle(&mut watcher).await;

    // Another directory in the place of one that is watched.
    fs::rename(config.path("tenants"), config.path("tenants.old")).expect("it can be moved");
    config.tenant("plover", "");
    settle(&mut watcher).await;
    config.tenant("plover", "suspended = true\n");
    assert!(is_told(&mut watcher).await, "a file of the new directory");
}

#[test]
fn keys_of_a_thousand_certificates_stay_in_memory_and_those_of_more_do_not() {
    let config = Config::new();
    config.cert("_.many.example", &["*.many.example"]);
    let add = |n: usize| {
        let link = config.path(&format!("certs/host-{n}.many.example"));
        std::os::unix::fs::symlink("_.many.example", link).expect("a link");
    };
    let slots = |loaded: &Loaded| -> Vec<_> {
        let hosts = (0..1000).map(|n| format!("host-{n}.many.example"));
        hosts.filter_map(|host| loaded.certs.find(&host).next().cloned()).collect()
    };
    let kept = |loaded: &Loaded| slots(loaded).iter().filter(|slot| slot.is_ready()).count();
    (0..999).for_each(add);
    let few = config.load().expect("it is sound");
    assert_eq!((few.certs.len(), kept(&few)), (1000, 1000));
    add(999);
    let mut loader = config.loader();
    let many = loader.load(&KEY).expect("it is sound");
    assert_eq!((many.certs.len(), kept(&many)), (1001, 0));

    config.cert("_.many.example", &["*.many.example"]);
    let renewed = took_over(loader.reload(&KEY));
    assert_eq!(kept(&renewed), 0, "a renewal asks for none of them");
    assert!(slots(&many).iter().zip(slots(&renewed)).all(|(old, new)| **old != *new));

    config.write("certs/_.many.example/fullchain.pem", "");
    let broken = loader.reload(&KEY);
    assert_eq!((broken.loaded.is_none(), broken.faults.len()), (true, 1001), "they are known as they were");
}
