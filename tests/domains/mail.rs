//! The records of mail: each verdict in the words that an operator sees.

use crate::server::{Config, Dnsmasq, record, text};

/// An Ed25519 key in base64.
const KEY: &str = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
/// An RSA key of 512 bits, as OpenSSL makes it.
const SHORT_KEY: &str = "MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAKH6mKK2Fx9PWOVSyoh2H39rwRDvVj7tG/qV96VSzfLADdEA+75e5ufjN2Z4S8uQhL3A7jQXCQtnyCrI8aXiNM8CAwEAAQ==";

fn mx(domain: &str) -> String {
    format!("--mx-host={domain},mx.example,10")
}

/// Sound records, but for those of one kind.
fn sound_but(kind: &str, others: &[String]) -> Vec<String> {
    let all = [
        ("mx", mx("wagtail.example")),
        ("spf", text("wagtail.example", "v=spf1 include:spf.meet.example -all")),
        ("dkim", text("s1._domainkey.wagtail.example", &format!("v=DKIM1; k=ed25519; p={KEY}"))),
        ("dmarc", text("_dmarc.wagtail.example", "v=DMARC1; p=reject")),
        ("relay", text("spf.meet.example", "v=spf1 ip4:192.0.2.0/24 -all")),
        ("other", text("wagtail.example", "some-verification=1")),
    ];
    let kept = all.into_iter().filter(|(of, _)| *of != kind).map(|(_, record)| record);
    kept.chain(others.iter().cloned()).collect()
}

const MAIL: &str =
    "[mail]\nfrom = \"noreply@wagtail.example\"\ndkim_selectors = [\"s1\"]\nspf_include = \"spf.meet.example\"";

/// The sentences about the mail of a tenant, in front of these records.
fn advices(records: &[String], mail: &str) -> Vec<String> {
    let server = Dnsmasq::start(records);
    let config = Config::new(&server, "");
    config.tenant("wagtail", &["wagtail.meet.example"], mail);
    let found = config.found(&["--tenant", "wagtail"]);
    let records = found["mail"][0]["records"].as_array().unwrap();
    let advices = records.iter().map(|record| record["advice"].as_str().unwrap().to_owned());
    advices.filter(|advice| !advice.is_empty()).collect()
}

#[test]
fn sound_records_leave_nothing_to_do() {
    assert_eq!(advices(&sound_but("", &[]), MAIL), [""; 0]);
    // The policy of the domain above counts (RFC 9989).
    let below = [
        mx("mail.wagtail.example"),
        text("mail.wagtail.example", "v=spf1 include:spf.meet.example -all"),
        text("s1._domainkey.mail.wagtail.example", &format!("p={KEY}; k=ed25519")),
    ];
    let mail = MAIL.replace("@wagtail", "@mail.wagtail");
    assert_eq!(advices(&sound_but("", &below), &mail), [""; 0]);
}

