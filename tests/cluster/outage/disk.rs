//! The file of SQLite: on a disk that is full, and read-only.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anteroom::app::App;
use anteroom_bench::sim::{self, Sim};

use super::*;

/// A disk of its own, of a size that is soon full. Taken away with the test.
struct Disk(PathBuf);

impl Disk {
    /// `None`, with the reason printed, where nothing may be mounted.
    fn mount(at: &Path) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let mounted = run("mount", &["-t", "tmpfs", "-o", "size=2m", "tmpfs", &at.display().to_string()]);
        mounted.then(|| Self(at.to_owned()))
    }

    /// Leaves no byte.
    fn fill(&self) {
        let full = fs::write(self.0.join("filler"), vec![0; 4 << 20]);
        assert!(full.is_err(), "a disk of 2 MB");
    }

    fn clear(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }
}

/// A file system in a file, that the kernel makes read-only at the first error it finds.
struct FileSystem {
    image: String,
    at: String,
}

impl FileSystem {
    /// `None`, with the reason printed, where nothing may be mounted.
    fn make(dir: &Path, at: &Path) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let made = Self { image: dir.join("image").display().to_string(), at: at.display().to_string() };
        let image = &*made.image;
        (run("truncate", &["-s", "32M", image]) && run("mkfs.ext4", &["-q", image]) && made.mount()).then_some(made)
    }

    fn mount(&self) -> bool {
        run("mount", &["-o", "loop,errors=remount-ro", &self.image, &self.at])
    }

    /// The kernel finds an error.
    fn fail(&self) -> bool {
        let found = Command::new("findmnt").args(["-n", "-o", "SOURCE", &self.at]).output().unwrap();
        let device = String::from_utf8_lossy(&found.stdout).trim().replace("/dev/", "");
        fs::write(format!("/sys/fs/ext4/{device}/trigger_fs_error"), "1").is_ok()
    }
}

impl Drop for FileSystem {
    fn drop(&mut self) {
        run("umount", &["-l", &self.at]);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        run("umount", &["-l", &self.0.display().to_string()]);
    }
}

/// Files that nobody can write, root and who has them open included. Given back with the test.
struct Immutable([PathBuf; 2]);

impl Immutable {
    /// `None`, with the reason printed, where that is not to be had.
    fn make(files: [PathBuf; 2]) -> Option<Self> {
        let made = files.iter().all(|file| run("chattr", &["+i", &file.display().to_string()]));
        let files = Self(files);
        made.then_some(files)
    }
}

impl Drop for Immutable {
    fn drop(&mut self) {
        for file in &self.0 {
            run("chattr", &["-i", &file.display().to_string()]);
        }
    }
}

