//! [`order`]: from names to a certificate, or from where another attempt was left.
//!
//! What counts is the state of an order at the CA: after a call that failed, it is looked at before the order counts as failed,
//! since the answer may have been lost after the CA had done what it was asked for.

use std::time::Duration;

use instant_acme::{CertificateIdentifier, Error, Identifier, NewOrder, Order, OrderStatus};
use tokio::time::{Instant, sleep};

use super::{
    Account, Client, Issued, Kind, Progress, Wanted, Work,
    answers::Seen,
    certificate::{self, Key},
    failure::{Asked, Failure, FailureKind},
    proof,
    tries::tried,
};
use crate::tls::certs::CertName;

/// Names of one order; CAs allow 20 to 100.
const NAMES_MAX: usize = 100;
/// Between two looks at an order: from the first to the second.
const LOOK_FIRST: Duration = Duration::from_millis(200);
const LOOK_MAX: Duration = Duration::from_secs(5);
/// A CA that asks for longer waits between looks is looked at nevertheless.
const LOOK_AFTER_MAX: Duration = Duration::from_secs(30);

/// One order.
pub(super) struct Ordering<'a, W> {
    pub(super) client: &'a Client,
    pub(super) account: &'a Account,
    pub(super) wanted: &'a Wanted<'a>,
    pub(super) work: &'a W,
    names: Vec<String>,
}

/// Orders a certificate; begins with the order that is to be resumed, if there is one.
pub(super) async fn order<W: Work>(
    client: &Client,
    account: &Account,
    wanted: &Wanted<'_>,
    work: &W,
) -> Result<Issued, Failure> {
    let names = names_of(wanted)?;
    let ordering = Ordering { client, account, wanted, work, names };
    if let Some(progress) = &wanted.resume
        && let Some(issued) = ordering.resume(progress).await?
    {
        return Ok(issued);
    }
    let (mut order, warnings) = ordering.begin().await?;
    proof::prove(&ordering, &mut order).await?;
    let key = Key::generate(wanted.key).await?;
    let progress = Progress { order: order.url().to_owned(), key: key.to_bytes() };
    work.save(&progress).await.map_err(|why| Failure::local("the order cannot be kept", &why))?;
    match ordering.finish(&mut order, &key).await {
        Ok(issued) => Ok(Issued { warnings, ..issued }),
        // It gets as much time once more when it is resumed.
        Err(failure) => {
            Err(Failure { ends_order: failure.ends_order && failure.kind != FailureKind::Unreachable, ..failure })
        }
    }
}

