//! Files of the configuration.

use std::{fs, path::Path};

use anteroom::{
    config::{Fault, Loader, SlugKey},
    domain::time::Clock,
};
use tempfile::TempDir;

const GATEWAY: &str = "base_domains = [\"meet.example\"]\n[listen]\nhttp = [\"127.0.0.1:0\"]\n[servers.bbb-01]\n\
                       url = \"https://bbb-01.meet.example\"\nsecret = \"c0ffee01c0ffee02c0ffee03\"\npool = \"members\"\n";
const POLICY: &str = "title = \"Small\"\npool = \"members\"\n[limits]\naccounts = 9\nrooms = 3\nparticipants = 4\nduration = \"1h\"\n\
                      recording = \"never\"\nown_domains = 1\nbranding = false\n";
const TENANT: &str = "name = \"W\"\npolicy = \"small\"\nhosts = [\"wagtail.meet.example\"]\n[secrets]\n";
const GOOD: &str = "c0ffee11c0ffee12c0ffee13";

/// A configuration of one server, one policy and one tenant, to which a test adds what is wrong.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        let files = files.write("anteroom.toml", GATEWAY).write("policies/small.toml", POLICY);
        files.write("tenants/wagtail.toml", format!("{TENANT}main = \"{GOOD}\"\n"))
    }

    fn write(self, file: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.0.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    /// What `check` says: faults, or the warnings where there are none.
    fn said(&self) -> (Vec<String>, Vec<String>) {
        said(self.0.path())
    }

    fn faults(&self) -> Vec<String> {
        self.said().0
    }

    fn warnings(&self) -> Vec<String> {
        let (faults, warnings) = self.said();
        assert_eq!(faults, [""; 0]);
        warnings
    }
}

fn said(dir: &Path) -> (Vec<String>, Vec<String>) {
    // Who may read the files of a checkout is another matter.
    let of_modes = |line: &String| line.contains("may be read by others than its owner");
    let lines = |faults: &[Fault]| faults.iter().map(Fault::to_string).filter(|line| !of_modes(line)).collect();
    match Loader::new(dir, Clock::system()).load(&SlugKey([0; 32])) {
        Ok(loaded) => (Vec::new(), lines(&loaded.warnings)),
        Err(faults) => (lines(&faults), Vec::new()),
    }
}

// 10. "`[create] clientSettingsOverride = \"pass\"` is accepted by `check`, the module in a body is dropped all the same."

