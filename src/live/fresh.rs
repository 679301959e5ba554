//! [`Fresh`]: an answer that is asked for once at a time and kept for a moment.
//!
//! However many ask, one question goes out; the others wait for its answer, be it a failure. An answer counts only if it
//! was asked for after the last change that is known, so that what somebody has just done is seen at once.

use std::{
    future::Future,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use tokio::{sync::Mutex, time::Instant};

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// A moment, in us since the first one was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// Now.
    #[must_use]
    pub fn now() -> Self {
        // The first moment is 1: 0 is before all of them.
        Self(u64::try_from(START.elapsed().as_micros()).unwrap_or(u64::MAX).saturating_add(1))
    }

    /// How long ago that was.
    #[must_use]
    pub fn age(self) -> Duration {
        Duration::from_micros(Self::now().0.saturating_sub(self.0))
    }
}

/// When something was changed the last time.
#[derive(Debug, Default)]
pub struct Touched(AtomicU64);

impl Touched {
    /// It changes now.
    pub fn touch(&self) {
        self.0.fetch_max(Moment::now().0, Relaxed);
    }

    /// The last change.
    pub fn at(&self) -> Moment {
        Moment(self.0.load(Relaxed))
    }
}

/// An answer with the moment at which it was asked for.
#[derive(Debug)]
pub struct Held<T, E> {
    /// When the question went out: the answer is at least as new.
    pub asked: Moment,
    /// What came back.
    pub answer: Result<T, E>,
}

/// A place for one answer.
#[derive(Debug)]
pub struct Fresh<T, E> {
    held: ArcSwapOption<Held<T, E>>,
    /// The last one that was no failure.
    good: ArcSwapOption<Held<T, E>>,
    /// Held while a question is out: tokio's, since that takes its time.
    turn: Mutex<()>,
}

impl<T, E> Default for Fresh<T, E> {
    fn default() -> Self {
        Self { held: ArcSwapOption::empty(), good: ArcSwapOption::empty(), turn: Mutex::default() }
    }
}

impl<T, E> Fresh<T, E> {
    /// The answer that is held, if it is not older than `max_age` and newer than `changed`; else a new one.
    ///
    /// Whoever waits for another's question takes its answer if the change was before it went out.
    pub async fn get<F>(&self, changed: Moment, max_age: Duration, ask: impl FnOnce() -> F) -> Arc<Held<T, E>>
    where
        F: Future<Output = Result<T, E>>,
    {
        match self.usable(changed, max_age) {
            Some(held) => held,
            // Boxed: whoever finds an answer is not to have room for a question.
            None => Box::pin(self.renew(changed, max_age, ask)).await,
        }
    }

    async fn renew<F>(&self, changed: Moment, max_age: Duration, ask: impl FnOnce() -> F) -> Arc<Held<T, E>>
    where
        F: Future<Output = Result<T, E>>,
    {
        let waiting_since = Moment::now();
        let _turn = self.turn.lock().await;
        // What was asked while this waited is new, however long the answer took.
        if let Some(held) = self.held.load_full()
            && held.asked > changed
            && (held.asked >= waiting_since || held.asked.age() <= max_age)
        {
            return held;
        }
        let asked = Moment::now();
        let held = Arc::new(Held { asked, answer: ask().await });
        if held.answer.is_ok() {
            self.good.store(Some(Arc::clone(&held)));
        }
        self.held.store(Some(Arc::clone(&held)));
        held
    }

    /// The last answer that was no failure, however old it is.
    pub fn last(&self) -> Option<Arc<Held<T, E>>> {
        self.good.load_full()
    }

    /// The answer that is held, if it counts: nothing is asked, and nothing waited for.
    pub fn usable(&self, changed: Moment, max_age: Duration) -> Option<Arc<Held<T, E>>> {
        self.held.load_full().filter(|held| held.asked > changed && held.asked.age() <= max_age)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use futures_util::future::join_all;

    use super::*;

    const AGE: Duration = Duration::from_secs(2);

    async fn question(asked: &AtomicU32) -> Result<u32, ()> {
        let n = asked.fetch_add(1, Relaxed) + 1;
        tokio::time::sleep(Duration::from_millis(100)).await;
        if n == 3 { Err(()) } else { Ok(n) }
    }

    #[tokio::test(start_paused = true)]
    async fn one_question_answers_all_who_ask_until_it_is_old_or_something_changes() {
        let (fresh, asked, touched) = (Fresh::default(), AtomicU32::new(0), Touched::default());
        let all = async || {
            let answers = (0..10).map(|_| fresh.get(touched.at(), AGE, || question(&asked)));
            join_all(answers).await.iter().map(|held| held.answer).collect::<Vec<_>>()
        };
        assert_eq!(all().await, vec![Ok(1); 10]);
        tokio::time::sleep(AGE / 2).await;
        assert_eq!(all().await, vec![Ok(1); 10], "kept for a moment");
        tokio::time::sleep(AGE).await;
        assert_eq!(all().await, vec![Ok(2); 10], "and no longer");
        tokio::time::sleep(Duration::from_millis(1)).await;
        touched.touch();
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(all().await, vec![Err(()); 10], "a change is seen at once, and a failure is an answer too");
        assert_eq!(fresh.last().map(|held| held.answer), Some(Ok(2)), "what was known before stays known");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_was_asked_for_before_a_change_does_not_count() {
        let (fresh, asked, touched) = (Fresh::default(), AtomicU32::new(0), Touched::default());
        let early = fresh.get(touched.at(), AGE, || question(&asked));
        let late = async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            touched.touch();
            tokio::time::sleep(Duration::from_millis(1)).await;
            fresh.get(touched.at(), AGE, || question(&asked)).await
        };
        let (early, late) = tokio::join!(early, late);
        assert_eq!((early.answer, late.answer), (Ok(1), Ok(2)));
    }
}
