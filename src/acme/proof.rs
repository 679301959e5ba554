//! [`prove`]: the challenges of an order, from the first to the CA's verdict on all.
//!
//! A check that failed shows in the authorization; the order of some CAs stays pending for ever. Names that the CA has checked
//! before need nothing.

use instant_acme::{AuthorizationStatus, ChallengeStatus, ChallengeType, Error, Order, OrderStatus, Problem};

use super::{
    Work,
    answers::Seen,
    challenge::{Kind, Shown, is_token},
    failure::{Asked, Failure, FailureKind, printable},
    order::{Ordering, Waits},
    tries::tried,
};

/// What the CA says of one name.
struct Name {
    name: String,
    status: AuthorizationStatus,
    /// The challenge of the wanted kind: its token, and whether it waits for us.
    challenge: Option<(String, bool)>,
    /// The kinds that are offered.
    offered: Vec<String>,
    /// Whether a challenge has failed for good.
    is_refuted: bool,
    error: Option<Problem>,
}

/// Proves that the names of an order are ours. What is shown for it is hidden when this returns.
pub(super) async fn prove<W: Work>(ordering: &Ordering<'_, W>, order: &mut Order) -> Result<(), Failure> {
    if order.state().status != OrderStatus::Pending {
        return Ok(());
    }
    let mut shown = Vec::new();
    let proved = show_and_wait(ordering, order, &mut shown).await;
    for challenge in &shown {
        ordering.work.hide(challenge).await;
    }
    proved
}

async fn show_and_wait<W: Work>(
    ordering: &Ordering<'_, W>,
    order: &mut Order,
    shown: &mut Vec<Shown>,
) -> Result<(), Failure> {
    let names = look(ordering, order).await?;
    let mut open = Vec::new();
    for (nth, name) in names.iter().enumerate() {
        match name.status {
            AuthorizationStatus::Valid => continue,
            AuthorizationStatus::Pending => {}
            _ => return Err(name.failure()),
        }
        let (challenge, waits) = challenge_of(ordering, name)?;
        // Noted first: what is half shown is hidden, too.
        shown.push(challenge.clone());
        let done = ordering.work.show(&challenge).await;
        done.map_err(|why| Failure::local("the answer to the challenge cannot be shown", &why))?;
        if waits {
            open.push(nth);
        }
    }
    // All of them are shown before the first is looked at: a name and its wildcard share a TXT record.
    let mut refusal = None;
    for nth in open {
        match ready(ordering, order, nth).await {
            Ok(()) => {}
            Err(failure) if matches!(failure.kind, FailureKind::Name | FailureKind::Policy | FailureKind::Refused) => {
                refusal.get_or_insert(failure);
            }
            Err(failure) => return Err(failure),
        }
    }
    wait(ordering, order, refusal).await
}

/// Looks until the CA has checked all names.
async fn wait<W: Work>(
    ordering: &Ordering<'_, W>,
    order: &mut Order,
    mut refusal: Option<Failure>,
) -> Result<(), Failure> {
    let mut waits = Waits::new(ordering.client.limits.order);
    loop {
        waits.said = ordering.refresh(order).await?.retry_after;
        match order.state().status {
            OrderStatus::Ready | OrderStatus::Processing | OrderStatus::Valid => return Ok(()),
            OrderStatus::Pending | OrderStatus::Invalid => {}
        }
        let is_over = order.state().status == OrderStatus::Invalid;
        let names = look(ordering, order).await;
        let failed = names.as_ref().ok().and_then(|names| names.iter().find(|name| name.is_lost()).map(Name::failure));
        if let Some(failure) = failed {
            return Err(failure);
        }
        if is_over {
            return Err(ordering.invalid(order));
        }
        // The CA did not take the answer, and the name has not become valid in spite of that.
        let is_open = names?.iter().any(|name| name.status == AuthorizationStatus::Pending);
        if let Some(refused) = refusal.take().filter(|_| is_open) {
            return Err(refused);
        }
        if !waits.wait().await {
            let text = format!("the CA has not checked the name within {} s", waits.limit.as_secs());
            return Err(Failure::new(FailureKind::Unreachable, text));
        }
    }
}

