//! What a thread is doing, as far as the kernel tells: for the log, when a call does not return.

#[cfg(all(feature = "stuck-backtrace", target_arch = "x86_64"))]
mod backtrace;

use nix::libc;
use nix::sys::socket::{SockaddrStorage, getpeername};
use std::fmt::{self, Write as _};
use std::fs;
use std::path::{Path, PathBuf};

/// Where a thread is, from `/proc/self/task/TID`. What cannot be read is left out.
#[derive(Debug, Default)]
pub(crate) struct Whereabouts {
    name: Option<String>,
    /// The system call that it is in.
    syscall: Option<String>,
    /// The kernel function that it sleeps in.
    wait_channel: Option<String>,
    /// The kernel's stack; root may read it.
    kernel_stack: Option<String>,
    /// The functions that it is in, with the feature `stuck-backtrace`.
    frames: Option<Vec<String>>,
}

impl Whereabouts {
    /// Reads a few small files of `/proc`; it does not wait for the thread.
    pub(crate) fn of(thread_id: i32) -> Self {
        let directory = PathBuf::from(format!("/proc/self/task/{thread_id}"));
        let read = |file: &str| line(&directory.join(file));
        Self {
            name: read("comm"),
            syscall: read("syscall").map(|text| describe(&text)),
            wait_channel: read("wchan").filter(|text| text != "0"),
            kernel_stack: read("stack"),
            #[cfg(all(feature = "stuck-backtrace", target_arch = "x86_64"))]
            frames: backtrace::of(thread_id),
            #[cfg(not(all(feature = "stuck-backtrace", target_arch = "x86_64")))]
            frames: None,
        }
    }

    /// The thread's name.
    pub(crate) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or("unknown")
    }
}

impl fmt::Display for Whereabouts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.syscall.as_deref().unwrap_or("nothing known"))?;
        if let Some(channel) = &self.wait_channel {
            write!(f, ", asleep in the kernel's {channel}")?;
        }
        if let Some(stack) = &self.kernel_stack {
            write!(f, ", kernel stack {stack}")?;
        }
        if let Some(frames) = &self.frames {
            write!(f, ", called by {}", frames.join(" < "))?;
        }
        Ok(())
    }
}

/// A file's lines as one; `None` if it cannot be read or says nothing.
fn line(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let text = text.trim().replace('\n', " < ");
    (!text.is_empty()).then_some(text)
}

/// `/proc/…/syscall` in words: a number, six arguments, stack pointer and program counter.
fn describe(text: &str) -> String {
    let mut fields = text.split_whitespace();
    let number = match fields.next() {
        Some("running") => return "computing (in no system call)".to_owned(),
        Some("-1") => return "blocked in the kernel outside of a system call".to_owned(),
        number => number.and_then(|number| number.parse::<i64>().ok()),
    };
    let Some(number) = number else {
        return format!("in system call {text}");
    };
    let known = KNOWN.iter().find(|known| known.number == number);
    let mut words = match known {
        Some(known) => format!("in {}", known.name),
        None => format!("in system call {number}"),
    };
    if known.is_some_and(|known| known.takes_fd)
        && let Some(fd) = fields.next().and_then(argument)
    {
        // A text that cannot grow is no error.
        let _ = write!(words, " on fd {fd}{}", target(fd));
    }
    words
}

fn argument(text: &str) -> Option<i32> {
    let value = u64::from_str_radix(text.trim_start_matches("0x"), 16).ok()?;
    i32::try_from(value).ok()
}

/// What a descriptor of this process stands for now, in brackets.
fn target(fd: i32) -> String {
    if let Ok(peer) = getpeername::<SockaddrStorage>(fd) {
        return format!(" (socket to {peer})");
    }
    fs::read_link(format!("/proc/self/fd/{fd}"))
        .map_or_else(|_| String::new(), |path| format!(" ({})", path.display()))
}

/// A system call that foreign code is likely to hang in.
struct Known {
    number: i64,
    name: &'static str,
    /// Its first argument is a descriptor.
    takes_fd: bool,
}

const fn on_fd(number: i64, name: &'static str) -> Known {
    Known {
        number,
        name,
        takes_fd: true,
    }
}

