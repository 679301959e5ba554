//! Small values for the unit tests of this crate.

use std::{sync::Arc, time::Duration};

use super::{
    ids::PolicyId,
    limits::{BODY, DOCUMENTS, Limit, Limits, Recording, WEBHOOKS, WebhookData},
    rules::Rules,
    secret::Secret,
    tenant::{ApiSecret, Credential, Policy, Server, Tenant, Upstream, Weight},
};

/// Limits of a small level: 2 accounts, 3 rooms, 4 participants, an hour.
pub(crate) fn limits() -> Limits {
    Limits {
        accounts: Limit::AtMost(2),
        rooms: Limit::AtMost(3),
        participants: Limit::AtMost(4),
        duration: Limit::AtMost(Duration::from_secs(3600)),
        recording: Recording::Never,
        own_domains: Limit::AtMost(0),
        branding: false,
        breakouts: false,
        room_retention: Duration::ZERO,
        duration_window: Duration::ZERO,
        documents: DOCUMENTS,
        body: BODY,
        webhooks: WEBHOOKS,
        webhook_data: WebhookData::default(),
    }
}

/// A tenant of that level, at `<id>.meet.example`, with the one secret `tenant-secret`.
pub(crate) fn tenant(id: &str) -> Tenant {
    let policy = Policy {
        id: "small".parse::<PolicyId>().expect("an id"),
        title: "Small".into(),
        pools: ["members".parse().expect("an id")].into(),
        limits: Arc::new(limits()),
        rules: Rules::shipped(),
    };
    Tenant {
        id: id.parse().expect("an id"),
        name: id.to_owned(),
        limits: Arc::clone(&policy.limits),
        rules: Rules::shipped(),
        branding: Arc::default(),
        pools: Arc::clone(&policy.pools),
        policy: Arc::new(policy),
        hosts: vec![format!("{id}.meet.example").parse().expect("a host")],
        credentials: vec![credential("main", &["tenant-secret"])],
        account_param: None,
        frontend: None,
        embedded_by: Vec::new(),
        hsts: None,
        certificate_key: None,
        mail: None,
        uncovered_forms: true,
        suspended: false,
    }
}

/// A credential with these secrets, all of them good for ever.
pub(crate) fn credential(name: &str, secrets: &[&str]) -> Credential {
    let secret = |(n, text): (usize, &&str)| ApiSecret {
        secret: Secret::new(*text),
        label: format!("{name}/{}", n + 1).into(),
        not_after: None,
    };
    Credential { name: name.into(), secrets: secrets.iter().enumerate().map(secret).collect() }
}

/// A server of a pool, at `<id>.internal.test`.
pub(crate) fn server(id: &str, pool: &str) -> Server {
    let authority: http::uri::Authority = format!("{id}.internal.test").parse().expect("legal");
    Server {
        id: id.parse().expect("an id"),
        slug: format!("slug-{id}").parse().expect("an id"),
        upstream: Upstream { scheme: http::uri::Scheme::HTTPS, authority: authority.clone() },
        names: vec![authority],
        secret: Secret::new("server-secret"),
        pool: pool.parse().expect("an id"),
        weight: Weight::ONE,
        meetings_max: Limit::Unlimited,
        rewrites_frames: true,
        sockets_per_second: 40,
        is_meteor: false,
    }
}
