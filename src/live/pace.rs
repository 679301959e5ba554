//! [`Pace`]: what a server takes only so often in a second waits for its turn.
//!
//! Tenants take turns, and the meetings of a tenant do; within a meeting it is first come, first served. However many come to
//! one meeting, all others wait for one of them at a time.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    sync::oneshot,
    time::{Instant, sleep_until},
};

use super::lock::lock;
use crate::{
    domain::{
        denial::Denial,
        ids::{MeetingNumber, TenantId},
    },
    shares::Turns,
};

/// How many may wait for one server: after an outage all its clients come back at once.
const WAITING_MAX: usize = 8192;
/// How many of one tenant.
const TENANT_WAITING_MAX: usize = 2048;
/// How many of one meeting. At 40 in a second the last of them has waited for 25 s.
const MEETING_WAITING_MAX: usize = 1024;

/// Gives turns one by one. Who goes away while waiting takes none.
#[derive(Debug, Clone, Default)]
pub struct Pace(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    last: Option<Instant>,
    per_second: u32,
    waiting: Turns<TenantId, MeetingNumber, oneshot::Sender<()>>,
    /// Whether a task gives those who wait their turns.
    is_driven: bool,
}

impl Pace {
    /// Waits for a turn for a meeting of a tenant, of which there are so many in a second for all.
    ///
    /// # Errors
    /// [`Denial::Overloaded`], at once, where too many wait.
    pub async fn turn(&self, tenant: &TenantId, meeting: MeetingNumber, per_second: u32) -> Result<(), Denial> {
        let told = {
            let mut state = lock(&self.0);
            state.per_second = per_second.max(1);
            if !state.is_driven && state.next() <= Instant::now() {
                state.last = Some(Instant::now());
                return Ok(());
            }
            if state.is_full(tenant, meeting) {
                state.waiting.purge(oneshot::Sender::is_closed);
                if state.is_full(tenant, meeting) {
                    return Err(Denial::Overloaded);
                }
            }
            let (told, turn) = oneshot::channel();
            state.waiting.push(tenant, &meeting, told);
            if !state.is_driven {
                state.is_driven = true;
                tokio::spawn(drive(self.clone()));
            }
            turn
        };
        told.await.map_err(|_| Denial::Overloaded)
    }
}

impl State {
    /// When the next turn is.
    fn next(&self) -> Instant {
        let apart = Duration::from_secs(1) / self.per_second.max(1);
        self.last.map_or_else(Instant::now, |last| last + apart)
    }

    fn is_full(&self, tenant: &TenantId, meeting: MeetingNumber) -> bool {
        MEETING_WAITING_MAX <= self.waiting.len_of_both(tenant, &meeting)
            || TENANT_WAITING_MAX <= self.waiting.len_of(tenant)
            || WAITING_MAX <= self.waiting.len()
    }
}

/// When the task that gives turns ends early, waiting sockets are refused, and the next socket that waits starts a new task.
struct Driven<'a>(&'a Pace);

impl Drop for Driven<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.0.0);
        if state.is_driven {
            (state.is_driven, state.waiting) = (false, Turns::default());
        }
    }
}

