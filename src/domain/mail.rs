//! [`MailFrom`]: from where a tenant's frontend sends mail. The gateway sends none; it checks the records.

use super::host::Host;

/// What a tenant's file says about its mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailFrom {
    /// The domain of the sender's address.
    pub domain: Host,
    /// The DKIM selectors that the mail is signed with, such as `s1`.
    pub dkim_selectors: Vec<Host>,
    /// What its SPF record must include; `None` where nothing is known about the relay.
    pub spf_include: Option<Host>,
}
