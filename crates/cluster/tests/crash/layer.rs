//! A file layer (a VFS) over SQLite's own that remembers which bytes an fsync has made safe.
//!
//! Everything goes on to the real files too, so that the live store works as ever; only fsync itself
//! is left out there, for nothing reads those files after the cut.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::{CStr, OsStr, c_char, c_int, c_void},
    mem::size_of,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::{LazyLock, Mutex, MutexGuard, Once, PoisonError},
};

use rand::RngExt;
use rusqlite::ffi::{
    SQLITE_IOERR, SQLITE_OK, sqlite3_file, sqlite3_filename, sqlite3_int64, sqlite3_io_methods, sqlite3_vfs,
    sqlite3_vfs_find, sqlite3_vfs_register,
};

/// A disk writes a sector whole or not at all.
const SECTOR_BYTES: usize = 512;

/// Files by name, as a cut leaves them.
pub type Disk = BTreeMap<String, Vec<u8>>;

/// What an fsync does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syncs {
    Kept,
    /// It says that it has worked, and has done nothing.
    Ignored,
}

enum Loose {
    Write { at: usize, bytes: Vec<u8> },
    Truncate(usize),
}

#[derive(Default)]
struct Image {
    /// What is on disk for sure; `None` for a file that may not even be there.
    safe: Option<Vec<u8>>,
    /// What was written since, in order.
    loose: Vec<Loose>,
}

struct Recorded {
    syncs: Syncs,
    files: BTreeMap<PathBuf, Image>,
}

static RECORDED: LazyLock<Mutex<HashMap<PathBuf, Recorded>>> = LazyLock::new(Mutex::default);

fn recorded() -> MutexGuard<'static, HashMap<PathBuf, Recorded>> {
    RECORDED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Records the files of a directory from now on.
pub fn record(directory: &Path, syncs: Syncs) {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(register);
    recorded().insert(directory.to_owned(), Recorded { syncs, files: BTreeMap::new() });
}

/// Ends a directory's recording.
pub fn forget(directory: &Path) {
    recorded().remove(directory);
}

/// The files of a directory as a power cut at this moment leaves them.
pub fn cut(directory: &Path, rng: &mut impl RngExt) -> Disk {
    // How much of what was loose happens to be on disk: nothing, some, nearly all.
    let share = [0.0, 0.1, 0.5, 0.9, 1.0][rng.random_range(0..5)];
    let recorded = recorded();
    let files = recorded[directory].files.iter();
    let left = files.filter_map(|(path, image)| {
        let name = path.file_name()?.to_str()?.to_owned();
        let bytes = image.after_cut(share, rng)?;
        Some((name, bytes))
    });
    left.collect()
}

impl Image {
    fn after_cut(&self, share: f64, rng: &mut impl RngExt) -> Option<Vec<u8>> {
        let mut bytes = match &self.safe {
            Some(safe) => safe.clone(),
            None if rng.random_bool(share) => Vec::new(),
            None => return None,
        };
        for loose in &self.loose {
            loose.apply(&mut bytes, || rng.random_bool(share));
        }
        Some(bytes)
    }

    fn sync(&mut self) {
        let mut bytes = self.safe.take().unwrap_or_default();
        for loose in self.loose.drain(..) {
            loose.apply(&mut bytes, || true);
        }
        self.safe = Some(bytes);
    }
}

impl Loose {
    /// Does what `reaches` says of each sector.
    fn apply(&self, file: &mut Vec<u8>, mut reaches: impl FnMut() -> bool) {
        match self {
            Self::Truncate(length) => {
                if reaches() {
                    file.truncate(*length);
                }
            }
            Self::Write { at, bytes } => {
                let mut from = 0;
                while from < bytes.len() {
                    let place = at + from;
                    let length = (SECTOR_BYTES - place % SECTOR_BYTES).min(bytes.len() - from);
                    if reaches() {
                        file.resize(file.len().max(place + length), 0);
                        file[place..place + length].copy_from_slice(&bytes[from..from + length]);
                    }
                    from += length;
                }
            }
        }
    }
}