/// Gives turns for as long as anybody waits.
async fn drive(pace: Pace) {
    let _driven = Driven(&pace);
    loop {
        let next = lock(&pace.0).next();
        sleep_until(next).await;
        let mut state = lock(&pace.0);
        loop {
            let Some((.., turn)) = state.waiting.take(|_, _, _| true, oneshot::Sender::is_closed) else {
                state.is_driven = false;
                return;
            };
            if turn.send(()).is_ok() {
                break;
            }
        }
        state.last = Some(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        task::JoinHandle,
        time::{sleep, timeout},
    };

    use super::*;

    fn tenant(name: &str) -> TenantId {
        name.parse().expect("an id")
    }

    type Given = Arc<std::sync::Mutex<Vec<u32>>>;

    fn wait(pace: &Pace, of: &str, meeting: i64, n: u32, given: &Given) -> JoinHandle<Result<(), Denial>> {
        let (pace, of, given) = (pace.clone(), tenant(of), Arc::clone(given));
        tokio::spawn(async move {
            pace.turn(&of, MeetingNumber::new(meeting), 40).await?;
            given.lock().expect("not poisoned").push(n);
            Ok(())
        })
    }

    #[tokio::test(start_paused = true)]
    async fn turns_are_given_in_order_and_not_too_often() {
        let (pace, heron) = (Pace::default(), tenant("heron"));
        let begun = Instant::now();
        pace.turn(&heron, MeetingNumber::new(1), 40).await.expect("a turn");
        assert_eq!(begun.elapsed(), Duration::ZERO, "nobody was before");
        let given = Given::default();
        let waiting: Vec<_> = (0..80).map(|n| wait(&pace, "heron", 1, n, &given)).collect();
        for turn in waiting {
            turn.await.expect("done").expect("a turn");
        }
        assert!(*given.lock().expect("not poisoned") == (0..80).collect::<Vec<_>>());
        let took = begun.elapsed();
        assert!((2000..2200).contains(&took.as_millis()), "{took:?}");
        // One who goes away takes nobody's turn.
        assert!(timeout(Duration::from_millis(10), pace.turn(&heron, MeetingNumber::new(1), 40)).await.is_err());
        let begun = Instant::now();
        pace.turn(&heron, MeetingNumber::new(1), 40).await.expect("a turn");
        assert!(begun.elapsed() <= Duration::from_millis(25));
    }

    #[tokio::test(start_paused = true)]
    async fn many_of_one_meeting_hold_nobody_else_up() {
        let (pace, given) = (Pace::default(), Given::default());
        let mut waiting: Vec<_> = (0..800).map(|n| wait(&pace, "heron", 1, n, &given)).collect();
        sleep(Duration::from_millis(1)).await;
        waiting.push(wait(&pace, "heron", 2, 1_000, &given));
        waiting.push(wait(&pace, "wagtail", 3, 2_000, &given));
        for turn in waiting {
            turn.await.expect("done").expect("a turn");
        }
        let given = given.lock().expect("not poisoned");
        for other in [1_000, 2_000] {
            let at = given.iter().position(|n| *n == other).expect("it had its turn");
            assert!(at <= 5, "{other} came after {at}");
        }
        assert_eq!(given.len(), 802);
    }

    #[tokio::test(start_paused = true)]
    async fn whatever_ends_the_task_that_gives_turns_the_next_gets_one() {
        let (pace, heron) = (Pace::default(), tenant("heron"));
        pace.turn(&heron, MeetingNumber::new(1), 1).await.expect("a turn");
        let (told, turn) = oneshot::channel();
        {
            let mut state = lock(&pace.0);
            state.waiting.push(&heron, &MeetingNumber::new(1), told);
            state.is_driven = true;
        }
        assert!(timeout(Duration::from_millis(10), drive(pace.clone())).await.is_err(), "it is cut off");
        assert!(turn.await.is_err(), "who waits comes again");
        assert_eq!(pace.turn(&heron, MeetingNumber::new(1), 1).await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn too_many_who_wait_are_told_so_at_once() {
        let (pace, given) = (Pace::default(), Given::default());
        let most = u32::try_from(MEETING_WAITING_MAX).expect("some");
        let waiting: Vec<_> = (0..=most).map(|n| wait(&pace, "heron", 1, n, &given)).collect();
        sleep(Duration::from_millis(1)).await;
        assert_eq!(
            timeout(Duration::from_millis(1), pace.turn(&tenant("heron"), MeetingNumber::new(1), 40)).await,
            Ok(Err(Denial::Overloaded))
        );
        waiting.iter().for_each(JoinHandle::abort);
        sleep(Duration::from_millis(1)).await;
        assert!(
            timeout(Duration::from_secs(1), pace.turn(&tenant("heron"), MeetingNumber::new(1), 40))
                .await
                .is_ok_and(|t| t.is_ok())
        );
    }
}
