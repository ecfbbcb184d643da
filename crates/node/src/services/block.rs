//! The block of loopback addresses that belongs to one cluster of this host: 127.X.0.0/16.
//!
//! Whoever runs has a lock on its block: a name among this host's abstract sockets, which the kernel frees when
//! the process ends. Pods outlive the server, so a block is also taken where sockets are bound in it.

use std::{
    fs,
    io::{self, ErrorKind},
    os::{
        linux::net::SocketAddrExt,
        unix::{ffi::OsStrExt, net::SocketAddr, net::UnixListener},
    },
    path::{Path, PathBuf},
};

use ferroflow_platform::blob;
use sha2::{Digest, Sha256};

/// Blocks that may be used: others use 127.0 to 127.15 in many ways, and the last ones are left to people.
const FIRST: u8 = 16;
const LAST: u8 = 250;
/// The file that remembers the block.
const FILE: &str = "block";

/// A cluster has no block of addresses.
#[derive(Debug, thiserror::Error)]
pub enum BlockError {
    #[error(
        "pods of this cluster run at 127.{block}.0.0/16, which another cluster of this host has taken meanwhile; stop \
         the other one, or end these pods with `ferroflow down`"
    )]
    Taken { block: u8 },
    #[error("all blocks of loopback addresses from 127.{FIRST} to 127.{LAST} are taken; stop another cluster")]
    None,
    #[error("cannot lock 127.{block}.0.0/16: {source}")]
    Lock { block: u8, source: io::Error },
    #[error("the file of the cluster's block of addresses: {0}")]
    File(#[from] blob::Error),
    #[error("the directory {path} has no absolute path: {source}")]
    Path { path: PathBuf, source: io::Error },
}

/// Whether processes of this cluster live on from an earlier server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Living {
    Pods,
    Nothing,
}

/// A block that belongs to this process until it ends.
#[derive(Debug)]
pub struct Block {
    /// The second octet.
    pub number: u8,
    _lock: UnixListener,
}

/// Takes the block that the directory remembers, else one that follows from the directory's path, else the next
/// free one.
///
/// # Errors
/// [`BlockError`].
pub fn choose(directory: &Path, living: Living) -> Result<Block, BlockError> {
    let files = blob::Directory::new(directory);
    let stored = files.get(FILE)?.and_then(|bytes| String::from_utf8(bytes).ok()?.trim().parse().ok());
    let stored: Option<u8> = stored.filter(|number| (FIRST..=LAST).contains(number));
    if let Some(block) = stored {
        match lock(block) {
            Ok(lock) => return Ok(Block { number: block, _lock: lock }),
            Err(error) if !is_taken(&error) => return Err(BlockError::Lock { block, source: error }),
            Err(_) if living == Living::Pods => return Err(BlockError::Taken { block }),
            Err(_) => {}
        }
    }
    let absolute =
        std::path::absolute(directory).map_err(|source| BlockError::Path { path: directory.to_owned(), source })?;
    let bound = bound_blocks();
    for block in candidates(&absolute).filter(|block| !bound.contains(block)) {
        match lock(block) {
            Ok(lock) => {
                files.put(FILE, format!("{block}\n").as_bytes())?;
                return Ok(Block { number: block, _lock: lock });
            }
            Err(error) if is_taken(&error) => {}
            Err(source) => return Err(BlockError::Lock { block, source }),
        }
    }
    Err(BlockError::None)
}

/// All blocks, from the one that the path leads to.
fn candidates(path: &Path) -> impl Iterator<Item = u8> {
    let digest = Sha256::digest(path.as_os_str().as_bytes());
    let count = LAST - FIRST + 1;
    let start = u16::from_be_bytes([digest[0], digest[1]]) % u16::from(count);
    (0..u16::from(count))
        .filter_map(move |step| u8::try_from((start + step) % u16::from(count)).ok())
        .map(|n| FIRST + n)
}

fn lock(block: u8) -> io::Result<UnixListener> {
    UnixListener::bind_addr(&SocketAddr::from_abstract_name(format!("ferroflow-block-{block}"))?)
}

fn is_taken(error: &io::Error) -> bool {
    error.kind() == ErrorKind::AddrInUse
}

/// The blocks in which some process of this host has bound a socket.
fn bound_blocks() -> Vec<u8> {
    let files = ["/proc/net/tcp", "/proc/net/udp", "/proc/net/tcp6", "/proc/net/udp6"];
    let texts = files.iter().filter_map(|file| fs::read_to_string(file).ok());
    texts.flat_map(|text| text.lines().filter_map(block_of).collect::<Vec<u8>>()).collect()
}

/// The block of a line of `/proc/net/tcp`: its second word is the local address, `0100007F:1F90`, the last
/// octet first; of IPv6, an address that stands for one of IPv4 ends with the same eight digits.
fn block_of(line: &str) -> Option<u8> {
    let (address, _) = line.split_whitespace().nth(1)?.split_once(':')?;
    let (before, last) = address.split_at_checked(address.len().checked_sub(8)?)?;
    let mapped = before.is_empty() || before == "0000000000000000FFFF0000";
    let number = u32::from_str_radix(last, 16).ok().filter(|_| mapped)?;
    let [octet, block, ..] = number.to_le_bytes();
    (octet == 127 && block >= FIRST).then_some(block)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    #[test]
    fn a_directory_keeps_its_block_and_two_never_share_one() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let one = choose(first.path(), Living::Nothing).unwrap();
        let other = choose(second.path(), Living::Nothing).unwrap();
        assert_ne!(one.number, other.number);
        let number = one.number;
        // The second one wants what the first one has.
        fs::write(second.path().join(FILE), number.to_string()).unwrap();
        drop(other);
        let error = choose(second.path(), Living::Pods).unwrap_err();
        assert!(error.to_string().contains(&format!("127.{number}.0.0/16, which another cluster")), "{error}");
        assert_ne!(choose(second.path(), Living::Nothing).unwrap().number, number);
        drop(one);
        // A test of another program may take it in this moment; then it is that one, and no other, that is missed.
        match choose(first.path(), Living::Pods) {
            Ok(again) => assert_eq!(again.number, number),
            Err(error) => assert!(error.to_string().contains(&format!("127.{number}.0.0/16")), "{error}"),
        }
    }

    #[test]
    fn a_block_in_which_somebody_listens_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let wanted = candidates(&std::path::absolute(directory.path()).unwrap()).next().unwrap();
        let _foreign = TcpListener::bind((Ipv4Addr::new(127, wanted, 0, 5), 0)).unwrap();
        assert_ne!(choose(directory.path(), Living::Nothing).unwrap().number, wanted);
    }

    #[test]
    fn every_block_is_tried_once() {
        let mut all: Vec<u8> = candidates(Path::new("/some/where")).collect();
        all.sort_unstable();
        assert_eq!(all, (FIRST..=LAST).collect::<Vec<u8>>());
        assert_eq!(block_of("  1: 0508107F:1F90 00000000:0000 0A"), Some(16));
        assert_eq!(block_of("  1: 0100007F:1F90 00000000:0000 0A"), None);
        assert_eq!(block_of("  1: 0000000000000000FFFF00000508107F:1F90 0:0 0A"), Some(16));
        assert_eq!(block_of("  sl  local_address rem_address"), None);
    }
}
