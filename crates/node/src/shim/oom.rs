//! Tells the kernel which processes to kill first when the machine's memory is at its end.
//!
//! Where this program is not root it may only make others go first; what is refused stays as it was.

/// Sets the figure of the calling process, which those have too that it starts from here on. Only system calls: it may be called between fork and exec.
pub fn adjust_own(score: &[u8]) {
    // SAFETY: the path ends with a null, and the bytes live through the call; the descriptor is closed again.
    unsafe {
        let file = libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        if file >= 0 {
            libc::write(file, score.as_ptr().cast(), score.len());
            libc::close(file);
        }
    }
}