/// Does `act` to the image of a file, if its directory is recorded.
fn with_image(path: &Path, act: impl FnOnce(Syncs, &mut Image)) {
    let mut recorded = recorded();
    if let Some(directory) = path.parent().and_then(|parent| recorded.get_mut(parent)) {
        let image = directory.files.entry(path.to_owned()).or_default();
        act(directory.syncs, image);
    }
}

/// What SQLite holds of an open file: its own part, our part, and behind them the real layer's.
#[repr(C)]
struct Layered {
    base: sqlite3_file,
    path: *mut PathBuf,
}

const REAL_AT: usize = size_of::<Layered>().next_multiple_of(16);

/// The real layer's part.
///
/// # Safety
/// `file` was opened by [`open`].
unsafe fn real(file: *mut sqlite3_file) -> *mut sqlite3_file {
    // SAFETY: SQLite allocates `szOsFile` bytes for a file, which has room for both parts.
    unsafe { file.cast::<u8>().add(REAL_AT).cast() }
}

/// The path of an open file; empty for a temporary one.
///
/// # Safety
/// `file` was opened by [`open`] and not closed.
unsafe fn path_of<'a>(file: *mut sqlite3_file) -> &'a Path {
    // SAFETY: `open` has set the pointer, `close` alone frees it.
    unsafe { &*(*file.cast::<Layered>()).path }
}

macro_rules! passed_on {
    ($($name:ident = $method:ident($($argument:ident: $kind:ty),*);)+) => {
        $(unsafe extern "C" fn $name(file: *mut sqlite3_file, $($argument: $kind),*) -> c_int {
            // SAFETY: SQLite calls methods of open files only, and `open` has opened the real one.
            unsafe {
                let real = real(file);
                (*(*real).pMethods).$method.map_or(SQLITE_IOERR, |method| method(real, $($argument),*))
            }
        })+
    };
}

passed_on! {
    read = xRead(into: *mut c_void, amount: c_int, at: sqlite3_int64);
    real_write = xWrite(from: *const c_void, amount: c_int, at: sqlite3_int64);
    real_truncate = xTruncate(size: sqlite3_int64);
    real_close = xClose();
    file_size = xFileSize(size: *mut sqlite3_int64);
    lock = xLock(level: c_int);
    unlock = xUnlock(level: c_int);
    check_reserved_lock = xCheckReservedLock(result: *mut c_int);
    file_control = xFileControl(op: c_int, argument: *mut c_void);
    sector_size = xSectorSize();
    device_characteristics = xDeviceCharacteristics();
    shm_map = xShmMap(page: c_int, size: c_int, extend: c_int, region: *mut *mut c_void);
    shm_lock = xShmLock(offset: c_int, count: c_int, flags: c_int);
    shm_unmap = xShmUnmap(delete: c_int);
}

unsafe extern "C" fn shm_barrier(file: *mut sqlite3_file) {
    // SAFETY: as for the methods above.
    unsafe {
        let real = real(file);
        if let Some(barrier) = (*(*real).pMethods).xShmBarrier {
            barrier(real);
        }
    }
}

unsafe extern "C" fn write(file: *mut sqlite3_file, from: *const c_void, amount: c_int, at: sqlite3_int64) -> c_int {
    let length = usize::try_from(amount).unwrap();
    // SAFETY: SQLite hands in `amount` bytes.
    let bytes = unsafe { std::slice::from_raw_parts(from.cast::<u8>(), length) }.to_vec();
    // SAFETY: the file is open.
    with_image(unsafe { path_of(file) }, |_, image| {
        image.loose.push(Loose::Write { at: usize::try_from(at).unwrap(), bytes });
    });
    // SAFETY: as this function.
    unsafe { real_write(file, from, amount, at) }
}