#[test]
fn a_setting_without_effect_is_refused_or_told() {
    assert_eq!(Files::new().said(), (vec![], vec![]), "nothing is wrong with this one");
    let rule = format!("{POLICY}[create]\nclientSettingsOverride = \"pass\"\n");
    assert_eq!(
        Files::new().write("policies/small.toml", rule).faults(),
        [
            "policies/small.toml:12: create.clientSettingsOverride: is a module of the body of create, not a parameter, and \
             is never forwarded: it could point the client to another host"
        ]
    );
    let rules = "[create]\nvoiceBridge = \"drop\"\nrecord = { default = true }\nWelcome = \"drop\"\nfullName = { force = \"x\" }\n\
                 bannerText = \"drop\"\n";
    let files = Files::new().write("policies/small.toml", format!("{POLICY}{rules}"));
    assert_eq!(
        files.warnings(),
        [
            "policies/small.toml:12: create.voiceBridge: has no effect: that is its rule already",
            "policies/small.toml:13: create.record: has no effect: the level has no recording",
            "policies/small.toml:14: create.Welcome: is not a known parameter; did you mean \"welcome\"?",
            "policies/small.toml:14: create.Welcome: has no effect: that is its rule already",
            "policies/small.toml:15: create.fullName: is a parameter of join: servers ignore it here",
        ]
    );
    // A tenant's rules are on top of its level's, and a rule may stand before its branding.
    let level = POLICY.replace("branding = false", "branding = true\nbody = \"45MB\"");
    let level = format!("{level}[create]\nbannerText = \"drop\"\nwelcome = {{ force = \"Hello\" }}\n");
    let tenant = format!(
        "{TENANT}main = \"{GOOD}\"\n[create]\nbannerText = \"drop\"\ncopyright = \"drop\"\n[branding]\nwelcome = \"Hi\"\n\
         [limits]\nduration = \"unlimited\"\nduration_window = \"1d\"\n"
    );
    let server = "[servers.bbb-02]\nurl = \"https://bbb-02.meet.example\"\nsecret = \"c0ffee21c0ffee22c0ffee23\"\n\
                  pool = \"member\"\n";
    let files = Files::new().write("policies/small.toml", level).write("tenants/wagtail.toml", tenant);
    assert_eq!(
        files.write("anteroom.toml", format!("{GATEWAY}{server}")).warnings(),
        [
            "anteroom.toml: servers.bbb-02.pool: no policy and no tenant names the pool \"member\": no meeting comes here",
            "tenants/wagtail.toml: branding: has no effect on welcome: a rule of create gives it",
            "tenants/wagtail.toml: limits.duration_window: has no effect: the duration is unlimited",
            "tenants/wagtail.toml:7: create.bannerText: has no effect: that is its rule already",
        ]
    );
    for (body, is_size) in
        [("64KB", true), ("64MB", true), ("65MB", false), ("1KB", false), ("45", false), ("45 MB", false)]
    {
        let level = POLICY.replace("branding = false", &format!("branding = false\nbody = {body:?}"));
        let fault = "policies/small.toml:11: limits.body: must be a size from \"64KB\" to \"64MB\"";
        let expected: &[&str] = if is_size { &[] } else { &[fault] };
        assert_eq!(Files::new().write("policies/small.toml", level).faults(), expected, "{body}");
    }
}

// 11. "A secret with a blank before its line break is taken with the blank; `check` is silent."

#[test]
fn what_nobody_sees_in_a_secret_is_a_fault_wherever_it_comes_from() {
    let place = "tenants/wagtail.toml:5: secrets.main: its file \"secrets/main\"";
    for (content, fault) in [
        (format!("{GOOD} \n").into_bytes(), Some("begins or ends with a blank, which would be a part of it")),
        (format!("{GOOD}\t\r\n").into_bytes(), Some("begins or ends with a blank, which would be a part of it")),
        (format!("\u{feff}{GOOD}\n").into_bytes(), Some("begins with a byte order mark: save it without one")),
        (format!("{GOOD}\nsecond line\n").into_bytes(), Some("has more than one line")),
        (format!("{GOOD}\u{200b}\n").into_bytes(), Some("has an invisible character")),
        (b"\r\n".to_vec(), Some("is empty")),
        (b"\xff\xfec\0o\0".to_vec(), Some("is UTF-16 text: save it as UTF-8")),
        (format!("{GOOD}\r\n").into_bytes(), None),
        (format!("{GOOD}\n\n").into_bytes(), None),
    ] {
        let files = Files::new().write("secrets/main", content);
        let files = files.write("tenants/wagtail.toml", format!("{TENANT}main = \"file:secrets/main\"\n"));
        let expected: Vec<String> = fault.iter().map(|fault| format!("{place} {fault}")).collect();
        assert_eq!(files.said(), (expected, vec![]));
    }
    // The same in a literal, and in the environment, which this program has from cargo.
    let literal = format!("{TENANT}a = \"{GOOD} \"\nb = \"\u{a0}\"\nc = \"a\\tb\"\nd = \"env:CARGO_PKG_AUTHORS\"\n");
    let faults = Files::new().write("tenants/wagtail.toml", literal).faults();
    assert_eq!(
        faults[..3],
        [
            "tenants/wagtail.toml:5: secrets.a: begins or ends with a blank, which would be a part of it",
            "tenants/wagtail.toml:6: secrets.b: must not be empty",
            "tenants/wagtail.toml:7: secrets.c: has an invisible character",
        ]
    );
    assert!(faults.iter().all(|fault| !fault.contains(GOOD)), "{faults:?}");
}

