//! The folder in which all backends of this process have their files, and who removes it.
//!
//! A test program ends by `exit`, which runs no destructors of statics, or by a signal, which runs none at
//! all. So a small shell is started with the folder: it waits on a pipe until this process is gone, however
//! it went, and then removes the folder. It also wakes servers that were paused, for they could not see that
//! they shall end.

use std::env;
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};

use nix::sys::statvfs::statvfs;
use nix::unistd::{Gid, Uid, User};

use super::{find, tool};

const JANITOR: &str = r#"
trap '' HUP INT TERM
pids=
while read -r pid; do pids="$pids $pid"; done
[ -z "$pids" ] || kill -CONT $pids
tries=0
until rm -rf -- "$1" || [ "$((tries += 1))" -eq 100 ]; do sleep 0.1; done
"#;

/// A file system in memory. A database is a thousand small files: making one takes a third of the time there, and
/// copying one a tenth.
const MEMORY: &str = "/dev/shm";

/// More than all backends of a test program use.
const ROOM_BYTES: u64 = 2 << 30;

struct Home {
    path: PathBuf,
    /// It reads the end of its input when this process has ended.
    janitor: Mutex<Child>,
}

static HOME: LazyLock<Home> = LazyLock::new(Home::new);

impl Home {
    fn new() -> Self {
        let new = |place: &Path| {
            tempfile::Builder::new()
                .prefix("pontoon-")
                .tempdir_in(place)
        };
        let in_memory = has_room(Path::new(MEMORY)).then(|| new(Path::new(MEMORY)));
        let folder = in_memory.and_then(Result::ok);
        let folder = folder.unwrap_or_else(|| new(&env::temp_dir()).expect("a temporary folder"));
        let path = folder.keep();
        // Others may pass through it, but not list it.
        fs::set_permissions(&path, Permissions::from_mode(0o711)).expect("our own folder");
        let janitor = Command::new("sh")
            .args(["-c", JANITOR, "janitor"])
            .arg(&path)
            .stdin(Stdio::piped())
            // Whoever reads our output does not wait for the janitor.
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // What ends us from the terminal does not end it.
            .process_group(0)
            .spawn();
        Self {
            path,
            janitor: Mutex::new(janitor.expect("a shell")),
        }
    }
}

fn has_room(place: &Path) -> bool {
    statvfs(place).is_ok_and(|fs| fs.blocks_available() * fs.fragment_size() >= ROOM_BYTES)
}

/// Who runs the backends, if that is not us.
pub(super) fn user() -> Option<(Uid, Gid)> {
    static USER: LazyLock<Option<(Uid, Gid)>> = LazyLock::new(|| {
        let nobody = User::from_name("nobody").ok().flatten();
        Uid::effective().is_root().then(|| {
            let nobody = nobody.expect("there is a user `nobody`");
            (nobody.uid, nobody.gid)
        })
    });
    *USER
}

/// A new folder that belongs to [`user`].
pub(super) fn new_folder(name: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    // Relaxed: only that it is another number each time.
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    // Short, for the path of a Unix socket has 107 bytes.
    let folder = HOME.path.join(format!("{name}{number}"));
    fs::create_dir(&folder).expect("a name that is free");
    fs::set_permissions(&folder, Permissions::from_mode(0o711)).expect("our own folder");
    if let Some((uid, gid)) = user() {
        chown(&folder, Some(uid.as_raw()), Some(gid.as_raw())).expect("root may do that");
    }
    folder
}

/// Copies a folder of [`user`]'s, with all that is in it.
pub(super) fn copy(from: &Path, to: &Path) {
    static CP: LazyLock<PathBuf> =
        LazyLock::new(|| find::program(&["cp"], &[]).expect("every system has `cp`"));
    let mut copy = tool::owned(&CP, "KILL");
    copy.arg("-a").arg(from).arg(to);
    tool::run(copy, b"").unwrap_or_else(|error| panic!("copying {}: {error}", from.display()));
}

/// Tells the janitor of a process that must not stay paused when we are gone.
pub(super) fn tell_janitor(pid: u32) {
    let mut janitor = HOME.janitor.lock().unwrap_or_else(PoisonError::into_inner);
    let input = janitor.stdin.as_mut().expect("it is piped");
    writeln!(input, "{pid}").expect("it reads until we end");
}
