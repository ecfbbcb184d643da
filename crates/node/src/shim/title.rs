//! The command line of a process that was forked and not executed: what `ps` shows, and what a pod's supervisor is
//! found by.

use std::{fs, io};

/// Where `arg_start` is in `/proc/PID/stat` after the program's name, which the third field comes after; it is the 48th
/// (proc_pid_stat(5)).
const ARGUMENTS: usize = 48 - 3;

/// The memory of this process that its last arguments lie in, which the kernel shows as it is.
pub struct Room {
    address: usize,
    length: usize,
}

impl Room {
    /// The arguments from the one that is `first` on.
    ///
    /// # Errors
    /// When `/proc` does not tell where they are.
    pub fn from(first: &str) -> io::Result<Self> {
        let (line, stat) = (fs::read("/proc/self/cmdline")?, fs::read_to_string("/proc/self/stat")?);
        find(&line, &stat, first)
            .ok_or_else(|| io::Error::other(format!("{first} is not found in this process's memory")))
    }

    /// Writes one argument in their place, as much of it as there is room for.
    pub fn write(&self, argument: &[u8]) {
        let length = argument.len().min(self.length.saturating_sub(1));
        let start = std::ptr::with_exposed_provenance_mut::<u8>(self.address);
        // SAFETY: these are the bytes of arguments on this process's stack, above all frames, which stay for as long as
        // it lives. Nothing holds a reference to them: who asks for arguments gets copies, up to a null.
        unsafe {
            start.write_bytes(0, self.length);
            start.copy_from_nonoverlapping(argument.as_ptr(), length);
        }
    }
}

fn find(line: &[u8], stat: &str, first: &str) -> Option<Room> {
    let (_, fields) = stat.rsplit_once(')')?;
    let start: usize = fields.split_whitespace().nth(ARGUMENTS)?.parse().ok()?;
    let mut words = line.split_inclusive(|byte| *byte == 0);
    let mut offset = 0;
    loop {
        let word = words.next()?;
        if word.strip_suffix(&[0]) == Some(first.as_bytes()) {
            return (start > 0).then_some(Room { address: start + offset, length: line.len() - offset });
        }
        offset += word.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_arguments_lie_where_the_process_says_that_they_begin() {
        let mut stat = "7 (a) name) S".to_owned();
        (4..48).for_each(|field| stat += &format!(" {field}"));
        let rows = [
            ("program\0pod-shim\0--last\0   \0", 1000, Some((1000 + 17, 11))),
            ("--last\0", 1000, Some((1000, 7))),
            // What a process may not look at is a zero.
            ("program\0--last\0", 0, None),
            ("program\0--lasting\0", 1000, None),
            ("program\0--last", 1000, None),
        ];
        for (line, start, expect) in rows {
            let found = find(line.as_bytes(), &format!("{stat} {start} 5000"), "--last");
            assert_eq!(found.map(|room| (room.address, room.length)), expect, "{line:?}");
        }
    }
}
