//! What pods leave behind: their directories are moved aside in one step, and removed file by file when there is
//! nothing else to do.
//!
//! A step of a pipeline that only runs a program makes some 35 files and directories, and to remove them costs a third
//! of what the step costs. Where steps follow one another there are quieter moments for it.

use std::{
    collections::VecDeque,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ferroflow_platform::{
    clock::SharedClock,
    task::{Group, Kind},
};
use tokio::{sync::Notify, time::Instant};

use super::{command::ShimCommand, jail, start::make_directory};

/// The directory of pods in that of a node.
pub const PODS: &str = "pods";
/// Where they wait, beside the pods' directories: no pod has such a uid.
const PLACE: &str = ".removed";
/// Nothing was opened or removed for so long: the node has nothing else to do.
const QUIET: Duration = Duration::from_millis(500);
/// The longest that remains wait for that.
const LONGEST: Duration = Duration::from_secs(30);
/// Pods whose remains wait, at the most: 600 MB where they have written nothing.
const MOST: usize = 4096;
/// With less room than this on the disk nothing waits.
const ROOM_BYTES: u64 = 4 << 30;

/// Removes the pods of a node that does not run, with all that their users have left, below the node's data directory.
///
/// # Errors
/// When something cannot be removed.
pub fn remove_pods(node: &Path) -> io::Result<()> {
    jail::remove_all(&node.join(PODS), &ShimCommand::default())
}

/// The remains of a runtime's pods.
pub struct Remains {
    place: PathBuf,
    shim: ShimCommand,
    clock: SharedClock,
    /// Whether somebody removes them later. Nothing waits otherwise.
    later: bool,
    /// [`ROOM_BYTES`].
    room_bytes: u64,
    waiting: Mutex<Waiting>,
    changed: Notify,
}

struct Waiting {
    /// Oldest first, with the moment in which each came.
    remains: VecDeque<(PathBuf, Instant)>,
    /// When something was opened or removed last.
    busy: Instant,
}

impl Remains {
    /// Those of the pods below `directory`, which are removed at once.
    pub fn at_once(directory: &Path, shim: ShimCommand, clock: SharedClock) -> Self {
        let waiting = Mutex::new(Waiting { remains: VecDeque::new(), busy: clock.instant() });
        let (place, room_bytes) = (directory.join(PLACE), ROOM_BYTES);
        Self { place, shim, clock, later: false, room_bytes, waiting, changed: Notify::new() }
    }

    /// Lets them be removed later, and those too that an earlier server has left.
    ///
    /// # Errors
    /// When the place in which they wait cannot be made or read.
    pub fn later(&mut self) -> Result<(), super::Error> {
        make_directory(&self.place, 0o700)?;
        let found = fs::read_dir(&self.place).map_err(|error| super::Error::file("list", &self.place, error))?;
        let now = self.clock.instant();
        self.waiting().remains.extend(found.flatten().map(|entry| (entry.path(), now)));
        self.later = true;
        Ok(())
    }

    /// Begins to remove what waits, where anything does.
    pub fn start(self: &Arc<Self>, group: &Group) {
        if self.later {
            let remains = self.clone();
            group.spawn("removal of what pods leave", Kind::Essential, async move { remains.run().await });
        }
    }

    /// There is something else to do.
    pub fn busy(&self) {
        self.waiting().busy = self.clock.instant();
    }

    /// Takes away the directory of a pod that has ended; one that is not there is good. May wait: not for the tasks of
    /// the runtime.
    ///
    /// # Errors
    /// When it can be neither moved nor removed.
    pub fn take(&self, directory: &Path) -> io::Result<()> {
        let aside = directory.file_name().filter(|_| self.later && self.has_room()).map(|name| self.place.join(name));
        match aside.map(|aside| fs::rename(directory, &aside).map(|()| aside)) {
            Some(Ok(aside)) => {
                let mut waiting = self.waiting();
                let now = self.clock.instant();
                waiting.busy = now;
                waiting.remains.push_back((aside, now));
                if waiting.remains.len() == 1 {
                    self.changed.notify_one();
                }
                Ok(())
            }
            Some(Err(error)) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            // What cannot be moved can often be removed.
            Some(Err(_)) | None => jail::remove_all(directory, &self.shim),
        }
    }

    /// Whether there is room for more that waits.
    fn has_room(&self) -> bool {
        let disk = rustix::fs::statvfs(&self.place);
        let room = disk.is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) >= self.room_bytes);
        room && self.waiting().remains.len() < MOST
    }

    /// Removes all that waits; whether there was anything. May wait: not for the tasks of the runtime.
    pub fn remove_now(&self) -> bool {
        let mut any = false;
        while self.remove_oldest() {
            any = true;
        }
        any
    }

    fn remove_oldest(&self) -> bool {
        let Some((directory, _)) = self.waiting().remains.pop_front() else { return false };
        if let Err(error) = jail::remove_all(&directory, &self.shim) {
            tracing::warn!(directory = %directory.display(), %error, "what a pod left cannot be removed");
        }
        true
    }

    /// When the oldest are due; `None` while there are none.
    fn due(&self) -> Option<Instant> {
        let waiting = self.waiting();
        waiting.remains.front().map(|(_, since)| (*since + LONGEST).min(waiting.busy + QUIET))
    }

    async fn run(self: Arc<Self>) -> Result<(), std::convert::Infallible> {
        loop {
            match self.due() {
                None => self.changed.notified().await,
                Some(due) if due > self.clock.instant() => self.clock.sleep_until(due).await,
                Some(_) => {
                    let remains = self.clone();
                    // One at a time: what is opened meanwhile comes first.
                    let _ = tokio::task::spawn_blocking(move || remains.remove_oldest()).await;
                }
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use ferroflow_testkit::SimulatedClock;
    use jiff::Timestamp;

    use super::*;

    const STEP: Duration = Duration::from_millis(400);

    struct Bench {
        dir: tempfile::TempDir,
        clock: SimulatedClock,
        remains: Arc<Remains>,
    }

    impl Bench {
        fn new(dir: tempfile::TempDir) -> Self {
            Self::with_room(dir, 0)
        }

        fn with_room(dir: tempfile::TempDir, room_bytes: u64) -> Self {
            let clock = SimulatedClock::new(Timestamp::UNIX_EPOCH);
            let mut remains = Remains::at_once(dir.path(), ShimCommand::default(), Arc::new(clock.clone()));
            remains.later().unwrap();
            remains.room_bytes = room_bytes;
            Self { dir, clock, remains: Arc::new(remains) }
        }

        /// A pod that has written a file ends.
        fn end(&self, uid: &str) {
            let directory = self.dir.path().join(uid);
            fs::create_dir_all(directory.join("logs")).unwrap();
            fs::write(directory.join("logs/0.log"), "a line\n").unwrap();
            self.remains.take(&directory).unwrap();
            assert!(!directory.exists());
        }

        fn waits(&self, uid: &str) -> bool {
            self.dir.path().join(PLACE).join(uid).exists()
        }

        fn due_in(&self) -> Option<Duration> {
            use ferroflow_platform::clock::Clock;
            Some(self.remains.due()?.saturating_duration_since(self.clock.instant()))
        }
    }

    #[tokio::test]
    async fn a_directory_is_gone_at_once_and_what_was_in_it_when_it_is_quiet() {
        let (bench, group) = (Bench::new(tempfile::tempdir().unwrap()), Group::new());
        bench.remains.start(&group);
        bench.end("a");
        bench.remains.take(&bench.dir.path().join("was-never-here")).unwrap();
        assert!(bench.waits("a"));
        bench.clock.advance(QUIET);
        let removed = async {
            while bench.waits("a") {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), removed).await.unwrap();
        assert_eq!(bench.due_in(), None);
    }

    #[test]
    fn what_is_opened_comes_first_but_not_for_ever() {
        let bench = Bench::new(tempfile::tempdir().unwrap());
        bench.end("a");
        for _ in 0..74 {
            assert_eq!(bench.due_in(), Some(QUIET));
            bench.clock.advance(STEP);
            bench.remains.busy();
        }
        bench.clock.advance(STEP);
        assert_eq!(bench.due_in(), Some(Duration::ZERO), "30 s have passed");
    }

    #[test]
    fn what_an_earlier_server_left_waits_too_and_goes_at_once_where_room_is_needed() {
        let first = Bench::new(tempfile::tempdir().unwrap());
        first.end("a");
        first.end("b");
        let second = Bench::new(first.dir);
        assert_eq!(second.due_in(), Some(QUIET));
        assert!(second.remains.remove_now());
        assert!(!second.waits("a") && !second.waits("b"));
        assert!(!second.remains.remove_now());
    }

    #[test]
    fn nothing_waits_where_there_is_no_place_for_it() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(PLACE), "in the way").unwrap();
        let clock = Arc::new(SimulatedClock::new(Timestamp::UNIX_EPOCH));
        let mut remains = Remains::at_once(dir.path(), ShimCommand::default(), clock);
        assert!(remains.later().is_err());
        fs::create_dir(dir.path().join("a")).unwrap();
        remains.take(&dir.path().join("a")).unwrap();
        assert!(!dir.path().join("a").exists() && remains.due().is_none());
    }

    #[test]
    fn nothing_waits_where_the_disk_is_almost_full() {
        let bench = Bench::with_room(tempfile::tempdir().unwrap(), u64::MAX);
        bench.end("a");
        assert!(!bench.waits("a"));
    }

    #[test]
    fn more_than_may_wait_is_removed_at_once() {
        let bench = Bench::new(tempfile::tempdir().unwrap());
        let entry = (PathBuf::new(), tokio::time::Instant::now());
        bench.remains.waiting().remains.extend(std::iter::repeat_n(entry, MOST));
        bench.end("a");
        assert!(!bench.waits("a"));
    }
}
