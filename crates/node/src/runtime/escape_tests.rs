//! Attempts to reach processes and files that are not the container's: those of the host and those of another pod.
//!
//! The same program that finds no way out of a container is then run as a process of the host, by the same user and with
//! the same words: there it finds every way open, so one that stood open in the container would have been told.
//! It is in Python, which is the host's: an image has the host's `/usr` mounted.

use std::{
    collections::BTreeSet,
    path::Path,
    process::{Child, Command, Stdio},
};

use ferroflow_platform::kubelet::LogOptions;
use futures::StreamExt;
use serde_json::json;

use super::{
    jail_tests::{Place, environment, image, until},
    tests::record,
    *,
};

const PYTHON: &str = "/usr/bin/python3";

/// Holds a secret in memory and says where; lets everybody trace it who may (`PR_SET_PTRACER`), as far as it is asked.
const HOLDER: &str = "
import ctypes, time
secret = ctypes.create_string_buffer(b'secret in memory')
ctypes.CDLL(None).prctl(0x59616d61, ctypes.c_ulong(2 ** 64 - 1), 0, 0, 0)
print(ctypes.addressof(secret), flush=True)
time.sleep(600)
";

/// Writes the handle of a file, by which whoever may can open it without a path.
const HANDLE: &str = "
import ctypes, sys
handle = ctypes.create_string_buffer((128).to_bytes(4, 'little') + bytes(4), 136)
if ctypes.CDLL(None).name_to_handle_at(-100, sys.argv[1].encode(), handle, ctypes.byref(ctypes.c_int()), 0) == 0:
    print(handle.raw[:8 + int.from_bytes(handle.raw[:4], 'little')].hex())
";

/// Tries; each line that comes out of it is a way that stands open.
const ATTEMPTS: &str = r"
import ctypes, json, os, signal, sys
libc = ctypes.CDLL(None, use_errno=True)
told = json.loads(sys.argv[1])
class Part(ctypes.Structure): _fields_ = [('base', ctypes.c_void_p), ('length', ctypes.c_size_t)]
def attempt(name, act):
    try:
        if act(): print(name, flush=True)
    except OSError: pass
def memory(pid, address):
    seen = ctypes.create_string_buffer(16)
    parts = Part(ctypes.addressof(seen), 16), Part(address, 16)
    read = libc.process_vm_readv(pid, ctypes.byref(parts[0]), 1, ctypes.byref(parts[1]), 1, 0)
    return read == 16 and seen.raw.startswith(b'secret')
def mem(pid, address):
    with open(f'/proc/{pid}/mem', 'rb') as file:
        file.seek(address)
        return file.read(16).startswith(b'secret')
def change(path, **how):
    with open(path, 'ab', **how) as file: return file.write(b'!')
def handle(text, mount):
    given = ctypes.create_string_buffer(bytes.fromhex(text))
    found = libc.open_by_handle_at(os.open(mount, os.O_RDONLY), given, os.O_RDWR)
    return found >= 0 and os.write(found, b'!')
def trace(pid): return libc.ptrace(0x4206, pid, None, None) == 0
own = {str(os.getpid())}
shown = [name for name in os.listdir('/proc') if name.isdigit() and name not in own]
for name, pid, address in told['processes']:
    attempt(name + ' kill', lambda: os.kill(pid, 0) is None)
    attempt(name + ' pidfd', lambda: signal.pidfd_send_signal(os.pidfd_open(pid), 0) is None)
    attempt(name + ' memory', lambda: memory(pid, address))
    attempt(name + ' mem', lambda: mem(pid, address))
    attempt(name + ' environ', lambda: open(f'/proc/{pid}/environ', 'rb').read())
    attempt(name + ' root', lambda: os.listdir(f'/proc/{pid}/root'))
    attempt(name + ' descriptors', lambda: os.listdir(f'/proc/{pid}/fd'))
    attempt(name + ' trace', lambda: trace(pid))
# A number may be another's here: whoever shows is tried, but for this program.
for pid in map(int, shown):
    if told['contained']:
        attempt('shown trace', lambda: trace(pid))
        attempt('shown root', lambda: os.listdir(f'/proc/{pid}/root'))
        attempt('shown mem', lambda: open(f'/proc/{pid}/mem', 'rb'))
for name, path in told['files']:
    for root in ['', '/proc/1/root', '/proc/self/root', '/proc/1/cwd/../../../../..'] + [f'/proc/{pid}/root' for pid in shown]:
        attempt(name + ' read', lambda: open(root + path, 'rb').read().startswith(b'secret'))
        attempt(name + ' change', lambda: change(root + path))
    for mount in ['/', told['volume']]:
        up = os.open(mount, os.O_RDONLY)
        opener = lambda path, flags: os.open(path, flags, dir_fd=up)
        attempt(name + ' change', lambda: change('../' * 16 + path[1:], opener=opener))
for name, text in told['handles']:
    for mount in ['/', told['volume']]: attempt(name + ' handle', lambda: handle(text, mount))
print('end')
";

/// A process of the host that holds a secret. Ends with this value.
struct Holder(Child);

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Holder {
    /// It, and where its secret is.
    fn start() -> (Self, u64) {
        let mut child = Command::new(PYTHON).args(["-c", HOLDER]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut line).unwrap();
        (Self(child), line.trim().parse().unwrap())
    }
}

