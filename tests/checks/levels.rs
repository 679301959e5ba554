//! The service levels that ship: every number of the table, and both sides of each border.

use std::{fs, path::Path, sync::Arc, time::Duration};

use anteroom::{
    config::{Fault, Loader, SlugKey},
    domain::{
        admission::{RoomUsage, admit_room, admit_tenant, seats},
        denial::Denial,
        directory::Directory,
        limits::{
            Limit::{self, AtMost, Unlimited},
            Recording::{self, AlwaysAllowed, Never, PerRoom},
        },
        tenant::Tenant,
        time::Clock,
    },
};
use tempfile::TempDir;

/// One column of the table of service levels.
struct Level {
    id: &'static str,
    title: &'static str,
    pool: &'static str,
    accounts: Limit<u32>,
    rooms: Limit<u32>,
    participants: Limit<u32>,
    hours: u64,
    recording: Recording,
    own_domains: Limit<u32>,
    branding: bool,
}

const fn members(id: &'static str, title: &'static str, participants: u32) -> Level {
    Level {
        id,
        title,
        pool: "members",
        accounts: AtMost(1),
        rooms: AtMost(5),
        participants: AtMost(participants),
        hours: 3,
        recording: PerRoom,
        own_domains: AtMost(0),
        branding: false,
    }
}

const fn organisation(id: &'static str, title: &'static str, participants: Limit<u32>) -> Level {
    Level {
        id,
        title,
        pool: "custom",
        accounts: Unlimited,
        rooms: Unlimited,
        participants,
        hours: 24,
        recording: AlwaysAllowed,
        own_domains: Unlimited,
        branding: true,
    }
}

const LEVELS: [Level; 6] = [
    Level {
        id: "free",
        title: "Free",
        pool: "demo",
        accounts: AtMost(1),
        rooms: AtMost(1),
        participants: AtMost(5),
        hours: 1,
        recording: Never,
        own_domains: AtMost(0),
        branding: false,
    },
    members("level-1", "Level 1", 10),
    members("level-2", "Level 2", 20),
    members("level-3", "Level 3", 50),
    organisation("multi-account", "Multi-account", AtMost(100)),
    organisation("custom", "Custom", Unlimited),
];

/// More than anyone would count to: what is unlimited still has room.
const MANY: u32 = 1_000_000;

/// The shipped policies in service, with one tenant of each level, which has the level's name.
fn shipped() -> Directory {
    load(&LEVELS, "meet.example", "").expect("the shipped policies are sound")
}

/// The shipped policies and one tenant of each of these levels, below this domain and with these lines in its file.
fn load(levels: &[Level], domain: &str, more: &str) -> Result<Directory, Vec<Fault>> {
    let dir = TempDir::new().expect("a temporary directory");
    let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    std::os::unix::fs::symlink(policies, dir.path().join("policies")).expect("a link");
    let mut gateway = "base_domains = [\"meet.example\"]\n[listen]\nhttp = [\"127.0.0.1:0\"]\n".to_owned();
    for pool in ["demo", "members", "custom"] {
        gateway += &format!("[servers.{pool}]\nurl = \"https://{pool}.internal\"\nsecret = \"s\"\npool = \"{pool}\"\n");
    }
    fs::write(dir.path().join("anteroom.toml"), gateway).expect("a file");
    fs::create_dir(dir.path().join("tenants")).expect("a directory");
    for Level { id, .. } in levels {
        let tenant = format!(
            "name = {id:?}\npolicy = {id:?}\nhosts = [\"{id}.{domain}\"]\n{more}\n[secrets]\nmain = \"secret of {id}\"\n"
        );
        fs::write(dir.path().join(format!("tenants/{id}.toml")), tenant).expect("a file");
    }
    Loader::new(dir.path(), Clock::system()).load(&SlugKey([0; 32])).map(|loaded| loaded.directory)
}

fn tenant(directory: &Directory, id: &str) -> Arc<Tenant> {
    directory.tenant(id).cloned().expect("there is one of each level")
}

/// The number of places that are taken when the last one is still free, and when none is; none for no bound.
fn border(limit: Limit<u32>) -> (u32, Option<u32>) {
    match limit {
        AtMost(places) => (places - 1, Some(places)),
        Unlimited => (MANY, None),
    }
}

#[test]
fn the_shipped_policies_have_the_numbers_of_the_table() {
    let directory = shipped();
    assert_eq!(directory.tenants().count(), LEVELS.len());
    for level in LEVELS {
        let tenant = tenant(&directory, level.id);
        let (policy, limits) = (&tenant.policy, &tenant.limits);
        assert_eq!(policy.title, level.title);
        assert_eq!(*policy.pools, [level.pool.parse().expect("an id")], "{}", level.id);
        assert_eq!(limits.accounts, level.accounts, "{}", level.id);
        assert_eq!(limits.rooms, level.rooms, "{}", level.id);
        assert_eq!(limits.participants, level.participants, "{}", level.id);
        assert_eq!(limits.duration, AtMost(Duration::from_secs(level.hours * 3600)), "{}", level.id);
        assert_eq!(limits.recording, level.recording, "{}", level.id);
        assert_eq!(limits.own_domains, level.own_domains, "{}", level.id);
        assert_eq!(limits.branding, level.branding, "{}", level.id);
        assert_eq!(limits.room_retention, Duration::ZERO, "{}", level.id);
    }
}

