//! What parses bytes from outside meets random input: it ends in a value, never in a panic.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

use anteroom::{
    bbb::{checksum, documents, fetched::is_public, meeting_id, query::Params, query::split_checksum, xml},
    domain::{
        host::Host,
        ids::TenantId,
        secret::Secret,
        tenant::{ApiSecret, Credential},
    },
    proxy::route::{Route, route},
};
use proptest::prelude::*;

fn tenant() -> TenantId {
    "wagtail".parse().unwrap()
}

/// Bytes that are often nearly an answer of BBB.
fn nearly_xml() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::sample::select(vec![
        "<response>",
        "</response>",
        "<meetings>",
        "</meetings>",
        "<meeting>",
        "</meeting>",
        "<meetingID>",
        "</meetingID>",
        "t.wagtail.a",
        "<returncode>SUCCESS</returncode>",
        "<![CDATA[",
        "]]>",
        "&amp;",
        "&#0;",
        "&x;",
        "<a/>",
        "<!--",
        "-->",
        "<?xml?>",
        "<!DOCTYPE a>",
        "<",
        ">",
        "/",
        "\"",
        "<module name=\"presentation\">",
        "<modules>",
        "</modules>",
        "</module>",
        "ü",
    ]);
    prop::collection::vec(
        prop_oneof![pieces.prop_map(|p| p.as_bytes().to_vec()), prop::collection::vec(any::<u8>(), 0..4)],
        0..30,
    )
    .prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_query_is_read_or_refused(raw in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(params) = Params::parse(&raw) {
            for (name, value) in params.iter() {
                prop_assert!(!name.contains(char::is_control) && !value.contains(char::is_control));
            }
            // What is encoded is read as it was.
            prop_assert_eq!(Params::parse(params.encode().as_bytes()).unwrap(), params);
        }
    }

    #[test]
    fn any_text_has_a_checksum_or_none(raw in ".{0,200}") {
        if let Ok((rest, sum)) = split_checksum(&raw) {
            prop_assert!(!sum.contains('&'));
            prop_assert!(rest.len() < raw.len());
        }
    }

    #[test]
    fn only_the_right_checksum_is_accepted(query in "[a-z]{1,8}=[a-zA-Z0-9%+.]{0,20}", wrong in "[0-9a-f]{64}") {
        let secret = ApiSecret { secret: Secret::new("hush"), label: "main/1".into(), not_after: None };
        let credentials = [Credential { name: "main".into(), secrets: vec![secret] }];
        let right = checksum::sign("create", &query, &credentials[0].secrets[0].secret);
        let query_with = |sum: &str| format!("{query}&checksum={sum}");
        prop_assert!(checksum::verify("create", &query_with(&right), &credentials, 0).is_ok());
        prop_assert!(wrong == right || checksum::verify("create", &query_with(&wrong), &credentials, 0).is_err());
    }

    #[test]
    fn any_bytes_are_an_answer_or_garbage(body in nearly_xml()) {
        let _ = xml::answer(&body, &tenant(), Some("own"));
        let _ = xml::list(&body, |id| Some(id.to_owned()));
        let _ = documents::clean(&body, is_public);
        let _ = documents::Watch::default().pass(&body, &is_public);
        let _ = xml::sessions(&body);
    }

    #[test]
    fn any_legal_id_is_found_again(id in "\\PC{2,120}") {
        let on_server = meeting_id::to_server(&tenant(), &id);
        prop_assert!(meeting_id::units(&on_server) <= 256);
        if !on_server.contains('#') {
            prop_assert_eq!(meeting_id::from_server(&tenant(), &on_server), Some(&*id));
        }
        prop_assert_eq!(meeting_id::from_server(&"heron".parse().unwrap(), &on_server), None);
    }

    #[test]
    fn any_path_has_a_route(path in "(/[ -~]{0,80})|([ -~]{0,4})") {
        let found = route(&path);
        let open = path.contains("..") || path.contains(';');
        if let Route::Meeting { .. } | Route::RootMeeting { .. } = found {
            prop_assert!(!open || !path.split('/').any(|s| s == "..") && !path.contains(';'), "{}", path);
        }
    }

    #[test]
    fn any_text_is_a_host_or_not(text in "\\PC{0,80}") {
        if let Ok(host) = text.parse::<Host>() {
            prop_assert_eq!(host.as_str().parse::<Host>().unwrap(), host);
        }
    }
}