unsafe extern "C" fn truncate(file: *mut sqlite3_file, size: sqlite3_int64) -> c_int {
    // SAFETY: the file is open.
    with_image(unsafe { path_of(file) }, |_, image| image.loose.push(Loose::Truncate(usize::try_from(size).unwrap())));
    // SAFETY: as this function.
    unsafe { real_truncate(file, size) }
}

unsafe extern "C" fn sync(file: *mut sqlite3_file, _flags: c_int) -> c_int {
    // SAFETY: the file is open.
    with_image(unsafe { path_of(file) }, |syncs, image| {
        if syncs == Syncs::Kept {
            image.sync();
        }
    });
    SQLITE_OK
}

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    // SAFETY: SQLite closes a file once; the path was boxed by `open`.
    unsafe {
        drop(Box::from_raw((*file.cast::<Layered>()).path));
        real_close(file)
    }
}

static METHODS: sqlite3_io_methods = sqlite3_io_methods {
    // Version 2: with shared memory for the log's index, without memory-mapped reads.
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

/// The layer below: kept as `pNext` would be, for SQLite may reorder that list.
static BELOW: Mutex<usize> = Mutex::new(0);

fn below() -> *mut sqlite3_vfs {
    std::ptr::with_exposed_provenance_mut(*BELOW.lock().unwrap_or_else(PoisonError::into_inner))
}

unsafe extern "C" fn open(
    _layer: *mut sqlite3_vfs,
    name: sqlite3_filename,
    file: *mut sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    // SAFETY: SQLite hands in room for `szOsFile` bytes and a name that is null or ends with a zero;
    // the layer below lives as long as the process.
    unsafe {
        (*file).pMethods = std::ptr::null();
        let below = below();
        let Some(method) = (*below).xOpen else { return SQLITE_IOERR };
        let result = method(below, name, real(file), flags, out_flags);
        if result == SQLITE_OK {
            (*file.cast::<Layered>()).path = Box::into_raw(Box::new(path_from(name)));
            (*file).pMethods = &raw const METHODS;
        }
        result
    }
}

unsafe extern "C" fn delete(_layer: *mut sqlite3_vfs, name: *const c_char, sync_directory: c_int) -> c_int {
    // SAFETY: SQLite hands in a name that ends with a zero; the layer below lives on.
    unsafe {
        let path = path_from(name);
        let mut recorded = recorded();
        if let Some(directory) = path.parent().and_then(|parent| recorded.get_mut(parent)) {
            directory.files.remove(&path);
        }
        drop(recorded);
        let below = below();
        (*below).xDelete.map_or(SQLITE_IOERR, |method| method(below, name, sync_directory))
    }
}

/// # Safety
/// `name` is null or ends with a zero.
unsafe fn path_from(name: *const c_char) -> PathBuf {
    if name.is_null() {
        return PathBuf::new();
    }
    // SAFETY: as this function.
    PathBuf::from(OsStr::from_bytes(unsafe { CStr::from_ptr(name) }.to_bytes()))
}

/// Makes the layer the one that SQLite uses.
fn register() {
    // SAFETY: the default layer is there from SQLite's start to the end of the process; ours is a
    // copy of it that is never freed, with two functions and the size of a file replaced.
    unsafe {
        let below = sqlite3_vfs_find(std::ptr::null());
        assert!(!below.is_null(), "SQLite has a default layer");
        *BELOW.lock().unwrap_or_else(PoisonError::into_inner) = below.expose_provenance();
        let mut layer = Box::new(*below);
        layer.pNext = std::ptr::null_mut();
        layer.zName = c"power-cut".as_ptr();
        layer.szOsFile += c_int::try_from(REAL_AT).unwrap();
        layer.xOpen = Some(open);
        layer.xDelete = Some(delete);
        assert_eq!(sqlite3_vfs_register(Box::leak(layer), 1), SQLITE_OK);
    }
}
