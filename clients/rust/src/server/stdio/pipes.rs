//! Keeping the wire clean: stdin and stdout are moved to private descriptors before any component code runs.
//!
//! Afterwards descriptor 1 is the log (stderr) and descriptor 0 is empty, for this process and for every child that it starts:
//! `println!`, C code and commands that write to stdout end up in the log, and nobody can swallow a request by reading stdin.
#![allow(unsafe_code)]

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd};

/// Where the protocol comes from and goes to.
pub(crate) struct WirePipes {
    pub read: File,
    pub write: File,
}

fn checked(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// To be called once per process, before component code runs.
pub(crate) fn take_over_stdio() -> io::Result<WirePipes> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    // SAFETY: plain calls on descriptors; those that are wrapped in files are new and belong to nobody else.
    unsafe {
        if libc::fcntl(2, libc::F_GETFD) < 0 {
            // A closed stderr must not become the place where a later open() lands.
            checked(libc::dup2(null.as_raw_fd(), 2))?;
        }
        let read = File::from_raw_fd(checked(libc::fcntl(0, libc::F_DUPFD_CLOEXEC, 3))?);
        let write = File::from_raw_fd(checked(libc::fcntl(1, libc::F_DUPFD_CLOEXEC, 3))?);
        checked(libc::dup2(null.as_raw_fd(), 0))?;
        checked(libc::dup2(2, 1))?;
        Ok(WirePipes { read, write })
    }
}

/// Whether somebody has started the program by hand.
pub(crate) fn is_terminal_input() -> bool {
    io::IsTerminal::is_terminal(&io::stdin())
}

/// Whether anybody can still read what is written to a pipe or socket.
pub(crate) fn has_reader(pipe: &File) -> bool {
    let mut poll = libc::pollfd { fd: pipe.as_raw_fd(), events: 0, revents: 0 };
    // SAFETY: one entry, and the count says so.
    let ready = unsafe { libc::poll(&mut poll, 1, 0) };
    ready <= 0 || poll.revents & (libc::POLLERR | libc::POLLHUP | libc::POLLNVAL) == 0
}

pub(crate) fn parent() -> i32 {
    // SAFETY: it takes nothing and cannot fail.
    unsafe { libc::getppid() }
}

/// As `read`; waits where the descriptor does not, which somebody who shares it may have asked for.
pub(crate) fn read_some(pipe: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match pipe.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => wait_for(pipe, libc::POLLIN),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

/// As `write_all`, with the same patience.
pub(crate) fn write_all(pipe: &mut File, mut data: &[u8]) -> io::Result<()> {
    while !data.is_empty() {
        match pipe.write(data) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => data = &data[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => wait_for(pipe, libc::POLLOUT),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn wait_for(pipe: &File, event: libc::c_short) {
    let mut poll = libc::pollfd { fd: pipe.as_raw_fd(), events: event, revents: 0 };
    // SAFETY: one entry, and the count says so. An error shows at the next read or write.
    unsafe { libc::poll(&mut poll, 1, -1) };
}