/// The names as they are asked for: in lower case and without a dot at the end, which `Host` sees to, and each once.
fn names_of(wanted: &Wanted<'_>) -> Result<Vec<String>, Failure> {
    let local = |text: String| Err(Failure::new(FailureKind::Local, text));
    let mut names: Vec<String> = Vec::new();
    for name in wanted.names {
        if matches!(name, CertName::Below(_)) && wanted.challenge != Kind::Dns01 {
            return local(format!("{name} needs dns-01: no CA takes {} for a wildcard", wanted.challenge.as_str()));
        }
        let name = name.to_string();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    match names.len() {
        0 => local("an order needs a name".into()),
        1..=NAMES_MAX => Ok(names),
        many => local(format!("{many} names are too many for one order, which may have {NAMES_MAX}")),
    }
}

impl<W: Work> Ordering<'_, W> {
    /// Finishes an order that was begun before. `None` where that leads nowhere, so that a new one is to be begun.
    async fn resume(&self, progress: &Progress) -> Result<Option<Issued>, Failure> {
        let Ok(key) = Key::read(&progress.key) else { return Ok(None) };
        let url = || progress.order.clone();
        let fetched = tried!(self.client.limits, Asked::Order, self.account.inner.order(url()));
        let finished = match fetched {
            Ok((mut order, _)) => match order.state().status {
                OrderStatus::Pending | OrderStatus::Invalid => return Ok(None),
                OrderStatus::Ready | OrderStatus::Processing | OrderStatus::Valid => {
                    self.finish(&mut order, &key).await
                }
            },
            Err(failure) => Err(failure),
        };
        match finished {
            Ok(issued) => Ok(Some(issued)),
            Err(failure) if failure.is_unknown_account() => Err(failure),
            Err(failure) => match failure.kind {
                FailureKind::RateLimited | FailureKind::Name | FailureKind::Policy => Err(failure),
                // It was asked for as long as any other, and the CA did not finish it.
                FailureKind::Unreachable if !failure.ends_order => Err(failure),
                FailureKind::Unreachable | FailureKind::Refused | FailureKind::Account | FailureKind::Local => Ok(None),
            },
        }
    }

    /// Begins a new order; returns it with what the operator should know.
    async fn begin(&self) -> Result<(Order, Vec<String>), Failure> {
        let directory = self.client.directory().await?;
        let identifiers: Vec<_> = self.names.iter().cloned().map(Identifier::Dns).collect();
        let (mut profile, mut warnings) = (self.client.ca().profile.as_deref(), Vec::new());
        // Most CAs ignore a profile that they do not have, without a word.
        if let Some(unknown) = profile.filter(|name| !directory.meta.profiles.contains_key(*name)) {
            let known: Vec<_> = directory.meta.profiles.keys().map(String::as_str).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            warnings.push(format!("the CA has no profile {unknown:?}, so the order is without; it has: {known}"));
            profile = None;
        }
        let replaced = self.wanted.replaces.filter(|_| directory.renewal_info.is_some());
        let leaf = replaced.and_then(|chain| certificate::leaf(chain).ok());
        let replaces = leaf.as_ref().and_then(|leaf| CertificateIdentifier::try_from(leaf).ok());
        let new = |replaces: Option<CertificateIdentifier<'static>>| {
            let order = NewOrder::new(&identifiers);
            let order = profile.map_or_else(|| NewOrder::new(&identifiers), |name| order.profile(name));
            match replaces {
                Some(id) => order.replaces(id),
                None => order,
            }
        };
        if let Some(id) = replaces.map(CertificateIdentifier::into_owned) {
            match self.place(&new(Some(id)), true).await {
                Ok(order) => return Ok((order, warnings)),
                // It knows the replaced certificate not (any more), or answers in its own way: the order alone may be good.
                Err(Failure { kind: FailureKind::Refused | FailureKind::Policy | FailureKind::Name, .. }) => {}
                Err(failure) => return Err(failure),
            }
        }
        Ok((self.place(&new(None), false).await?, warnings))
    }

    async fn place(&self, new: &NewOrder<'_>, replaces: bool) -> Result<Order, Failure> {
        self.work.begin(replaces).await?;
        match tried!(self.client.limits, Asked::Order, self.account.inner.new_order(new)) {
            Ok((order, _)) => Ok(order),
            Err(failure) => {
                self.work.not_begun().await;
                Err(failure)
            }
        }
    }

    /// From an order that is proved to its certificate.
    async fn finish(&self, order: &mut Order, key: &Key) -> Result<Issued, Failure> {
        let request = key.request(&self.names)?;
        let mut waits = Waits::new(self.client.limits.order);
        let (mut asked_for, mut refusal) = (false, None::<Failure>);
        loop {
            let status = order.state().status;
            match (status, refusal.take()) {
                (OrderStatus::Valid, _) => break,
                (OrderStatus::Ready, None) => {
                    if asked_for && !waits.wait().await {
                        return Err(waits.over());
                    }
                    asked_for = true;
                    let asked = tried!(self.client.limits, Asked::Certificate, order.finalize_csr(&request));
                    match asked {
                        Ok(_) => continue,
                        Err(failure) => refusal = Some(failure),
                    }
                }
                // Refused, but it can be asked for again.
                (OrderStatus::Ready, Some(refused)) => return Err(refused),
                (OrderStatus::Invalid | OrderStatus::Pending, refused) => {
                    let told = self.invalid(order);
                    return Err(refused.unwrap_or(told).ending_order());
                }
                // Some CAs leave it so for ever. The first request may have been taken, and its answer lost.
                (OrderStatus::Processing, Some(refused)) if refused.problem != "orderNotReady" => {
                    return Err(refused.ending_order());
                }
                (OrderStatus::Processing, _) => {
                    if !waits.wait().await {
                        return Err(waits.over());
                    }
                }
            }
            waits.said = self.refresh(order).await?.retry_after;
        }
        let (pem, _) = tried!(self.client.limits, Asked::Certificate, order.certificate())?;
        let pem = pem.ok_or_else(|| Failure::new(FailureKind::Refused, "the CA does not give the certificate"))?;
        key.accept(&self.names, &pem).map_err(Failure::ending_order)
    }

    /// Asks for the state of an order.
    pub(super) async fn refresh(&self, order: &mut Order) -> Result<Seen, Failure> {
        let asked = tried!(self.client.limits, Asked::Order, refreshed(order));
        asked.map(|((), seen)| seen)
    }

    /// Why an order is not valid (any more).
    pub(super) fn invalid(&self, order: &mut Order) -> Failure {
        match &order.state().error {
            Some(problem) => Failure::of_problem(Asked::Proof, problem, Seen::default()),
            None => Failure::new(FailureKind::Refused, "the CA has given up the order without a reason"),
        }
    }
}

