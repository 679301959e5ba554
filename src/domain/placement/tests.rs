use super::{
    Sight::{Lagging, Whole},
    *,
};
use crate::domain::{fixtures::server, tenant::Weight, time::Timestamp};

fn candidate(id: &str, weight: f64, people: u32) -> Candidate {
    let weight = Weight::new(weight).expect("a weight");
    Candidate { server: Arc::new(Server { weight, ..server(id, "members") }), people, takes: true }
}

/// How often each of the servers is chosen, of a hundred chances spread evenly.
fn chosen(pool: &[Candidate], sight: Sight) -> Vec<usize> {
    let mut counts = vec![0; pool.len()];
    for n in 0..100 {
        let server = choose(pool, &[], sight, u32::MAX / 200 * (2 * n + 1)).expect("one takes it");
        let nth = pool.iter().position(|candidate| candidate.server.id == server.id).expect("it is of the pool");
        counts[nth] += 1;
    }
    counts
}

#[test]
fn the_least_loaded_server_that_takes_meetings_is_chosen() {
    let closed = Candidate { takes: false, ..candidate("c", 1.0, 0) };
    let pool = [candidate("a", 1.0, 30), candidate("b", 1.0, 10), closed];
    let chosen = |tried: &[&str]| {
        let tried: Vec<_> = tried.iter().map(|id| id.parse().expect("an id")).collect();
        choose(&pool, &tried, Whole, 0).map(|s| s.id.to_string())
    };
    assert_eq!(chosen(&[]).as_deref(), Some("b"));
    assert_eq!(chosen(&["b"]).as_deref(), Some("a"), "the next one after a failed try");
    assert_eq!(chosen(&["a", "b"]), None, "a server that takes none is not chosen");
    assert!(choose(&[], &[], Lagging, 0).is_none());
}

#[test]
fn a_tie_is_broken_by_chance_and_weight() {
    let pool = [candidate("a", 1.0, 10), candidate("b", 1.0, 10), candidate("c", 2.0, 20), candidate("d", 1.0, 11)];
    assert_eq!(chosen(&pool, Whole), [25, 25, 50, 0]);
}

#[test]
fn a_gateway_with_others_beside_it_leaves_the_fuller_servers_their_share() {
    // 101 people fill 20, 0 and 0 up to a level of 40.33; the last one is above it.
    let pool = [candidate("a", 1.0, 20), candidate("b", 1.0, 0), candidate("c", 1.0, 0), candidate("d", 1.0, 41)];
    assert_eq!(chosen(&pool, Whole), [0, 50, 50, 0]);
    assert_eq!(chosen(&pool, Lagging), [20, 40, 40, 0]);
}

#[test]
fn a_meeting_is_expected_to_have_as_many_people_as_was_said_but_not_more_than_seats() {
    use Limit::{AtMost, Unlimited};
    for (hint, seats, people) in [
        (None, Unlimited, EXPECTED),
        (None, AtMost(5), 5),
        (None, AtMost(50), EXPECTED),
        (Some(3), AtMost(50), 3),
        (Some(50), AtMost(50), 50),
        (Some(51), AtMost(50), 50),
        (Some(u32::MAX), Unlimited, EXPECTED_MAX),
    ] {
        assert_eq!(expected(hint, seats), people, "{hint:?}, {seats:?}");
    }
}

#[test]
fn what_is_expected_of_a_meeting_turns_into_what_is_true_of_it() {
    let minutes = |n: i64| n * 60_000;
    for (people, expected, age, weight) in [
        (0, 10, 0, 10),
        (0, 10, -1, 10), // another clock
        (4, 10, 0, 10),
        (0, 30, minutes(5), 20),
        (15, 30, minutes(5), 25),
        (0, 10, minutes(15) - 1, 1),
        (0, 10, minutes(15), 1),
        (7, 100, minutes(15), 7),
        (25, 10, 0, 25),
        (25, 10, minutes(60), 25),
        (0, 0, 0, 1),
    ] {
        let age_of = Timestamp::from_ms(age).saturating_duration_since(Timestamp::EPOCH);
        assert_eq!(weigh(people, expected, age_of), weight, "{people} of {expected} after {age} ms");
    }
}