#[test]
fn each_record_of_mail_that_is_missing_or_wrong_has_its_sentence() {
    let spf = |record: &str| vec![text("wagtail.example", record)];
    let dkim = |record: &str| vec![text("s1._domainkey.wagtail.example", record)];
    let set_key = "set s1._domainkey.wagtail.example. TXT \"v=DKIM1; k=rsa; p=<the public key of the mail server>\"";
    let many: Vec<String> = (0..11).map(|n| format!("a:h{n}.example")).collect();
    for (kind, records, advice) in [
        (
            "mx",
            vec![],
            "wagtail.example has no MX record, so that answers and bounces are lost and some receivers refuse its mail: \
             set wagtail.example. MX 10 and the name of its mail server"
                .to_owned(),
        ),
        (
            "mx",
            vec![record("wagtail.example", 15, &[0, 0, 0])],
            "wagtail.example says that it takes no mail (MX 0 .), so that some receivers refuse mail from it: \
             set wagtail.example. MX 10 and the name of its mail server"
                .to_owned(),
        ),
        (
            "spf",
            vec![],
            "wagtail.example has no SPF record: set wagtail.example. TXT \"v=spf1 include:spf.meet.example -all\"".to_owned(),
        ),
        (
            "spf",
            [spf("v=spf1 include:spf.meet.example -all"), spf("v=spf1 mx -all")].concat(),
            "wagtail.example has 2 SPF records, so that receivers ignore all of them: make one of them and remove the others"
                .to_owned(),
        ),
        (
            "spf",
            spf("v=spf1 inculde:spf.meet.example -all"),
            "the SPF record of wagtail.example has a term that nothing knows: correct \"inculde:spf.meet.example\"".to_owned(),
        ),
        (
            "spf",
            spf("v=spf1 include:spf.meet.example +all"),
            "the SPF record of wagtail.example lets anybody send in its name (+all): write -all at its end".to_owned(),
        ),
        (
            "spf",
            spf("v=spf1 mx -all"),
            "the SPF record of wagtail.example does not include spf.meet.example: add include:spf.meet.example before its end"
                .to_owned(),
        ),
        (
            "spf",
            spf("v=spf1 include:spf.meet.example"),
            "the SPF record of wagtail.example does not say what holds for other servers: add -all at its end".to_owned(),
        ),
        (
            "spf",
            spf("v=spf1 include:spf.meet.example include:gone.example -all"),
            "the SPF record of wagtail.example includes gone.example, which has no SPF record, so that receivers ignore all of it: \
             correct or remove that include"
                .to_owned(),
        ),
        (
            "spf",
            spf(&format!("v=spf1 include:spf.meet.example {} -all", many.join(" "))),
            "the SPF record of wagtail.example takes more than 10 DNS look-ups, so that receivers ignore it: \
             remove an include, a, mx, ptr or exists, or write addresses (ip4, ip6) in their place"
                .to_owned(),
        ),
        (
            "dkim",
            vec![],
            format!("s1._domainkey.wagtail.example has no DKIM key, so that signatures with s1 count as wrong: {set_key}"),
        ),
        (
            "dkim",
            dkim("v=DKIM1; p="),
            format!("the DKIM key at s1._domainkey.wagtail.example is withdrawn (p= is empty): {set_key}"),
        ),
        (
            "dkim",
            dkim("v=DKIM1; k=rsa; p=MIIB"),
            format!("the DKIM key at s1._domainkey.wagtail.example is not whole: its p= is no RSA key: {set_key}"),
        ),
        (
            "dkim",
            dkim(&format!("v=DKIM1; p={SHORT_KEY}")),
            format!(
                "the DKIM key at s1._domainkey.wagtail.example is an RSA key of 512 bits, which receivers ignore: {set_key}"
            ),
        ),
        (
            "dmarc",
            vec![],
            "wagtail.example has no DMARC record, which large receivers want: \
             set _dmarc.wagtail.example. TXT \"v=DMARC1; p=quarantine\""
                .to_owned(),
        ),
        (
            "dmarc",
            vec![text("_dmarc.wagtail.example", "v=DMARC1; rua=mailto:a@wagtail.example")],
            "the DMARC record at _dmarc.wagtail.example has no policy that receivers know: \
             write p=none, p=quarantine or p=reject behind v=DMARC1"
                .to_owned(),
        ),
    ] {
        assert_eq!(advices(&sound_but(kind, &records), MAIL), [advice], "{kind} {records:?}");
    }
}

#[test]
fn look_ups_of_included_records_count() {
    // Eleven, one behind the other.
    let chain = |n: usize| text(&format!("i{n}.example"), &format!("v=spf1 include:i{}.example -all", n + 1));
    let mut records: Vec<String> = (0..12).map(chain).collect();
    records.push(text("wagtail.example", "v=spf1 include:spf.meet.example include:i0.example -all"));
    let advices = advices(&sound_but("spf", &records), MAIL);
    assert_eq!(advices.len(), 1, "{advices:?}");
    assert!(advices[0].contains("takes more than 10 DNS look-ups"), "{advices:?}");
}
