//! The words between a node agent and the supervisor of one pod: JSON values, each after its length.
//!
//! A frame is four bytes of length (big-endian) and so many bytes of JSON. File descriptors that a
//! request needs travel beside its first byte. Nothing here opens or reads a socket.
//!
//! The two ends may be programs of different versions: a supervisor is the program that started its pod, and lives until
//! the pod ends. So an agent that finds one greets it first ([`Operation::Hello`]), and speaks with it only if they
//! have a [`common`] version. Frames, `Hello` and `Shutdown` are the same in all versions, for ever.

use std::{collections::BTreeMap, net::Ipv4Addr, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::{
    core::{
        cgroup::{Bounds, Place},
        record::Attempt,
        rewrite::Mapping,
    },
    runtime::{Etc, Mount, Root, Security},
};

use super::network::filter::Asks;

/// A frame longer than this is refused: no environment or command line is larger on Linux.
pub const FRAME_LIMIT: usize = 8 << 20;

/// The version of these words. It grows with each change that the other end has to know of.
pub const VERSION: u32 = 1;
/// The oldest version that this program still speaks. 0 is that of supervisors that know no greeting: they close the
/// connection on which they are greeted.
pub const OLDEST: u32 = 0;

/// Which versions of these words a program speaks: all from the oldest one on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    pub version: u32,
    pub oldest: u32,
}

impl Hello {
    /// What is answered to words of a later version.
    pub fn unknown(self, reason: &str) -> String {
        let version = self.version;
        format!(
            "the pod's supervisor speaks version {version} of its protocol and does not know what it is asked: {reason}"
        )
    }
}

/// What this program speaks.
pub const OWN: Hello = Hello { version: VERSION, oldest: OLDEST };

/// The version in which two programs speak with each other: the newest that both know; `None` where there is none.
pub fn common(one: Hello, other: Hello) -> Option<u32> {
    let version = one.version.min(other.version);
    (version >= one.oldest.max(other.oldest)).then_some(version)
}

/// What an agent asks; every request is answered by one [`Reply`] with the same id.
#[derive(Debug, Serialize, Deserialize)]
pub struct Request {
    pub id: u64,
    pub operation: Operation,
}

/// The requests.
#[derive(Debug, Serialize, Deserialize)]
pub enum Operation {
    /// Says which versions the agent speaks; answered by those of the supervisor.
    Hello(Hello),
    /// Starts a container's process; answered when it has been executed, or could not be.
    Start(Box<Start>),
    /// Sends `signal` to a container's process, and kills its group after `grace_ms`.
    Stop { container: String, signal: i32, grace_ms: u64 },
    /// Runs one more process in a container; its descriptors come with the request.
    Exec(Exec),
    /// Joins a container's streams; its descriptors come with the request.
    Attach { container: String, stdin: bool, stdout: bool, stderr: bool },
    /// The containers that run now.
    Status,
    /// Sends [`Event`]s on this connection from now on.
    Subscribe,
    /// Kills everything and ends the supervisor.
    Shutdown,
}

/// How to start a container's process. Without a [`Jail`] every path is one of the host; with one, all but those
/// in it are the container's.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Start {
    /// What is stored of this run; `started_at` is set by the supervisor.
    pub attempt: Attempt,
    pub argv: Vec<String>,
    pub env: BTreeMap<String, String>,
    pub working_dir: String,
    pub tty: bool,
    pub stdin: bool,
    pub stdin_once: bool,
    /// The process tree is killed when its resident memory passes this.
    pub memory_limit_bytes: Option<u64>,
    /// In thousandths of a processor.
    #[serde(default)]
    pub cpu_limit_millis: Option<u64>,
    #[serde(default)]
    pub cpu_request_millis: Option<u64>,
    /// What the whole pod asks for.
    #[serde(default)]
    pub pod_cpu_request_millis: Option<u64>,
    #[serde(default)]
    pub pids_limit: Option<u64>,
    /// How early it is killed when the machine's memory is at its end: proc_pid_oom_score_adj(5).
    #[serde(default)]
    pub oom_score_adj: i32,
    /// The pod's control group, in which the container's is made; `None` where there are none.
    #[serde(default)]
    pub cgroup: Option<Place>,
    /// As whom it runs. Without a jail only user and group count, and only root may ask for others than itself.
    #[serde(default)]
    pub security: Security,
    /// What keeps it apart; `None` for a process of the host.
    #[serde(default)]
    pub jail: Option<Jail>,
    /// What stands for the container's paths: they are replaced in the arguments of an [`Exec`].
    #[serde(default)]
    pub paths: Vec<Mapping>,
    /// The addresses of its sockets are those of the cluster's network; without, those of the host.
    #[serde(default)]
    pub network: Option<Network>,
}

/// How the sockets of a pod's processes get their addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Where the [`Table`](crate::core::network::Table) is.
    pub table: PathBuf,
    /// The pod's address as objects show it.
    pub address: Ipv4Addr,
    /// The pod is in the host's network: it reaches services, and binds the host's addresses.
    pub host: bool,
    /// The socket of the [hub](super::hub), where each pod has a network namespace of its own.
    #[serde(default)]
    pub hub: Option<PathBuf>,
}

impl Network {
    /// What is asked about the pod's calls.
    pub fn asks(&self) -> Asks {
        if self.hub.is_some() { Asks::Destinations } else { Asks::Addresses }
    }
}