const fn plain(number: i64, name: &'static str) -> Known {
    Known {
        number,
        name,
        takes_fd: false,
    }
}

const KNOWN: &[Known] = &[
    on_fd(libc::SYS_read, "read"),
    on_fd(libc::SYS_pread64, "pread"),
    on_fd(libc::SYS_readv, "readv"),
    on_fd(libc::SYS_write, "write"),
    on_fd(libc::SYS_pwrite64, "pwrite"),
    on_fd(libc::SYS_writev, "writev"),
    on_fd(libc::SYS_connect, "connect"),
    on_fd(libc::SYS_accept4, "accept"),
    on_fd(libc::SYS_recvfrom, "recvfrom"),
    on_fd(libc::SYS_recvmsg, "recvmsg"),
    on_fd(libc::SYS_sendto, "sendto"),
    on_fd(libc::SYS_sendmsg, "sendmsg"),
    on_fd(libc::SYS_epoll_pwait, "epoll_wait"),
    on_fd(libc::SYS_flock, "flock"),
    on_fd(libc::SYS_fcntl, "fcntl"),
    on_fd(libc::SYS_fsync, "fsync"),
    on_fd(libc::SYS_fdatasync, "fdatasync"),
    plain(libc::SYS_futex, "futex (a lock or a condition variable)"),
    plain(libc::SYS_ppoll, "poll"),
    plain(libc::SYS_pselect6, "select"),
    plain(libc::SYS_nanosleep, "nanosleep"),
    plain(libc::SYS_clock_nanosleep, "clock_nanosleep"),
    plain(libc::SYS_wait4, "wait4 (for a child process)"),
    plain(libc::SYS_waitid, "waitid (for a child process)"),
    plain(libc::SYS_openat, "open"),
    #[cfg(target_arch = "x86_64")]
    plain(libc::SYS_poll, "poll"),
    #[cfg(target_arch = "x86_64")]
    plain(libc::SYS_select, "select"),
    #[cfg(target_arch = "x86_64")]
    on_fd(libc::SYS_epoll_wait, "epoll_wait"),
];

#[cfg(test)]
mod tests {
    use super::{Whereabouts, describe};
    use nix::unistd::gettid;
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};
    use std::sync::mpsc;
    use std::thread;
    use std::time::{Duration, Instant};

    /// Looks at a thread until it is where it should be.
    fn look(thread_id: i32, expected: &str) -> String {
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            let seen = Whereabouts::of(thread_id).to_string();
            if seen.contains(expected) || Instant::now() > until {
                return seen;
            }
            thread::yield_now();
        }
    }

    #[test]
    fn a_thread_that_waits_for_a_server_is_seen_to_wait_for_that_server() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, told) = mpsc::channel();
        let library = thread::Builder::new().name("library".to_owned());
        let waits = move || {
            let mut stream = TcpStream::connect(address).unwrap();
            tell.send(gettid().as_raw()).unwrap();
            stream.read(&mut [0]).unwrap()
        };
        let waiting = library.spawn(waits).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        let thread_id = told.recv().unwrap();
        let seen = look(thread_id, "(socket to");
        assert!(seen.contains("recvfrom on fd"), "{seen}");
        assert!(seen.contains(&address.to_string()), "{seen}");
        assert_eq!(Whereabouts::of(thread_id).name(), "library");
        drop(accepted);
        assert_eq!(waiting.join().unwrap(), 0);
    }

    #[test]
    fn what_the_kernel_says_is_put_into_words() {
        assert_eq!(describe("running"), "computing (in no system call)");
        let futex = format!("{} 0x7f 0x0 0x0", nix::libc::SYS_futex);
        assert!(describe(&futex).starts_with("in futex"));
        assert_eq!(describe("99999 0x1"), "in system call 99999");
        assert!(describe("-1 0x7ffd 0x7f").contains("outside"));
    }

    #[test]
    fn of_a_thread_that_has_ended_nothing_is_known() {
        let thread_id = thread::spawn(|| gettid().as_raw()).join().unwrap();
        let gone = look(thread_id, "nothing known");
        assert_eq!(gone, "nothing known");
    }
}
