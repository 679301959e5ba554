//! Where hosts point, and CAA: each verdict in the words that an operator sees.

use crate::server::{Config, Dnsmasq, alias, caa, host, pointer, text, top};

const ACME: &str = "addresses = [\"192.0.2.7\", \"2001:db8::7\"]\ntarget = \"gateway.meet.example\"";

/// The records to set.
const WANTED: &str = "set CNAME gateway.meet.example. (or A 192.0.2.7, AAAA 2001:db8::7)";

/// What is in DNS.
fn zone() -> Vec<String> {
    vec![
        host("gateway.meet.example", "192.0.2.7,2001:db8::7"),
        alias("right.wagtail.example", "gateway.meet.example"),
        host("direct.wagtail.example", "192.0.2.7"),
        text("empty.wagtail.example", "nothing here"),
        host("elsewhere.wagtail.example", "203.0.113.9"),
        alias("old.wagtail.example", "elsewhere.wagtail.example"),
        host("partly.wagtail.example", "192.0.2.7,2001:db8::99"),
        host("partly-v4.wagtail.example", "203.0.113.9,2001:db8::7"),
        host("inside.wagtail.example", "10.0.0.5"),
        pointer("dangling.wagtail.example", "gone.example"),
        pointer("round.wagtail.example", "about.wagtail.example"),
        pointer("about.wagtail.example", "round.wagtail.example"),
        top("wagtail.example"),
        // CAA.
        host("open.heron.example", "192.0.2.7"),
        caa("ours.heron.example", 0, "issue", "letsencrypt.org"),
        host("meet.ours.heron.example", "192.0.2.7"),
        caa("theirs.heron.example", 0, "issue", "other-ca.example"),
        host("meet.theirs.heron.example", "192.0.2.7"),
        caa("closed.heron.example", 0, "issue", ";"),
        host("closed.heron.example", "192.0.2.7"),
        caa("strange.heron.example", 128, "tbs", "unknown"),
        host("strange.heron.example", "192.0.2.7"),
        caa("mail-only.heron.example", 0, "iodef", "mailto:ops@heron.example"),
        host("mail-only.heron.example", "192.0.2.7"),
    ]
}

/// What is found about a host: verdict, what was found, sentence; of DNS and of CAA.
fn found(config: &Config, host: &str, key: &str) -> [String; 3] {
    let found = config.found(&[host]);
    ["verdict", "found", "advice"].map(|part| found["hosts"][0][key][part].as_str().unwrap_or("-").to_owned())
}

#[test]
fn each_way_in_which_a_host_points_wrongly_has_its_sentence() {
    let server = Dnsmasq::start(&zone());
    let config = Config::new(&server, ACME);
    for (name, verdict, records, advice) in [
        ("right.wagtail.example", "right", "CNAME gateway.meet.example., A 192.0.2.7, AAAA 2001:db8::7", String::new()),
        ("direct.wagtail.example", "right", "A 192.0.2.7", String::new()),
        (
            "absent.wagtail.example",
            "no-name",
            "nothing",
            format!("absent.wagtail.example has no DNS record: {WANTED}"),
        ),
        (
            "empty.wagtail.example",
            "no-address",
            "nothing",
            format!("empty.wagtail.example has no address in DNS (neither A nor AAAA): {WANTED}"),
        ),
        (
            "wagtail.example",
            "no-address",
            "nothing",
            "wagtail.example has no address in DNS (neither A nor AAAA): set A 192.0.2.7, AAAA 2001:db8::7".into(),
        ),
        (
            "elsewhere.wagtail.example",
            "elsewhere",
            "A 203.0.113.9",
            format!("elsewhere.wagtail.example points elsewhere (A 203.0.113.9): {WANTED} in its place"),
        ),
        (
            "old.wagtail.example",
            "elsewhere",
            "CNAME elsewhere.wagtail.example., A 203.0.113.9",
            format!(
                "old.wagtail.example points elsewhere (CNAME elsewhere.wagtail.example., A 203.0.113.9): {WANTED} in its place"
            ),
        ),
        (
            "partly.wagtail.example",
            "partly",
            "A 192.0.2.7, AAAA 2001:db8::99",
            "partly.wagtail.example has A 192.0.2.7, which is right, but also AAAA 2001:db8::99, which is not: \
             remove AAAA 2001:db8::99 from partly.wagtail.example (browsers and certificate authorities prefer IPv6), \
             or set AAAA 2001:db8::7 in its place"
                .into(),
        ),
        (
            "partly-v4.wagtail.example",
            "partly",
            "A 203.0.113.9, AAAA 2001:db8::7",
            "partly-v4.wagtail.example has AAAA 2001:db8::7, which is right, but also A 203.0.113.9, which is not: \
             remove A 203.0.113.9 from partly-v4.wagtail.example, or set A 192.0.2.7 in its place"
                .into(),
        ),
        (
            "inside.wagtail.example",
            "private",
            "A 10.0.0.5",
            format!(
                "inside.wagtail.example has a private address, which the internet does not reach (A 10.0.0.5): {WANTED} in its place"
            ),
        ),
        (
            "dangling.wagtail.example",
            "dangling",
            "CNAME gone.example.",
            format!("dangling.wagtail.example is a CNAME for gone.example., which has no address: {WANTED} in its place"),
        ),
        (
            "round.wagtail.example",
            "loop",
            "nothing",
            "round.wagtail.example leads from CNAME to CNAME without an end: let it point to the right name directly"
                .into(),
        ),
        (
            "meet.other.test",
            "refused",
            "nothing",
            "the name servers refuse to answer for meet.other.test (CNAME, REFUSED): create the zone there, or correct the NS records at the registrar"
                .into(),
        ),
    ] {
        assert_eq!(found(&config, name, "dns"), [verdict.into(), records.into(), advice], "{name}");
    }
}