#[test]
fn a_secret_that_everybody_knows_or_that_two_have_is_a_warning() {
    let tenant = format!(
        "{TENANT}a = \"changeme\"\nb = \"short\"\nc = \"'{GOOD}'\"\nd = \"${{WAGTAIL_SECRET}}\"\ne = \"secrets/e\"\n\
         f = [\"{GOOD}\", \"{GOOD}\"]\ng = \"c0ffee01c0ffee02c0ffee03\"\n"
    );
    let server = "[servers.bbb-02]\nurl = \"https://bbb-02.meet.example\"\nsecret = \"c0ffee01c0ffee02c0ffee03\"\n\
                  pool = \"members\"\n";
    let files = Files::new().write("tenants/wagtail.toml", tenant).write("secrets/e", GOOD);
    assert_eq!(
        files.write("anteroom.toml", format!("{GATEWAY}{server}")).warnings(),
        [
            "anteroom.toml:10: servers.bbb-02.secret: is the same secret as servers.bbb-01.secret: anyone who has it can call both \
             servers",
            "tenants/wagtail.toml:5: secrets.a: is a placeholder or a well-known example: use a secret of your own",
            "tenants/wagtail.toml:6: secrets.b: has fewer than 16 characters: it can be guessed from one signed link",
            "tenants/wagtail.toml:7: secrets.c: is in quotation marks, which are part of it",
            "tenants/wagtail.toml:8: secrets.d: looks like the name of a variable, but is used literally: \"env:NAME\" reads a \
             variable",
            "tenants/wagtail.toml:9: secrets.e: looks like the path of a file, but is used literally: \"file:PATH\" reads a file",
            "tenants/wagtail.toml:10: secrets.f[1]: is the same secret as secrets.f[0]",
            "tenants/wagtail.toml:11: secrets.g: is the secret of the server \"bbb-01\" too: anyone who has it can call that server \
             without the gateway",
        ]
    );
}

#[test]
fn a_mark_or_line_ends_of_another_system_hide_nothing() {
    let tenant = format!("{TENANT}main = \"{GOOD}\"\n");
    let mark = "tenants/wagtail.toml: begins with a byte order mark, which other programs may not accept";
    let utf16: Vec<u8> = tenant.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (what, content, faults, warnings) in [
        ("a mark", format!("\u{feff}{tenant}").into_bytes(), vec![], vec![mark]),
        ("line ends", tenant.replace('\n', "\r\n").into_bytes(), vec![], vec![]),
        (
            "UTF-16",
            [b"\xff\xfe".to_vec(), utf16].concat(),
            vec!["tenants/wagtail.toml: is UTF-16 text: save it as UTF-8"],
            vec![],
        ),
        (
            "hosts in capitals, and with a blank",
            tenant.replace("[\"wagtail.", "[\"Wagtail.MEET.example\", \"x.meet.example \", \"wagtail.").into_bytes(),
            vec![
                "tenants/wagtail.toml:3: hosts[1]: a host name has letters, digits, hyphens and dots only, without scheme, \
                 port or path",
                "tenants/wagtail.toml:3: hosts[2]: is the same as hosts[0]",
            ],
            vec![],
        ),
    ] {
        let (said_faults, said_warnings) = Files::new().write("tenants/wagtail.toml", content).said();
        assert_eq!(said_faults, faults, "{what}");
        assert_eq!(said_warnings, warnings, "{what}");
    }
}

#[test]
fn the_demo_is_told_that_everybody_knows_its_secrets_and_nothing_else() {
    let (faults, warnings) = said(&Path::new(env!("CARGO_MANIFEST_DIR")).join("config/demo"));
    assert_eq!(faults, [""; 0]);
    let others: Vec<_> = warnings
        .iter()
        .filter(|line| {
            !line.contains("is a placeholder or a well-known example") && !line.contains("has no certificate")
        })
        .collect();
    assert_eq!(others, [""; 0]);
    assert_eq!(warnings.len() - warnings.iter().filter(|line| line.contains("has no certificate")).count(), 8);
}
