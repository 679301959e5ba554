//! Reads `[mail]` of a tenant: what `anteroom domain check` looks at.

use super::{convert::Convert, keypath::KeyPath, raw};
use crate::domain::{host::Host, mail::MailFrom};

/// Each selector is one or two questions to DNS.
const SELECTORS_MAX: usize = 16;

/// Reads the table; `None` where its address is faulty.
pub(super) fn read(raw: raw::Mail, cx: &mut Convert<'_>) -> Option<MailFrom> {
    let path = KeyPath::from("mail");
    let selectors_key = path.key("dkim_selectors");
    let selectors = cx.list::<Host>(&selectors_key, &raw.dkim_selectors.unwrap_or_default());
    if SELECTORS_MAX < selectors.len() {
        cx.fault(&selectors_key, format!("must have at most {SELECTORS_MAX} selectors"));
    }
    let spf_include = raw.spf_include.and_then(|text| cx.parse::<Host>(&path.key("spf_include"), &text));
    let from = path.key("from");
    let domain = raw.from.and_then(|text| {
        let domain = match text.rsplit_once('@') {
            Some((local, domain)) if is_local_part(local) => domain.parse::<Host>().map_err(|error| error.to_string()),
            _ => Err("must be an address, such as \"noreply@wagtail.example\"".to_owned()),
        };
        cx.keep(&from, domain)
    })?;
    let dkim_selectors = selectors.into_iter().map(|selector| selector.value).collect();
    Some(MailFrom { domain, dkim_selectors, spf_include })
}

/// What is in front of the `@`: RFC 5321 without quotes.
fn is_local_part(text: &str) -> bool {
    let is_legal = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&b);
    (1..=64).contains(&text.len()) && text.bytes().all(is_legal)
}
