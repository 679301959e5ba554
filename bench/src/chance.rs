//! Chance that can be had again: a generator whose whole state is a seed, which seeds a test plays, and what it tells of
//! one that fails.

use std::{env, thread};

/// Numbers as if by chance: SplitMix64, the same ones for the same seed.
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// The numbers of a seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `n`, which is not 0.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// Whether something happens that does so once in `n` times.
    pub fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// One of these; `None` where there are none.
    pub fn one_of<T>(&mut self, these: impl IntoIterator<Item = T>) -> Option<T> {
        let mut these: Vec<T> = these.into_iter().collect();
        let n = u64::try_from(these.len()).unwrap_or(u64::MAX);
        let at = if n == 0 { return None } else { self.below(n) };
        Some(these.swap_remove(usize::try_from(at).unwrap_or(0)))
    }
}

/// The seeds that a test plays, and for how many steps each: as it says itself, unless the environment says otherwise.
/// `ANTEROOM_MODEL_SEED` is one seed, `ANTEROOM_MODEL_SEEDS` how many, `ANTEROOM_MODEL_STEPS` the steps.
#[must_use]
pub fn plays(seeds: u64, steps: u64) -> Vec<(u64, u64)> {
    let number = |name: &str| env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let steps = number("ANTEROOM_MODEL_STEPS").unwrap_or(steps);
    match number("ANTEROOM_MODEL_SEED") {
        Some(seed) => vec![(seed, steps)],
        None => (1..=number("ANTEROOM_MODEL_SEEDS").unwrap_or(seeds)).map(|seed| (seed, steps)).collect(),
    }
}

/// What is told of a play that fails at the most: its last steps.
const TOLD_MAX: usize = 80;

/// What has happened in a play so far. Told when the test fails, with what it takes to play it again.
#[derive(Debug)]
pub struct Story {
    title: String,
    seed: u64,
    steps: u64,
    told: Vec<String>,
}

impl Story {
    /// The beginning of one.
    #[must_use]
    pub fn begin(title: &str, (seed, steps): (u64, u64)) -> Self {
        Self { title: title.to_owned(), seed, steps, told: Vec::new() }
    }

    /// What happens next.
    pub fn tell(&mut self, what: String) {
        self.told.push(what);
    }
}

impl Drop for Story {
    fn drop(&mut self) {
        if !thread::panicking() {
            return;
        }
        let Self { title, seed, steps, told } = self;
        let from = told.len().saturating_sub(TOLD_MAX);
        eprintln!("{title}, step {} of {steps}:\n  {}", told.len(), told[from..].join("\n  "));
        eprintln!("to play it again: ANTEROOM_MODEL_SEED={seed} ANTEROOM_MODEL_STEPS={steps}");
    }
}