#[test]
fn a_target_that_is_wrong_itself_is_the_operators_to_correct() {
    let mut zone = zone();
    zone.push(pointer("lost.wagtail.example", "gone.meet.example"));
    let server = Dnsmasq::start(&zone);
    let moved = Config::new(&server, "addresses = [\"192.0.2.8\"]\ntarget = \"gateway.meet.example\"");
    let [verdict, _, advice] = found(&moved, "right.wagtail.example", "dns");
    assert_eq!(
        (&*verdict, &*advice),
        (
            "target-broken",
            "right.wagtail.example is a CNAME for gateway.meet.example., as it should be, but that has A 192.0.2.7, AAAA 2001:db8::7, \
             and not the addresses of the gateway: the operator of the gateway must correct the records of gateway.meet.example, or acme.addresses"
        )
    );
    let gone = Config::new(&server, "target = \"gone.meet.example\"");
    let [verdict, _, advice] = found(&gone, "lost.wagtail.example", "dns");
    assert_eq!(
        (&*verdict, &*advice),
        (
            "target-broken",
            "lost.wagtail.example is a CNAME for gone.meet.example., as it should be, but that has no address: \
             the operator of the gateway must correct the records of gone.meet.example"
        )
    );
    // With a target alone, its addresses are those that are right.
    let named = Config::new(&server, "target = \"gateway.meet.example\"");
    assert_eq!(found(&named, "direct.wagtail.example", "dns")[0], "right");
    assert_eq!(found(&named, "elsewhere.wagtail.example", "dns")[0], "elsewhere");
    let nothing = Config::new(&server, "");
    let [verdict, _, advice] = found(&nothing, "direct.wagtail.example", "dns");
    assert_eq!(
        (&*verdict, &*advice),
        (
            "not-expected",
            "direct.wagtail.example has A 192.0.2.7; nothing says whether that is right: set acme.addresses or acme.target in anteroom.toml"
        )
    );
}

