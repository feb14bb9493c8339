//! From a name to an open file, without a way out of the root.
//!
//! Whatever is opened is opened without blocking and looked at before it is read: a name may be a FIFO
//! that nobody writes to, or a device.

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat, openat2};
use nix::sys::stat::Mode;

use crate::Error;

use super::name::Name;

/// How a worker opens files. There is nothing that could grow old in it.
#[derive(Debug)]
pub struct Session {
    /// The kernel has the call, and nothing (such as an old container's filter) refuses it.
    has_openat2: bool,
}

/// An open folder.
#[derive(Debug)]
pub(super) struct Folder(OwnedFd);

/// An open file that can be read.
#[derive(Debug)]
pub(super) struct PlainFile {
    pub(super) file: File,
    pub(super) metadata: Metadata,
}

/// What a name leads to.
#[derive(Debug)]
pub(super) enum Found {
    File(PlainFile),
    Folder(Folder),
}

/// The answer to every name that leads to no file: why is nobody's business.
pub(super) fn no_such_file() -> Error {
    Error::not_found("there is no such file")
}

/// Opens the root. It may be a symbolic link, and another one than a moment ago.
pub(super) fn root(path: &Path) -> Result<Folder, Error> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    open(path, flags, Mode::empty())
        .map(Folder)
        .map_err(|errno| {
            let refused = refusal(errno);
            match errno {
                Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP | Errno::EACCES => {
                    Error::bad_gateway("the folder of the files cannot be used").with_source(
                        Named {
                            path: path.display().to_string(),
                            errno,
                        },
                    )
                }
                _ => refused,
            }
        })
}

impl Session {
    /// Finds out what the kernel offers.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let root = root(path)?;
        let how = OpenHow::new()
            .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_BENEATH);
        let has_openat2 = openat2(&root.0, ".", how).is_ok();
        Ok(Self { has_openat2 })
    }

    #[cfg(test)]
    pub(super) fn without_openat2() -> Self {
        Self { has_openat2: false }
    }

    /// Opens what the name leads to, from this folder on.
    pub(super) fn open_in(
        &self,
        folder: &Folder,
        name: &Name<'_>,
        follow_symlinks: bool,
    ) -> Result<Found, Error> {
        let opened = match (self.has_openat2, follow_symlinks) {
            (true, _) => with_openat2(folder, name, follow_symlinks),
            (false, true) => openat(&folder.0, or_dot(name.path()), READ, Mode::empty()),
            (false, false) => part_by_part(folder, name),
        };
        let file = File::from(opened.map_err(refusal)?);
        let metadata = file.metadata().map_err(of_disk)?;
        if metadata.is_dir() {
            return Ok(Found::Folder(Folder(file.into())));
        }
        if !metadata.is_file() {
            return Err(no_such_file());
        }
        Ok(Found::File(PlainFile { file, metadata }))
    }
}

/// For reading. `O_NONBLOCK` does nothing for a file, and keeps a FIFO from waiting for its writer.
const READ: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_NONBLOCK)
    .union(OFlag::O_NOCTTY)
    .union(OFlag::O_CLOEXEC);

fn with_openat2(folder: &Folder, name: &Name<'_>, follow: bool) -> nix::Result<OwnedFd> {
    let resolve = if follow {
        ResolveFlag::RESOLVE_NO_MAGICLINKS
    } else {
        ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS
    };
    let how = OpenHow::new().flags(READ).resolve(resolve);
    openat2(&folder.0, or_dot(name.path()), how)
}

/// The same, one folder after the other, each known not to be a link.
fn part_by_part(folder: &Folder, name: &Name<'_>) -> nix::Result<OwnedFd> {
    let down = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mut parts = name.parts().peekable();
    let mut at: Option<OwnedFd> = None;
    while let Some(part) = parts.next() {
        let flags = match parts.peek() {
            Some(_) => down,
            None => READ | OFlag::O_NOFOLLOW,
        };
        at = Some(match &at {
            Some(at) => openat(at, part, flags, Mode::empty())?,
            None => openat(&folder.0, part, flags, Mode::empty())?,
        });
    }
    match at {
        Some(opened) => Ok(opened),
        None => openat(&folder.0, ".", READ, Mode::empty()),
    }
}

fn or_dot(path: &str) -> &str {
    if path.is_empty() { "." } else { path }
}

/// What the log says of the root: its path, which the system's own words lack.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {errno}")]
struct Named {
    path: String,
    errno: Errno,
}

/// What a client is told when a file cannot be opened.
fn refusal(errno: Errno) -> Error {
    let refused = match errno {
        Errno::ENOENT
        | Errno::ENOTDIR
        | Errno::ELOOP
        | Errno::EXDEV
        | Errno::ENAMETOOLONG
        | Errno::EINVAL
        | Errno::ENXIO
        | Errno::ENODEV => no_such_file(),
        Errno::EACCES | Errno::EPERM => Error::forbidden("the file may not be read"),
        Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM | Errno::EAGAIN => {
            Error::unavailable("the file cannot be opened just now; try again")
        }
        Errno::EIO | Errno::ESTALE | Errno::ETIMEDOUT | Errno::EHOSTDOWN => {
            Error::bad_gateway("the disk with the file cannot be read")
        }
        _ => Error::internal("the file cannot be opened"),
    };
    refused.with_source(errno)
}

/// What a client is told when an open file cannot be read.
pub(super) fn of_disk(error: io::Error) -> Error {
    Error::bad_gateway("the disk with the file cannot be read").with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn openat2_is_used_where_there_is_one() {
        let kernel_has_it = openat2(nix::fcntl::AT_FDCWD, ".", OpenHow::new()).is_ok();
        let session = Session::open(Path::new(".")).unwrap();
        assert_eq!(session.has_openat2, kernel_has_it);
    }

    #[test]
    fn each_errno_has_its_kind_and_goes_to_the_log() {
        let cases = [
            (Errno::ENOENT, ErrorKind::NotFound),
            (Errno::ELOOP, ErrorKind::NotFound),
            (Errno::EXDEV, ErrorKind::NotFound),
            (Errno::ENXIO, ErrorKind::NotFound),
            (Errno::ENAMETOOLONG, ErrorKind::NotFound),
            (Errno::EACCES, ErrorKind::Forbidden),
            (Errno::EMFILE, ErrorKind::Unavailable),
            (Errno::EAGAIN, ErrorKind::Unavailable),
            (Errno::EIO, ErrorKind::BadGateway),
            (Errno::EBADF, ErrorKind::Internal),
        ];
        for (errno, kind) in cases {
            let error = refusal(errno);
            assert_eq!(error.kind(), kind, "{errno}");
            assert!(std::error::Error::source(&error).is_some());
        }
    }
}
