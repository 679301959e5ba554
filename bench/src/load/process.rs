//! What a process has used, as the kernel counts it in `/proc`.

use std::{fs, io, time::Duration};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// `/proc/PID/stat` counts in this unit on every Linux that this runs on (`USER_HZ`).
const TICK: Duration = Duration::from_millis(10);

/// User plus system time of a process since its start, with its children: those of now, and those it has waited for.
/// Exact to some 20 ms.
///
/// # Errors
/// When there is no such process.
pub fn cpu_time(pid: u32) -> io::Result<Duration> {
    let [own, waited_for] = ticks(pid)?;
    let children: Duration = children(pid).into_iter().filter_map(|child| cpu_time(child).ok()).sum();
    Ok(TICK * (own + waited_for) + children)
}

/// User plus system time of this process, without what it has started.
///
/// # Errors
/// When the system does not tell.
pub fn own_cpu_time() -> io::Result<Duration> {
    Ok(TICK * ticks(std::process::id())?[0])
}

/// The resident memory of a process and its children, in bytes.
///
/// # Errors
/// When there is no such process.
pub fn resident_bytes(pid: u32) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let own = parse_kb(&status, "VmRSS:").ok_or(io::ErrorKind::InvalidData)?;
    Ok(own + children(pid).into_iter().filter_map(|child| resident_bytes(child).ok()).sum::<u64>())
}

/// The most resident memory that a process has had, in bytes, without its children.
///
/// # Errors
/// When there is no such process.
pub fn peak_bytes(pid: u32) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    parse_kb(&status, "VmHWM:").ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// How many files this process, and so what it starts, may have open; `None` where there is no limit.
#[must_use]
pub fn open_files_max() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// Raises that limit as far as the system lets this process do it. Where it does not, the limit stays.
pub fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// The model of the first processor, or nothing where it is not told.
#[must_use]
pub fn cpu_model() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    model.map(|(_, model)| model.trim().to_owned()).unwrap_or_default()
}

/// How many processors this system has, whether or not this process may use them.
#[must_use]
pub fn cpus() -> usize {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    info.lines().filter(|line| line.starts_with("processor")).count()
}

/// The kernel's version, or nothing where it is not told.
#[must_use]
pub fn kernel() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned()
}

/// The children of all its threads: a child belongs to the thread that has started it.
fn children(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect()
}

fn ticks(pid: u32) -> io::Result<[u32; 2]> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    parse_ticks(&stat).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Ticks of a process and of the children it has waited for: `utime` plus `stime`, `cutime` plus `cstime`, fields 14 to
/// 17 (proc(5)). The second field is a name in brackets that may hold anything.
fn parse_ticks(stat: &str) -> Option<[u32; 2]> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11).map_while(|ticks| ticks.parse::<u32>().ok());
    let [user, system, child_user, child_system] = [times.next()?, times.next()?, times.next()?, times.next()?];
    Some([user + system, child_user + child_system])
}

fn parse_kb(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_of_a_process_and_of_its_children_are_told_apart() {
        let stat =
            "77 (a) b (c) S 1 77 77 0 -1 4194304 900 0 3 0 250 31 7 2 20 0 5 0 1000 5000 600 18446744073709551615";
        assert_eq!(parse_ticks(stat), Some([281, 9]));
        for broken in ["", "77 (x) S 1 2", "77 x S 1 77 77 0 -1 4194304 900 0 3 0 250 31 7 2"] {
            assert_eq!(parse_ticks(broken), None, "{broken}");
        }
    }

    #[test]
    fn memory_is_read_in_bytes() {
        let status = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\nThreads:\t3\n";
        assert_eq!(parse_kb(status, "VmRSS:"), Some(1024 * 1024));
        assert_eq!(parse_kb(status, "VmHWM:"), Some(2048 * 1024));
        assert_eq!(parse_kb("Name:\tx\n", "VmRSS:"), None);
    }

    #[test]
    fn what_a_process_has_started_is_its_own_cost_only_where_it_is_asked_for() {
        let spin = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; read x";
        let started = std::process::Command::new("sh").args(["-c", spin]).stdin(std::process::Stdio::piped()).spawn();
        let mut child = started.expect("there is a shell");
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        let of_child = || cpu_time(child.id()).expect("it waits for a line");
        while of_child() < Duration::from_millis(100) && std::time::Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        // In this order, so that what the child uses meanwhile cannot be missed.
        let (own, child_time) = (own_cpu_time().expect("told"), of_child());
        let whole = cpu_time(std::process::id()).expect("told");
        child.kill().and_then(|()| child.wait()).expect("it was there");
        assert!(Duration::from_millis(100) <= child_time, "{child_time:?}");
        assert!(own + child_time <= whole, "{own:?} and {child_time:?} in {whole:?}");
    }

    #[test]
    fn this_process_has_used_something() {
        let before = own_cpu_time().expect("this process is there");
        let started = std::time::Instant::now();
        while started.elapsed() < Duration::from_millis(200) {
            std::hint::spin_loop();
        }
        let used = own_cpu_time().expect("this process is there") - before;
        // On a busy machine less than all of the time, and other tests may run beside it.
        assert!(Duration::from_millis(20) <= used, "{used:?}");
        assert!(1 << 20 <= resident_bytes(std::process::id()).expect("this process is there"));
    }
}