/// What a program of the host says.
fn said(script: &str, word: &str) -> String {
    let output = Command::new(PYTHON).args(["-c", script, word]).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// A container in which Python runs, of an image or of an environment.
fn python(layer: Option<&Path>, container: &str, argv: &[&str]) -> Launch {
    let argv = [[PYTHON, "-c"].as_slice(), argv].concat().into_iter().map(str::to_owned).collect();
    match layer {
        None => Launch { argv, ..environment(container, "") },
        Some(layer) => {
            for name in ["lib", "lib64"] {
                // Made by an earlier container of the test.
                let _ = std::os::unix::fs::symlink(format!("usr/{name}"), layer.join(name));
            }
            let programs =
                Mount { source: "/usr".into(), target: "/usr".to_owned(), read_only: true, ..Mount::default() };
            Launch { argv, mounts: vec![programs], ..image(container, layer, "") }
        }
    }
}

/// The number of the only process with this word among its arguments, on the host.
fn process(word: &str) -> Option<u32> {
    let has = |line: &[u8]| line.split(|byte| *byte == 0).any(|found| found == word.as_bytes());
    let mut all = std::fs::read_dir("/proc").unwrap().flatten();
    let found = all.find(|entry| std::fs::read(entry.path().join("cmdline")).is_ok_and(|line| has(&line)))?;
    found.file_name().to_str()?.parse().ok()
}

/// Another pod, whose container holds a secret: its sandbox, the number of its process on the host, and where the
/// secret is.
async fn neighbour(place: &Place, layer: Option<&Path>) -> (Arc<dyn Sandbox>, u32, u64) {
    let (sender, _) = mpsc::channel(16);
    let second = PodRecord { name: "second".to_owned(), address: "10.244.0.3".to_owned(), ..record("uid-2") };
    let sandbox = place.node.open(second, sender).await.unwrap();
    let word = format!("holder-{}-{}", std::process::id(), layer.is_some());
    sandbox.start(python(layer, "holder", &[HOLDER, &word])).await.unwrap();
    let follow = LogOptions { follow: true, ..LogOptions::default() };
    let group = ferroflow_platform::task::Group::new();
    let line = logs::open(sandbox.log("holder", 0), follow, &group).next().await.unwrap().unwrap();
    let address = std::str::from_utf8(&line).unwrap().trim().parse().unwrap();
    until("the neighbour runs", || process(&word).is_some()).await;
    (sandbox, process(&word).unwrap(), address)
}

/// Whoever tries: the rights of the container, and whether it sees the processes of its pod.
fn rows() -> Vec<(&'static str, Security, bool)> {
    let privileged = Security { privileged: true, ..Security::default() };
    vec![
        ("root", Security::default(), false),
        ("a user", Security { user: Some(1001), ..Security::default() }, false),
        ("privileged", privileged.clone(), false),
        ("privileged, with the pod's processes", privileged, true),
    ]
}

async fn try_everything(isolation: Isolation) {
    let mut place = Place::new().await;
    let layer = if isolation == Isolation::Container { place.layer().await } else { None };
    if !place.has(isolation).await
        || isolation == Isolation::Container && layer.is_none()
        || !Path::new(PYTHON).exists()
    {
        return println!("skipped: no such level here, or no {PYTHON}");
    }
    let pods = place.directory.path().join("pods");
    let (own, other) = (pods.join("uid-1/volumes/data"), pods.join("uid-2/volumes/data/secret"));
    let of_host = place.directory.path().join("secret");
    std::fs::create_dir_all(&own).unwrap();
    let (neighbour, its_number, its_secret) = neighbour(&place, layer.as_deref()).await;
    std::fs::create_dir_all(other.parent().unwrap()).unwrap();
    for file in [&other, &of_host] {
        std::fs::write(file, "secret").unwrap();
        // Whoever gets to it may have it: that nobody does is what is tested.
        std::fs::set_permissions(file, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    }
    let (holder, secret) = Holder::start();
    let handle = said(HANDLE, other.to_str().unwrap());
    let handles: Vec<_> = [("pod", handle)].into_iter().filter(|(_, handle)| !handle.is_empty()).collect();
    let told = |contained: bool, volume: &str| {
        json!({
            "processes": [("host", holder.0.id(), secret), ("pod", its_number, its_secret)],
            "files": [("host", &of_host), ("pod", &other)],
            "handles": handles, "contained": contained, "volume": volume,
        })
        .to_string()
    };
    for (number, (who, security, share_process_namespace)) in (0..).zip(rows()) {
        // The processes of a pod are one pod's in all of its containers.
        let container = if share_process_namespace { "shared" } else { "main" };
        let launch = python(layer.as_deref(), container, &[ATTEMPTS, &told(true, "/data")]).with_mount(&own, "/data");
        let (code, text) = place.run(Launch { security, number, share_process_namespace, ..launch }).await;
        assert_eq!((code, text.as_str()), (0, "end\n"), "{isolation:?}, {who}");
    }
    for file in [&other, &of_host] {
        assert_eq!(std::fs::read_to_string(file).unwrap(), "secret");
    }
    // As a process of the host, by the same user.
    let text = said(ATTEMPTS, &told(false, own.to_str().unwrap()));
    let found: BTreeSet<&str> = text.lines().collect();
    let ways = ["kill", "pidfd", "memory", "mem", "environ", "root", "descriptors", "trace", "read", "change"];
    let mut expected: BTreeSet<String> =
        ways.iter().flat_map(|way| [format!("host {way}"), format!("pod {way}")]).collect();
    expected.insert("end".to_owned());
    if rustix::process::geteuid().is_root() {
        // Only root may open what it has no path to.
        assert_eq!(handles.len(), 1, "this file system gives no handles");
        expected.insert("pod handle".to_owned());
    }
    let expected: BTreeSet<&str> = expected.iter().map(String::as_str).collect();
    assert_eq!(found, expected);
    neighbour.destroy().await.unwrap();
    place.sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn an_image_reaches_no_process_and_no_volume_of_others() {
    try_everything(Isolation::Container).await;
}

#[tokio::test]
async fn an_environment_reaches_no_process_and_no_volume_of_others() {
    try_everything(Isolation::Environment).await;
}