#[test]
fn what_fails_is_told_apart_from_what_does_not_exist() {
    let unsigned = Dnsmasq::start(&[host("meet.bogus.example", "192.0.2.7")]);
    let mut options = Dnsmasq::checks_signatures_of("bogus.example", unsigned.port);
    // Nothing listens there, and dnsmasq keeps silent.
    options.push("--server=/silent.example/127.0.0.1#1".into());
    let server = Dnsmasq::start(&options);
    let config = Config::new(&server, ACME);
    let [verdict, records, advice] = found(&config, "meet.bogus.example", "dns");
    assert_eq!(
        (&*verdict, &*records, &*advice),
        (
            "dnssec",
            "nothing",
            "the DNSSEC signatures of meet.bogus.example are wrong (CNAME): sign the zone again, or remove its DS record at the registrar"
        )
    );
    assert_eq!(
        found(&config, "meet.bogus.example", "caa")[2],
        "no certificate authority may issue for meet.bogus.example now: the DNSSEC signatures of meet.bogus.example are wrong (CAA): \
         sign the zone again, or remove its DS record at the registrar"
    );
    assert_eq!(
        found(&config, "meet.silent.example", "dns")[2],
        "no answer about meet.silent.example (CNAME) in time: check the name servers of its zone, and the DNS server of the gateway"
    );
}

#[test]
fn each_caa_record_that_forbids_has_its_sentence() {
    let server = Dnsmasq::start(&zone());
    let config = Config::new(&server, ACME);
    for (name, verdict, records, advice) in [
        ("open.heron.example", "allowed", "nothing", ""),
        ("meet.ours.heron.example", "allowed", "CAA 0 issue \"letsencrypt.org\" at ours.heron.example", ""),
        (
            "mail-only.heron.example",
            "allowed",
            "CAA 0 iodef \"mailto:ops@heron.example\" at mail-only.heron.example",
            "",
        ),
        (
            "meet.theirs.heron.example",
            "other-issuer",
            "CAA 0 issue \"other-ca.example\" at theirs.heron.example",
            "the CAA records of theirs.heron.example (CAA 0 issue \"other-ca.example\") forbid a certificate for \
             meet.theirs.heron.example: add theirs.heron.example. CAA 0 issue \"letsencrypt.org\"",
        ),
        (
            "closed.heron.example",
            "other-issuer",
            "CAA 0 issue \";\" at closed.heron.example",
            "the CAA records of closed.heron.example (CAA 0 issue \";\") forbid a certificate for closed.heron.example: \
             add closed.heron.example. CAA 0 issue \"letsencrypt.org\"",
        ),
        (
            "strange.heron.example",
            "critical",
            "CAA 128 tbs \"unknown\" at strange.heron.example",
            "the CAA records of strange.heron.example have the critical tag \"tbs\", which certificate authorities do not know: \
             remove that record, or set its flag to 0",
        ),
    ] {
        assert_eq!(found(&config, name, "caa"), [verdict, records, advice], "{name}");
    }
}

#[test]
fn caa_of_a_host_below_a_base_domain_is_that_of_the_wildcard_where_the_hook_orders_one() {
    let server = Dnsmasq::start(&[
        host("heron.meet.example", "192.0.2.7"),
        caa("heron.meet.example", 0, "issue", "other-ca.example"),
        caa("meet.example", 0, "issue", "letsencrypt.org"),
        caa("meet.example", 0, "issuewild", "wild-ca.example; validationmethods=dns-01"),
    ]);
    let alone = Config::new(&server, ACME);
    assert_eq!(found(&alone, "heron.meet.example", "caa")[0], "other-issuer");
    let hooked = Config::new(&server, &format!("{ACME}\ndns_hook = [\"/bin/true\"]"));
    let [verdict, _, advice] = found(&hooked, "heron.meet.example", "caa");
    assert_eq!(verdict, "other-issuer");
    assert!(
        advice.starts_with("the CAA records of meet.example (")
            && advice.ends_with(
                ") forbid a certificate for *.meet.example: add meet.example. CAA 0 issuewild \"letsencrypt.org\""
            ),
        "{advice}"
    );
    // Two labels below, the host has one of its own.
    let deep = found(&hooked, "a.heron.meet.example", "caa");
    assert!(deep[2].contains("forbid a certificate for a.heron.meet.example"), "{deep:?}");
}