/// What the CA says of each name of an order.
async fn look<W: Work>(ordering: &Ordering<'_, W>, order: &mut Order) -> Result<Vec<Name>, Failure> {
    let kind = ordering.wanted.challenge;
    tried!(ordering.client.limits, Asked::Order, look_once(kind, order)).map(|(names, _)| names)
}

/// The same; what was fetched before an error stays fetched.
async fn look_once(kind: Kind, order: &mut Order) -> Result<Vec<Name>, Error> {
    let mut names = Vec::new();
    let mut all = order.authorizations();
    while let Some(found) = all.next().await {
        let found = found?;
        let challenge = found.challenges.iter().find(|challenge| kind.is(&challenge.r#type));
        names.push(Name {
            name: found.identifier().to_string(),
            status: found.status,
            challenge: challenge
                .map(|challenge| (challenge.token.clone(), challenge.status == ChallengeStatus::Pending)),
            offered: found.challenges.iter().map(|challenge| kind_of(&challenge.r#type)).collect(),
            is_refuted: found.challenges.iter().any(|challenge| challenge.status == ChallengeStatus::Invalid),
            error: found.challenges.iter().find_map(|challenge| challenge.error.clone()),
        });
    }
    Ok(names)
}

/// Tells the CA that the challenge of a name can be checked.
async fn ready<W: Work>(ordering: &Ordering<'_, W>, order: &mut Order, nth: usize) -> Result<(), Failure> {
    let kind = ordering.wanted.challenge.of_crate();
    tried!(ordering.client.limits, Asked::Proof, ready_once(&kind, order, nth)).map(|_| ())
}

async fn ready_once(kind: &ChallengeType, order: &mut Order, nth: usize) -> Result<(), Error> {
    let mut all = order.authorizations();
    let mut at = 0;
    while let Some(found) = all.next().await {
        let mut found = found?;
        if at == nth {
            let challenge = found.challenge(kind.clone());
            return match challenge {
                Some(mut challenge) => challenge.set_ready().await,
                None => Ok(()),
            };
        }
        at += 1;
    }
    Ok(())
}

/// The challenge of the wanted kind, and whether it waits for us.
fn challenge_of<W: Work>(ordering: &Ordering<'_, W>, name: &Name) -> Result<(Shown, bool), Failure> {
    let kind = ordering.wanted.challenge;
    let refused = |text: String| Failure::new(FailureKind::Refused, text);
    let Some((token, waits)) = &name.challenge else {
        let offered = printable(&name.offered.join(", "));
        let (kind, name) = (kind.as_str(), printable(&name.name));
        return Err(refused(format!("the CA does not offer {kind} for {name}; it offers: {offered}")));
    };
    let key_authorization = ordering.account.key.key_authorization(token);
    let key_authorization = key_authorization.filter(|_| is_token(token));
    let key_authorization = key_authorization.ok_or_else(|| refused("the CA's token is none".into()))?;
    let host = name.name.strip_prefix("*.").unwrap_or(&name.name).parse();
    let host = host.map_err(|_| refused(format!("the CA asks for a name that is none: {}", printable(&name.name))))?;
    Ok((Shown { kind, name: host, token: token.clone(), key_authorization }, *waits))
}

fn kind_of(theirs: &ChallengeType) -> String {
    use ChallengeType as T;
    match theirs {
        T::Http01 => "http-01".into(),
        T::Dns01 => "dns-01".into(),
        T::TlsAlpn01 => "tls-alpn-01".into(),
        T::Unknown(name) => name.clone(),
        _ => "another kind".into(),
    }
}

impl Name {
    /// Whether the CA has decided against it.
    fn is_lost(&self) -> bool {
        match self.status {
            AuthorizationStatus::Valid => false,
            // An error alone is none: the CA may try again (RFC 8555, 8.2).
            AuthorizationStatus::Pending => self.is_refuted,
            _ => true,
        }
    }

    /// In the CA's words.
    fn failure(&self) -> Failure {
        match &self.error {
            Some(problem) => Failure::of_problem(Asked::Proof, problem, Seen::default()),
            None => {
                let name = printable(&self.name);
                Failure::new(FailureKind::Name, format!("the CA's check of {name} failed; it does not say why"))
            }
        }
    }
}