impl Start {
    /// What the container may use.
    pub fn bounds(&self) -> Bounds {
        Bounds {
            memory_bytes: self.memory_limit_bytes,
            cpu_limit_millis: self.cpu_limit_millis,
            cpu_request_millis: self.cpu_request_millis,
            pod_cpu_request_millis: self.pod_cpu_request_millis,
            pids: self.pids_limit,
        }
    }

    /// The name of its control group in the pod's: each run has one of its own, so that nothing is counted twice.
    pub fn group_name(&self) -> String {
        group_name(&self.attempt.container, self.attempt.number)
    }
}

/// The name of the control group of a run.
pub fn group_name(container: &str, number: u32) -> String {
    format!("{container}.{number}")
}

/// What a container sees in place of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jail {
    /// Never [`Root::Bare`].
    pub root: Root,
    /// A directory of this run alone: what it writes to its root, to `/tmp` and to its home.
    pub scratch: PathBuf,
    pub mounts: Vec<Mount>,
    pub devices: Vec<PathBuf>,
    pub hostname: String,
    pub etc: Etc,
    pub sysctls: BTreeMap<String, String>,
    pub share_process_namespace: bool,
    /// A directory of the host that an environment does not show.
    #[serde(default)]
    pub hidden: Option<PathBuf>,
    /// The pod's number among those of its node: which user ids of the host it has, where this program is root.
    pub ids: u32,
}

/// How to run a further process in a container.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Exec {
    pub container: String,
    pub argv: Vec<String>,
    /// Which descriptors come with the request, in this order. With `tty` there is one: the terminal.
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
    pub tty: bool,
}

/// The answer to a request.
#[derive(Debug, Serialize, Deserialize)]
pub enum Answer {
    Done,
    Hello(Hello),
    Started(Attempt),
    Running(Vec<Live>),
}

/// A container that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Live {
    pub container: String,
    pub number: u32,
    pub pid: i32,
}

/// What a supervisor sends.
#[derive(Debug, Serialize, Deserialize)]
pub enum Message {
    Reply(Reply),
    Event(Event),
}

/// The answer to the request with this id.
#[derive(Debug, Serialize, Deserialize)]
pub struct Reply {
    pub id: u64,
    pub result: Result<Answer, String>,
}

/// What happened without being asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Event {
    /// A container ended; the record is on disk already.
    Exited(Attempt),
    /// The process that this connection's [`Exec`] started has ended.
    ExecExited { code: i32 },
}

/// Puts a value into a frame.
///
/// # Errors
/// When the value is no JSON, or too long for a frame.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, String> {
    let body = serde_json::to_vec(value).map_err(|error| error.to_string())?;
    if body.len() > FRAME_LIMIT {
        return Err(format!("a message of {} bytes is longer than {FRAME_LIMIT}", body.len()));
    }
    let length = u32::try_from(body.len()).map_err(|error| error.to_string())?;
    let mut frame = Vec::with_capacity(4 + body.len());
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(&body);
    Ok(frame)
}

/// Takes the first whole frame off `buffer`; `None` when it is not complete yet.
///
/// # Errors
/// When the frame is too long or is not the JSON that is expected.
pub fn decode<T: serde::de::DeserializeOwned>(buffer: &mut Vec<u8>) -> Result<Option<T>, String> {
    let Some(head) = buffer.first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_be_bytes(*head) as usize;
    if length > FRAME_LIMIT {
        return Err(format!("a frame of {length} bytes is longer than {FRAME_LIMIT}"));
    }
    let Some(body) = buffer.get(4..4 + length) else { return Ok(None) };
    let value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    buffer.drain(..4 + length);
    Ok(Some(value))
}

/// Takes a frame off `buffer` that could not be read, and tells the number of the request in it; `None` where it is none.
pub fn skip(buffer: &mut Vec<u8>) -> Option<u64> {
    #[derive(Deserialize)]
    struct Numbered {
        id: u64,
    }
    decode(buffer).ok().flatten().map(|Numbered { id }| id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_programs_speak_the_newest_version_that_both_know() {
        let hello = |oldest, version| Hello { version, oldest };
        let rows = [
            (hello(0, 1), hello(0, 1), Some(1)),
            (hello(0, 1), hello(0, 0), Some(0)),
            (hello(0, 1), hello(1, 7), Some(1)),
            (hello(0, 1), hello(2, 7), None),
            (hello(3, 5), hello(1, 2), None),
        ];
        for (one, other, expected) in rows {
            assert_eq!(common(one, other), expected, "{one:?} {other:?}");
            assert_eq!(common(other, one), expected, "{other:?} {one:?}");
        }
    }

    #[test]
    fn a_request_of_a_later_version_is_skipped_by_its_number() {
        let later = serde_json::json!({"id": 7, "operation": {"Dance": {"steps": 3}}});
        let mut buffer =
            [encode(&later).unwrap(), encode(&Request { id: 8, operation: Operation::Status }).unwrap()].concat();
        assert!(decode::<Request>(&mut buffer).unwrap_err().contains("Dance"));
        assert_eq!(skip(&mut buffer), Some(7));
        assert_eq!(decode::<Request>(&mut buffer).unwrap().map(|request| request.id), Some(8));
        assert_eq!(skip(&mut encode(&"words").unwrap()), None);
    }
}
