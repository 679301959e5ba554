//! The rule of checksums, case by case, as a function and at the server.

use anteroom_bench::sign::{self, Algorithm};
use anteroom_bench::sim::{Config, accepts_checksum};

use crate::helpers::*;

const QUERY: &str = "name=Test+Meeting&meetingID=abc123&attendeePW=111222&moderatorPW=333444";
const SHA1: &str = "1fcbb0c4fc1f039f73aa6d697d2db9ba7f803f17";

/// What signs `query` of a `create`.
fn checksum(query: &str, algorithm: Algorithm) -> String {
    sign::checksum("create", query, SECRET, algorithm)
}

/// All cases of the notes, each with what is to come of it.
fn rows() -> Vec<(&'static str, String, bool)> {
    let (head, tail) = QUERY.split_once('&').unwrap();
    let sha1 = |query: &str| checksum(query, Algorithm::Sha1);
    let percent = QUERY.replace('+', "%20");
    let reordered = format!("{tail}&{head}");
    // What is left of a name with an encoded space before it is hashed: the literal text after it is taken out.
    let spaced = sha1(&format!("{QUERY}&%20"));
    let odd = format!("{QUERY}&checksum=0000");
    vec![
        ("the vector of the reference, last", format!("{QUERY}&checksum={SHA1}"), true),
        ("first", format!("checksum={SHA1}&{QUERY}"), true),
        ("in the middle", format!("{head}&checksum={SHA1}&{tail}"), true),
        ("alone", format!("checksum={}", sha1("")), true),
        ("SHA-256", format!("{QUERY}&checksum={}", checksum(QUERY, Algorithm::Sha256)), true),
        ("SHA-384", format!("{QUERY}&checksum={}", checksum(QUERY, Algorithm::Sha384)), true),
        ("SHA-512", format!("{QUERY}&checksum={}", checksum(QUERY, Algorithm::Sha512)), true),
        ("hex in capitals", format!("{QUERY}&checksum={}", SHA1.to_uppercase()), true),
        ("of no known length", format!("{QUERY}&checksum={}", &SHA1[1..]), false),
        ("of a hash's length, and no hex", format!("{QUERY}&checksum={}", "z".repeat(40)), false),
        ("the name in another case", format!("{QUERY}&Checksum={SHA1}"), false),
        ("missing", QUERY.to_owned(), false),
        ("empty", format!("{QUERY}&checksum="), false),
        ("no query at all", String::new(), false),
        ("the same twice", format!("checksum={SHA1}&{QUERY}&checksum={SHA1}"), true),
        ("the same twice side by side", format!("{QUERY}&checksum={SHA1}&checksum={SHA1}"), true),
        ("two that differ", format!("{QUERY}&checksum={SHA1}&checksum=0000"), false),
        ("two that differ, with the other one signed", format!("checksum={}&{odd}", sha1(&odd)), true),
        ("the value percent-encoded", format!("{QUERY}&checksum=%31{}", &SHA1[1..]), false),
        ("a space before the name", format!("{QUERY}&%20checksum={spaced}"), true),
        ("a space before the name, and the usual hash", format!("{QUERY}&%20checksum={SHA1}"), false),
        ("other bytes for a space", format!("{percent}&checksum={SHA1}"), false),
        ("other bytes for a space, signed as they are", format!("{percent}&checksum={}", sha1(&percent)), true),
        ("another order", format!("{reordered}&checksum={SHA1}"), false),
        ("another order, signed as it is", format!("{reordered}&checksum={}", sha1(&reordered)), true),
        ("a stray separator at the start", format!("&{QUERY}&checksum={}", sha1(&format!("&{QUERY}"))), true),
        ("two separators at the end", format!("{QUERY}&&checksum={}", sha1(&format!("{QUERY}&"))), true),
        ("its text inside another value", format!("{QUERY}checksum={SHA1}"), false),
    ]
}

#[test]
fn a_checksum_is_judged_as_the_notes_say() {
    for (name, query, expected) in rows() {
        assert_eq!(accepts_checksum("create", &query, SECRET), expected, "{name}: {query}");
    }
    for (name, call, query, secret, expected) in [
        ("of another call", "end", format!("{QUERY}&checksum={SHA1}"), SECRET, false),
        ("with another secret", "create", format!("{QUERY}&checksum={SHA1}"), "other", false),
        ("a server without a secret", "create", QUERY.to_owned(), "", true),
        ("a server without a secret, and any checksum", "create", format!("{QUERY}&checksum=x"), "", true),
        ("control characters are taken out", "create", format!("\u{1} {QUERY}\t&checksum={SHA1}"), SECRET, true),
        ("other spaces are not", "create", format!("{QUERY}\u{a0}&checksum={SHA1}"), SECRET, false),
    ] {
        assert_eq!(accepts_checksum(call, &query, secret), expected, "{name}");
    }
}

#[tokio::test]
async fn the_server_judges_as_the_function_does() {
    let sim = start(Config::default()).await;
    for (name, query, expected) in rows() {
        let answer = get(&sim, &format!("/bigbluebutton/api/create?{query}")).await;
        assert_eq!(answer.tag("messageKey") != Some("checksumError"), expected, "{name}: {}", answer.body);
    }
    sim.stop().await;
}

/// Numbers that look like chance, the same in each run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).unwrap()
    }

    fn pick<'a>(&mut self, pieces: &[&'a str]) -> &'a str {
        pieces[self.below(pieces.len())]
    }
}

#[test]
fn any_well_formed_query_is_accepted_as_signed_and_in_no_other_way() {
    const NAMES: [&str; 5] = ["name", "meetingID", "meta_a-b", "check", "checksums"];
    const VALUES: [&str; 6] = ["", "a+b", "%C3%BC", "x%20y", "1%2B1", "~*.-_"];
    let mut chance = Chance(0x5eed_5eed_5eed_5eed);
    for _ in 0..2000 {
        let pairs: Vec<String> = (0..chance.below(6))
            .map(|index| format!("{}{index}={}", chance.pick(&NAMES), chance.pick(&VALUES)))
            .collect();
        let algorithms = [Algorithm::Sha1, Algorithm::Sha256, Algorithm::Sha384, Algorithm::Sha512];
        let checksum = checksum(&pairs.join("&"), algorithms[chance.below(4)]);
        let mut signed = pairs.clone();
        signed.insert(chance.below(pairs.len() + 1), format!("checksum={checksum}"));
        assert!(accepts_checksum("create", &signed.join("&"), SECRET), "{signed:?}");
        signed.push("more=1".to_owned());
        assert!(!accepts_checksum("create", &signed.join("&"), SECRET), "{signed:?}");
    }
}

#[test]
fn no_text_at_all_confuses_the_rule() {
    const PIECES: [&str; 14] =
        ["checksum", "checksum=", "=", "&", "%", "%2", "%20", "%zz", "+", "ü", "\u{0}", "\u{85}", "a", SHA1];
    let mut chance = Chance(0xc0ff_ee00_c0ff_ee00);
    for _ in 0..5000 {
        let query: String = (0..chance.below(12)).map(|_| chance.pick(&PIECES)).collect();
        assert!(!accepts_checksum("end", &query, SECRET), "nobody signed {query:?}");
    }
}