async fn refreshed(order: &mut Order) -> Result<(), Error> {
    order.refresh().await.map(drop)
}

/// The waits between looks at an order: longer each time, as the CA says, and in all no longer than the limit. After the last wait
/// comes one more look.
pub(super) struct Waits {
    pub(super) limit: Duration,
    /// What the CA has said at the last look.
    pub(super) said: Option<Duration>,
    until: Instant,
    next: Duration,
}

impl Waits {
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, said: None, until: Instant::now() + limit, next: LOOK_FIRST }
    }

    /// That the CA has not issued in time.
    fn over(&self) -> Failure {
        let text = format!("the CA has not issued within {} s", self.limit.as_secs());
        Failure::new(FailureKind::Unreachable, text).ending_order()
    }

    /// Waits for the next look; whether there is to be one.
    pub(super) async fn wait(&mut self) -> bool {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        let wait = self.said.take().map_or(self.next, |said| said.min(LOOK_AFTER_MAX));
        self.next = (self.next * 8 / 5).min(LOOK_MAX);
        sleep(wait.max(LOOK_FIRST).min(left)).await;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted<'a>(names: &'a [CertName], challenge: Kind) -> Wanted<'a> {
        Wanted { names, key: Default::default(), challenge, replaces: None, resume: None }
    }

    #[test]
    fn names_are_asked_for_in_lower_case_without_a_dot_and_once() {
        let names = ["A.Example", "a.example.", "b.example", "*.a.example"];
        let names: Vec<CertName> = names.iter().map(|name| name.parse().expect("a name")).collect();
        let asked = names_of(&wanted(&names, Kind::Dns01));
        assert_eq!(asked, Ok(vec!["a.example".to_owned(), "b.example".into(), "*.a.example".into()]));
        for (names, kind, text) in [
            (&names[..0], Kind::Http01, "an order needs a name"),
            (&names[3..], Kind::Http01, "*.a.example needs dns-01: no CA takes http-01 for a wildcard"),
        ] {
            let failure = names_of(&wanted(names, kind)).expect_err(text);
            assert_eq!((failure.kind, failure.text.as_str()), (FailureKind::Local, text));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_look_comes_at_the_end_of_the_time() {
        let begun = Instant::now();
        let mut waits = Waits::new(Duration::from_secs(60));
        let mut looks = 0;
        while waits.wait().await {
            waits.said = (looks == 3).then(|| Duration::from_secs(3600));
            looks += 1;
        }
        assert_eq!(begun.elapsed().as_secs(), 60, "no look is later, and the last is there");
        assert!((6..30).contains(&looks), "{looks}");
    }
}