#[test]
fn no_other_policy_ships() {
    let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let files = fs::read_dir(policies).expect("they ship").count();
    assert_eq!(files, LEVELS.len());
}

#[test]
fn the_last_account_of_a_level_has_a_room_and_the_next_one_has_none() {
    let directory = shipped();
    for level in LEVELS {
        let tenant = tenant(&directory, level.id);
        let (last, over) = border(level.accounts);
        let admit = |other_accounts| admit_room(&tenant, RoomUsage { other_accounts, ..RoomUsage::default() });
        assert_eq!(admit(last), Ok(()), "{}", level.id);
        if let Some(over) = over {
            assert_eq!(admit(over), Err(Denial::AccountLimitReached), "{}", level.id);
        }
    }
}

#[test]
fn the_last_room_of_an_account_is_made_and_the_next_one_is_not() {
    let directory = shipped();
    for level in LEVELS {
        let tenant = tenant(&directory, level.id);
        let (last, over) = border(level.rooms);
        let admit = |rooms| admit_room(&tenant, RoomUsage { rooms, ..RoomUsage::default() });
        assert_eq!(admit(last), Ok(()), "{}", level.id);
        if let Some(over) = over {
            assert_eq!(admit(over), Err(Denial::RoomLimitReached), "{}", level.id);
        }
    }
}

#[test]
fn an_account_too_many_is_told_of_that_before_its_rooms() {
    let directory = shipped();
    for level in LEVELS {
        let usage = RoomUsage { other_accounts: MANY, rooms: MANY, ..RoomUsage::default() };
        let expected = if level.accounts == Unlimited { Ok(()) } else { Err(Denial::AccountLimitReached) };
        assert_eq!(admit_room(&tenant(&directory, level.id), usage), expected, "{}", level.id);
    }
}

#[test]
fn the_last_participant_of_a_meeting_gets_in_and_the_next_one_does_not() {
    let directory = shipped();
    for level in LEVELS {
        let limits = &tenant(&directory, level.id).limits;
        let (last, over) = border(level.participants);
        assert!(seats(limits, None).has_room(last), "{}", level.id);
        if let Some(over) = over {
            assert!(!seats(limits, None).has_room(over), "{}", level.id);
        }
    }
}

#[test]
fn a_meeting_takes_as_many_as_its_creator_asked_for_but_no_more_than_the_level_allows() {
    let directory = shipped();
    for level in LEVELS {
        let limits = &tenant(&directory, level.id).limits;
        // What was asked for, and how many get in.
        let mut rows = vec![(1, 1), (3, 3)];
        rows.push(match level.participants {
            AtMost(most) => (most + 1, most),
            Unlimited => (MANY, MANY),
        });
        for (asked, admitted) in rows {
            let seats = seats(limits, Some(asked));
            assert!(seats.has_room(admitted - 1), "{} asked {asked}", level.id);
            assert!(!seats.has_room(admitted), "{} asked {asked}", level.id);
        }
    }
}

#[test]
fn a_meeting_lasts_as_long_as_was_asked_but_no_longer_than_the_level_allows() {
    let directory = shipped();
    for level in LEVELS {
        let duration = tenant(&directory, level.id).limits.duration;
        let most = Duration::from_secs(level.hours * 3600);
        let second = Duration::from_secs(1);
        for (asked, expected) in [
            (None, most),
            (Some(second), second),
            (Some(most - second), most - second),
            (Some(most), most),
            (Some(most + second), most),
        ] {
            assert_eq!(duration.clamp(asked), AtMost(expected), "{} asked {asked:?}", level.id);
        }
    }
}

#[test]
fn a_level_without_own_domains_has_hosts_below_the_base_domains_only() {
    for level in LEVELS {
        let (id, allowed) = (level.id, level.own_domains == Unlimited);
        let loaded = load(&[level], "tenants.example", "");
        let fault = loaded.err().map(|faults| faults.iter().map(Fault::to_string).collect::<String>());
        let expected = (!allowed).then(|| {
            format!(
                "tenants/{id}.toml:3: hosts[0]: \"{id}.tenants.example\" is below no base domain, and the level allows \
                 no own domain"
            )
        });
        assert_eq!(fault, expected, "{id}");
    }
}

#[test]
fn a_suspended_tenant_is_not_served_on_any_level() {
    let directory = load(&LEVELS, "meet.example", "suspended = true").expect("it is sound");
    for level in LEVELS {
        let suspended = tenant(&directory, level.id);
        assert_eq!(admit_tenant(&suspended, false), Err(Denial::TenantSuspended), "{}", level.id);
    }
}