/// Runs a command that only root may run; prints why it did not succeed.
fn run(program: &str, arguments: &[&str]) -> bool {
    match Command::new(program).args(arguments).output() {
        Ok(output) if output.status.success() => return true,
        Ok(output) => eprintln!("{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr)),
        Err(error) => eprintln!("{program}: {error}"),
    }
    false
}

/// Ada and Cy are in the room, and Bo is on the way there.
async fn people(stage: &Stage) -> People {
    for tenant in ["tiny", "wagtail"] {
        stage.create(tenant, "room").await;
    }
    let mut sockets = Vec::new();
    for name in ["Ada", "Cy"] {
        let joined = stage.joined("tiny", "room", name).await;
        sockets.push(stage.graphql("tiny", &joined).await.unwrap());
    }
    let bo = stage.joined("tiny", "room", "Bo").await;
    written(stage.dir.path(), 2).await;
    let [ada, cy] = sockets.try_into().unwrap();
    People { ada, bo, cy }
}

/// What goes on and what is refused while nothing can be written. Bo arrives and Cy leaves meanwhile.
async fn nothing_can_be_written(stage: &Stage, People { mut ada, bo, cy }: People) -> [Socket; 2] {
    for _ in 0..3 {
        let refused = at_once("create", stage.create("wagtail", "another")).await;
        assert_eq!(refused.xml("messageKey"), "storeUnavailable", "{}", refused.body);
        let refused = at_once("join", stage.join("wagtail", "room", "Dee")).await;
        assert_eq!(refused.xml("messageKey"), "storeUnavailable", "{}", refused.body);
    }
    assert!(stage.sims[0].meeting("t.wagtail.another").is_none(), "what is not promised is not made");
    let page = at_once("join", follows_a_link(stage, "wagtail", "Dee")).await;
    assert_eq!(page.status, 503);
    for said in ["Nobody can be let in at the moment.", "This page tries again by itself.", "storeUnavailable"] {
        assert!(page.body.contains(said), "{said}: {}", page.body);
    }
    let info = stage.api("tiny", "getMeetingInfo", &[("meetingID", "room")]).await;
    assert_eq!(info.xml("returncode"), "SUCCESS", "{}", info.body);
    let again = stage.create("tiny", "room").await;
    assert_eq!(again.xml("messageKey"), "duplicateWarning", "{}", again.body);
    let bo = stage.graphql("tiny", &bo).await.expect("a seat that is promised is taken");
    drop(cy);
    echo(&mut ada).await.unwrap();
    [ada, bo]
}

/// Nothing has to be started anew.
async fn promises_are_made_again(stage: &Stage) {
    eventually("a room", async || stage.create("wagtail", "another").await.xml("returncode") == "SUCCESS").await;
    eventually("a seat", async || stage.join("wagtail", "room", "Dee").await.status == 302).await;
}

fn plan() -> Plan {
    // BBB counts who has left for a minute, which is the sixth part of it here.
    let config = sim::Config { speed: 6.0, ..sim::Config::default() };
    Plan::new()
        .server_with("members", config)
        .tenant_with("tiny", "free", "---[limits]\nparticipants = 3")
        .tenant("wagtail", "multi-account")
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_meetings_go_on_and_nothing_new_is_promised() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().join("disk");
    let Some(disk) = Disk::mount(&at) else { return eprintln!("skipped: only root can mount a small disk") };
    let url = format!("url = \"sqlite:{}\"", at.join("anteroom.db").display());
    let change = async |text: String, _: &[Sim]| text.replace("url = \"sqlite:var/anteroom.db\"", &url);
    let stage = plan().start_changed(change).await;
    let people = people(&stage).await;
    disk.fill();
    let mut present = Box::pin(nothing_can_be_written(&stage, people)).await;
    disk.clear();
    promises_are_made_again(&stage).await;
    // Cy's seat is held for a while after she has left.
    eventually("one seat is free", async || stage.join("tiny", "room", "Dee").await.status == 302).await;
    assert_eq!(stage.join("tiny", "room", "Eve").await.xml("messageKey"), "maxParticipantsReached");
    for socket in &mut present {
        echo(socket).await.unwrap();
    }
    stage.app.unwrap().stop(Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_file_that_turns_read_only_meetings_go_on_and_nothing_new_is_promised() {
    let stage = plan().start().await;
    let people = people(&stage).await;
    let Some(immutable) = Immutable::make(["var/anteroom.db", "var/anteroom.db-wal"].map(|file| stage.path(file)))
    else {
        return eprintln!("skipped: only root can do that, on a file system that has it");
    };
    let _present = Box::pin(nothing_can_be_written(&stage, people)).await;
    drop(immutable);
    promises_are_made_again(&stage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_system_that_failed_is_mounted_again_and_all_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().join("disk");
    let Some(file_system) = FileSystem::make(dir.path(), &at) else {
        return eprintln!("skipped: only root can mount a file");
    };
    let url = format!("url = \"sqlite:{}\"", at.join("anteroom.db").display());
    let mut stage = plan().start_changed(async |text, _| text.replace("url = \"sqlite:var/anteroom.db\"", &url)).await;
    stage.create("tiny", "room").await;
    let ada = stage.joined("tiny", "room", "Ada").await;
    let mut socket = stage.graphql("tiny", &ada).await.unwrap();
    written(stage.dir.path(), 1).await;
    run("sync", &["-f", &file_system.at]); // and on the disk: a failing file system forgets what is not
    if !file_system.fail() {
        return eprintln!("skipped: the kernel finds no errors when told to");
    }
    for _ in 0..20 {
        let refused = at_once("create", stage.create("wagtail", "room")).await;
        assert_eq!(refused.xml("messageKey"), "storeUnavailable", "{}", refused.body);
        let refused = at_once("join", stage.join("tiny", "room", "Bo")).await;
        assert_eq!(refused.xml("messageKey"), "storeUnavailable", "{}", refused.body);
        echo(&mut socket).await.unwrap();
    }

    // The kernel lets nobody write there again before it is mounted anew, which it cannot be while it is in use.
    stage.app.take().unwrap().stop(Duration::ZERO).await;
    eventually("it is not in use", async || run("umount", &[&file_system.at])).await;
    assert!(file_system.mount());
    stage.start_again().await;
    stage.graphql("tiny", &ada).await.expect("the session is as it was");
    assert_eq!(stage.create("wagtail", "room").await.xml("returncode"), "SUCCESS");
    stage.app.take().unwrap().stop(Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_file_that_is_read_only_it_does_not_start() {
    let mut stage = plan().start().await;
    stage.app.take().unwrap().stop(DEADLINE).await;
    let files = ["var/anteroom.db", "var/anteroom.db.lock"].map(|file| stage.path(file));
    let Some(_immutable) = Immutable::make(files) else {
        return eprintln!("skipped: only root can do that, on a file system that has it");
    };
    let error = App::start(stage.dir.path()).await.expect_err("nothing could be promised");
    assert!(error.to_string().starts_with("the store failed: "), "{error}");
}