#[test]
fn a_host_without_a_certificate_and_without_a_way_to_one_is_told() {
    let server = Dnsmasq::start(&zone());
    let lack = |config: &Config, host: &str| {
        let found = config.found(&[host]);
        found["hosts"][0]["certificate"]["advice"].as_str().map(str::to_owned)
    };
    let ordered = Config::new(&server, ACME);
    ordered.change(|text| text.replace("[listen]\n", "[listen]\nhttps = [\"127.0.0.1:0\"]\n"));
    assert_eq!(lack(&ordered, "open.heron.example"), None, "one is ordered");
    assert_eq!(
        lack(&ordered, "a_b.heron.example").as_deref(),
        Some(
            "a_b.heron.example has an underscore, which no certificate may name: put a certificate into certs/a_b.heron.example/"
        )
    );
    let bare = Config::new(&server, ACME);
    bare.change(|text| {
        let (before, acme) = text.split_once("[acme]").unwrap();
        let servers = acme.split_once("[servers").unwrap().1;
        format!("{before}[servers{servers}").replace("http = ", "https = ")
    });
    assert_eq!(
        lack(&bare, "open.heron.example").as_deref(),
        Some("open.heron.example has no certificate: put one into certs/open.heron.example/, or set [acme]")
    );
    bare.change(|text| text.replace("https = ", "http = "));
    assert_eq!(lack(&bare, "open.heron.example"), None, "TLS is ended elsewhere");
}

#[test]
fn the_command_prints_a_table_and_says_by_its_exit_code_whether_something_is_to_do() {
    let server = Dnsmasq::start(&zone());
    let config = Config::new(&server, ACME);
    config.tenant("wagtail", &["right.wagtail.example", "elsewhere.wagtail.example"], "");
    config.tenant("heron", &["open.heron.example"], "");
    let good = config.check(&["--tenant", "heron"]);
    assert_eq!(good.status.code(), Some(0));
    assert_eq!(
        String::from_utf8_lossy(&good.stdout),
        "HOST                TENANT  POINTS  FOUND        CAA      CERTIFICATE UNTIL\n\
         open.heron.example  heron   right   A 192.0.2.7  allowed  -\n"
    );
    let bad = config.check(&["--all"]);
    assert_eq!(bad.status.code(), Some(1));
    let text = String::from_utf8_lossy(&bad.stdout).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 6, "{text}");
    assert!(lines[1].starts_with("open.heron.example"), "{text}");
    assert_eq!(
        &lines[4..],
        ["", &format!("elsewhere.wagtail.example points elsewhere (A 203.0.113.9): {WANTED} in its place")]
    );
    let unknown = config.check(&["--tenant", "stork"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&unknown.stderr), "anteroom: there is no tenant \"stork\"\n");
    assert_eq!(config.check(&[]).status.code(), Some(2), "something must be named");
}

#[test]
fn a_host_with_a_certificate_of_the_operator_is_checked_for_its_date_and_not_for_caa() {
    let server = Dnsmasq::start(&zone());
    let config = Config::new(&server, ACME);
    let name = "meet.theirs.heron.example";
    config.tenant("heron", &[name], "");
    let bring = |from: i32, until: i32| {
        let mut parameters = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        parameters.distinguished_name.push(rcgen::DnType::CommonName, "Heron's own");
        parameters.not_before = rcgen::date_time_ymd(from, 1, 2);
        parameters.not_after = rcgen::date_time_ymd(until, 1, 2);
        let key = rcgen::KeyPair::generate().unwrap();
        config.write(&format!("certs/{name}/fullchain.pem"), &parameters.self_signed(&key).unwrap().pem());
        config.write(&format!("certs/{name}/privkey.pem"), &key.serialize_pem());
        config.found(&["--all"])["hosts"][0].clone()
    };
    let good = bring(2020, 2099);
    assert_eq!(good["certificate"]["issuer"], "CN=Heron's own");
    assert_eq!(good["certificate"]["not_after"], "2099-01-02T00:00:00Z");
    assert!(good["caa"].is_null());
    assert_eq!(config.check(&["--all"]).status.code(), Some(0), "CAA of others forbids nothing here");
    for (from, until, why) in [
        (2001, 2002, "has expired at 2002-01-02T00:00:00Z: put a new one there"),
        (2098, 2099, "is not valid before 2098-01-02T00:00:00Z: put another one there until then"),
    ] {
        let outside = bring(from, until);
        assert_eq!(outside["certificate"]["advice"], format!("the certificate of {name} in certs/ {why}"));
        assert_eq!(outside["caa"]["verdict"], "other-issuer", "one is ordered meanwhile");
    }
}