/// A full hour: several gateways place a burst of meetings on the same servers, and each hears of what the others do
/// only when so many more meetings have been placed.
struct FullHour {
    gateways: usize,
    lag: usize,
    weights: &'static [f64],
    people: &'static [u32],
}

const BURST: usize = 200;

impl FullHour {
    /// How far apart the loads of the servers are in the end.
    fn spread(&self, sight: Sight, seed: u64) -> f64 {
        let mut dice = Dice(seed);
        let servers = || self.weights.iter().zip(self.people).enumerate();
        let truth: Vec<_> =
            servers().map(|(n, (weight, people))| candidate(&n.to_string(), *weight, *people)).collect();
        let mut views = vec![truth.clone(); self.gateways];
        let mut placed: Vec<(usize, usize)> = Vec::new();
        for n in 0..BURST {
            if let Some((by, on)) = n.checked_sub(self.lag).map(|heard| placed[heard]) {
                let others = views.iter_mut().enumerate().filter(|(gateway, _)| *gateway != by);
                others.for_each(|(_, view)| view[on].people += EXPECTED);
            }
            let gateway = dice.roll() as usize % self.gateways;
            let server = choose(&views[gateway], &[], sight, dice.roll()).expect("all take meetings");
            let on = truth.iter().position(|candidate| candidate.server.id == server.id).expect("it is there");
            views[gateway][on].people += EXPECTED;
            placed.push((gateway, on));
        }
        let loads = truth.iter().enumerate().map(|(nth, server)| {
            let new = placed.iter().filter(|(_, on)| *on == nth).count() as f64 * f64::from(EXPECTED);
            (f64::from(server.people) + new) / server.weight()
        });
        let (least, most) = loads.fold((f64::MAX, f64::MIN), |(least, most), load| (load.min(least), load.max(most)));
        most - least
    }

    fn mean_and_worst(&self, sight: Sight) -> (f64, f64) {
        let spreads: Vec<f64> = (0..100).map(|seed| self.spread(sight, seed)).collect();
        (spreads.iter().sum::<f64>() / 100.0, spreads.iter().copied().fold(0.0, f64::max))
    }
}

/// SplitMix64: the same numbers in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 32) as u32
    }
}

#[test]
fn one_gateway_spreads_a_burst_to_within_one_meeting() {
    for (weights, people) in [
        (&[1.0, 1.0, 1.0, 1.0][..], &[0, 0, 0, 0][..]),
        (&[1.0, 1.0, 2.0, 4.0], &[0, 0, 0, 0]),
        (&[1.0, 1.0, 2.0, 4.0], &[100, 100, 0, 400]),
    ] {
        let hour = FullHour { gateways: 1, lag: BURST, weights, people };
        let (_, worst) = hour.mean_and_worst(Whole);
        assert!(worst <= f64::from(EXPECTED), "{weights:?}: {worst}");
    }
}

#[test]
fn several_gateways_that_hear_of_each_other_late_do_not_run_to_the_same_server() {
    for (name, weights, people) in [
        ("servers of one size", &[1.0, 1.0, 1.0, 1.0][..], &[0, 0, 0, 0][..]),
        ("servers of three sizes", &[1.0, 1.0, 2.0, 4.0], &[0, 0, 0, 0]),
        ("one is empty, the others are not", &[1.0, 1.0, 1.0, 1.0], &[0, 100, 100, 100]),
        ("two servers", &[1.0, 1.0], &[0, 0]),
    ] {
        let hour = FullHour { gateways: 4, lag: 20, weights, people };
        let (mean, worst) = hour.mean_and_worst(Lagging);
        let (herd, _) = hour.mean_and_worst(Whole);
        assert!(mean <= 5.0 * f64::from(EXPECTED), "{name}: {mean} on average");
        assert!(worst <= 13.0 * f64::from(EXPECTED), "{name}: {worst} at worst");
        assert!(mean < 0.7 * herd, "{name}: {mean}, and {herd} if each took the least loaded");
    }
}
