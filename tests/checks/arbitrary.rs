//! What parses bytes from outside meets random input: it ends in a value, never in a panic. The properties are those of
//! the fuzz targets, which meet more of it (`make fuzz`).

#[path = "../support/passing.rs"]
mod passing;
#[path = "../support/posted.rs"]
mod posted;
#[path = "../support/properties.rs"]
mod properties;

use anteroom::domain::host::Host;
use proptest::prelude::*;

/// Bytes that are often nearly an answer of BBB, or the modules of a `create`.
fn nearly_xml() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::sample::select(vec![
        "<response>",
        "</response>",
        "<meetings>",
        "</meetings>",
        "<meeting>",
        "</meeting>",
        "<recordings>",
        "</recordings>",
        "<recording>",
        "</recording>",
        "<recordID>183f0bf3a0982a127bdb8161e0c44eb696b3e75c-1700000000000</recordID>",
        "<meetingID>",
        "</meetingID>",
        "t.wagtail.a",
        "https://bbb-01.internal.test/x",
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
        "<?xml version=\"1.0\" encoding=\"UTF-16\"?>",
        "<!DOCTYPE a>",
        "<",
        ">",
        "/",
        "\"",
        "'",
        "<module name=\"presentation\">",
        "<document url=\"https://school.example/a.pdf\"/>",
        "<document url='http://127.0.0.1/a.pdf'>",
        "<modules>",
        "</modules>",
        "</module>",
        "ü",
    ]);
    prop::collection::vec(
        prop_oneof![
            4 => pieces.prop_map(|p| p.as_bytes().to_vec()),
            1 => prop::collection::vec(any::<u8>(), 0..4)
        ],
        0..30,
    )
    .prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_query_is_read_or_refused(raw in prop::collection::vec(any::<u8>(), 0..200)) {
        properties::query(&raw);
    }

    #[test]
    fn what_bbb_accepts_as_a_checksum_is_accepted_and_nothing_else(
        rest in "([a-z]{1,4}=[a-zA-Z0-9%+.]{0,8}|checksum(=[0-9a-f]{0,40})?|%20checksum=x|&){0,4}(&[a-z]{1,3}=[!-~]{0,6}){0,3}",
        place in any::<usize>(),
        algorithm in 0..4_usize,
        bend in prop::option::of((any::<usize>(), 33..127_u8)),
    ) {
        properties::checksum(&rest, place, algorithm, bend);
    }

    #[test]
    fn any_text_has_a_checksum_or_none(raw in ".{0,200}|checksum=[0-9a-f]{40}&.{0,40}") {
        properties::any_query(&raw);
    }

    #[test]
    fn any_bytes_are_an_answer_or_garbage(body in nearly_xml()) {
        properties::answers(&body);
    }

    #[test]
    fn any_bytes_are_modules_or_refused(body in nearly_xml(), step in 1..20_usize) {
        properties::modules(&body, step);
    }

    #[test]
    fn any_legal_id_is_found_again(id in "\\PC{2,256}|[ -~]{2,256}|[äß\\[\\]😀 +&]{2,128}") {
        properties::id(&id);
    }

    #[test]
    fn any_path_has_a_route(path in "(/[ -~]{0,80})|([ -~]{0,4})|/(s/x/)?(bigbluebutton|playback|graphql|presentation)/[ -~]{0,40}") {
        properties::path(&path);
    }

    #[test]
    fn any_text_is_an_address_or_not(text in "\\PC{0,40}|https?://[0-9a-fx.:\\[\\]@/]{0,30}") {
        properties::address(&text);
    }

    #[test]
    fn any_text_is_a_host_or_not(text in "\\PC{0,80}") {
        if let Ok(host) = text.parse::<Host>() {
            prop_assert_eq!(host.as_str().parse::<Host>().unwrap(), host);
        }
    }

    #[test]
    fn any_bytes_are_the_head_of_an_answer_or_none(
        fields in "(HTTP/1\\.[01] [0-9]{3} OK\r\n)?((content-length: [0-9]{0,3}|transfer-encoding: (chunked|gzip)|connection: close|[a-z-]{1,8}: [ -~]{0,9})\r?\n){0,4}\r\n",
        is_head in any::<bool>(),
        cuts in prop::collection::vec(any::<u16>(), 0..6),
    ) {
        passing::answer_head(fields.as_bytes(), is_head, &cuts);
    }

    #[test]
    fn any_bytes_are_chunks_or_refused(
        body in prop_oneof![
            "([0-9a-f]{1,2}(;x)?\r\n[a-z\r\n]{0,9}\r\n|0\r\n(a: b\r\n)?\r\n){0,5}".prop_map(String::into_bytes),
            prop::collection::vec(any::<u8>(), 0..60),
        ],
        cuts in prop::collection::vec(any::<u16>(), 0..6),
    ) {
        passing::answer_body(&body, &cuts);
    }

    #[test]
    fn any_frames_pass_but_for_addresses(
        frames in prop::collection::vec((any::<u8>(), prop::collection::vec(0..40_u8, 0..9)), 0..8),
        cuts in prop::collection::vec(any::<u16>(), 0..8),
    ) {
        passing::frames(&frames, &cuts);
    }

    #[test]
    fn any_bytes_from_a_server_pass(
        bytes in prop::collection::vec(any::<u8>(), 0..80),
        cuts in prop::collection::vec(any::<u16>(), 0..8),
    ) {
        passing::text_frames(&bytes, &cuts);
    }

    #[test]
    fn any_bytes_are_a_first_frame_or_none(
        text in prop::collection::vec(prop_oneof![3 => 0..26_u8, 1 => any::<u8>()], 0..12),
        mask in any::<[u8; 4]>(),
        more in prop::collection::vec(any::<u8>(), 0..9),
    ) {
        passing::init(&[&[0, 1][..], &text].concat(), mask, &more);
        passing::init(&text, mask, &more);
        passing::first_frame(&text);
    }

    #[test]
    fn any_path_goes_to_one_place(path in prop::collection::vec(prop_oneof![4 => 0..32_u8, 1 => 32..128_u8], 0..12)) {
        passing::path(&[&[0][..], &path].concat());
    }

    #[test]
    fn any_bytes_are_a_form_or_none(bytes in prop::collection::vec(prop_oneof![2 => 0..14_u8, 1 => any::<u8>()], 0..14)) {
        passing::form(&[&[0, 3][..], &bytes].concat());
        passing::form(&bytes);
    }

    #[test]
    fn any_query_names_one_session_or_is_refused(
        query in prop::collection::vec(prop_oneof![6 => 0..24_u8, 1 => 32..127_u8], 0..14),
    ) {
        passing::session(&query);
        passing::session(&[&[0, 1, 3, 2][..], &query].concat());
    }

    #[test]
    fn cookies_go_back_to_whom_they_belong(
        set in prop::collection::vec(prop_oneof![6 => 0..24_u8, 1 => 32..127_u8], 0..12),
        sent in prop::collection::vec(prop_oneof![6 => 0..24_u8, 1 => 32..127_u8], 0..12),
    ) {
        passing::cookies(&[&[0, 1, 6][..], &set].concat(), &sent);
        passing::cookies(&set, &[&[19][..], &sent].concat());
    }

    #[test]
    fn what_a_server_posts_is_read_or_refused(
        kind in any::<u8>(),
        bytes in prop::collection::vec(prop_oneof![6 => 0..32_u8, 1 => any::<u8>()], 0..14),
    ) {
        posted::webhook(&[&[0, 0], &bytes[..], &[3]].concat());
        posted::webhook(&[&[1, 8, 0, 1, 5], &bytes[..], &[2, 9]].concat());
        posted::webhook(&[&[kind], &bytes[..]].concat());
    }

    #[test]
    fn a_connection_begins_with_a_header_or_not(bytes in prop::collection::vec(prop_oneof![6 => 0..20_u8, 1 => any::<u8>()], 0..12)) {
        passing::proxy_header(&bytes);
        passing::proxy_header(&[&[0, 2, 6, 8, 6, 8, 9, 8, 9][..], &bytes].concat());
        passing::proxy_header(&[&[1, 13][..], &bytes].concat());
    }
}
