//! File handles: the limit of the process, the connections it allows, and the errors for lack of handles.
//!
//! Each connection counts as two handles: its own, and one for the upstream connection of a WebSocket. A reserve is kept for
//! servers, the store, configuration files and the admin listener.

use std::{fs::File, io};

use rustix::{
    io::Errno,
    process::{Resource, Rlimit, getrlimit, setrlimit},
};

/// Where the system states no limit, and what Linux gives at most by default (`fs.nr_open`).
const FILES_MAX: u64 = 1_048_576;
/// The least that is kept back: the store's connections (some 40 files), 64 on the operator's listener, listeners and log.
const RESERVE_MIN: u64 = 128;
/// Upper bound of the reserve: calls and downloads at many servers.
const RESERVE_MAX: u64 = 4_096;
/// Handles of a connection: its own, and one to a server.
const PER_CONNECTION: u64 = 2;
/// Connections that one person in a meeting has: three WebSockets, and one for the rest.
pub const CONNECTIONS_PER_PERSON: u64 = 4;

/// Raises the limit as far as the process may, and returns what it is then.
#[must_use]
pub fn raise() -> u64 {
    let (now, most) = (getrlimit(Resource::Nofile), limit());
    if now.current.is_some_and(|now| now < most) {
        // Where it is refused, what there is has to do.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: now.maximum });
    }
    getrlimit(Resource::Nofile).current.unwrap_or(FILES_MAX)
}

/// What [`raise`] can raise the limit to.
#[must_use]
pub fn limit() -> u64 {
    getrlimit(Resource::Nofile).maximum.unwrap_or(FILES_MAX)
}

/// The connections of people and programs for which so many handles are enough.
#[must_use]
pub fn connections(files: u64) -> u32 {
    let reserve = (files / 16).clamp(RESERVE_MIN, RESERVE_MAX).min(files / 2);
    u32::try_from(files.saturating_sub(reserve) / PER_CONNECTION).unwrap_or(u32::MAX).max(1)
}

/// Handles needed for a number of connections.
#[must_use]
pub fn needed(connections: u32) -> u64 {
    let own = PER_CONNECTION.saturating_mul(u64::from(connections));
    own.saturating_add((own / 15).clamp(RESERVE_MIN, RESERVE_MAX))
}

/// Whether opening a connection failed for lack of a handle, port or memory on this machine. Such an error says nothing about
/// the other side.
#[must_use]
pub fn is_exhausted(error: &io::Error) -> bool {
    const OWN: [Errno; 5] = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::ADDRNOTAVAIL];
    match error.raw_os_error() {
        Some(number) => OWN.iter().any(|own| own.raw_os_error() == number),
        // The system's resolver needs handles too, and does not say what it lacked.
        None => is_none_left(),
    }
}

fn is_none_left() -> bool {
    File::open("/dev/null").is_err_and(|error| error.raw_os_error().is_some_and(|_| is_exhausted(&error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_handles_are_for_connections_and_some_are_kept_back() {
        for (files, expected) in [
            (0, 1),
            (16, 4),
            (256, 64),
            (300, 86),
            (1_024, 448),
            (4_096, 1_920),
            (524_288, 260_096),
            (1 << 40, u32::MAX),
        ] {
            assert_eq!(connections(files), expected, "{files}");
        }
        for wanted in [1, 86, 5_000, 260_096, 4_000_000] {
            assert!(wanted <= connections(needed(wanted)), "{wanted}");
        }
        assert!(1024 <= raise());
        assert_eq!(raise(), limit().min(raise()));
    }

    #[test]
    fn what_this_machine_lacks_is_nobody_elses_fault() {
        for (number, own) in [
            (Errno::MFILE, true),
            (Errno::NFILE, true),
            (Errno::ADDRNOTAVAIL, true),
            (Errno::CONNREFUSED, false),
            (Errno::HOSTUNREACH, false),
            (Errno::TIMEDOUT, false),
        ] {
            assert_eq!(is_exhausted(&io::Error::from_raw_os_error(number.raw_os_error())), own, "{number:?}");
        }
        assert!(!is_exhausted(&io::ErrorKind::TimedOut.into()), "there are handles");
    }
}
