//! A `pontoon` process that ends with its test.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use pontoon_tests::client::Connection;
use pontoon_tests::wait::eventually_some;
use tempfile::TempDir;

/// The process and what it has written so far. Dropping it kills it.
pub(crate) struct Process {
    child: Child,
    out: Lines,
    err: Lines,
    /// Where it puts its temporary files; removed even when it is killed.
    _temporary: TempDir,
    /// Kept until it has been read, and longer.
    config: Option<ConfigFile>,
}

type Lines = Arc<Mutex<Vec<String>>>;

/// How a process ended.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Process {
    /// Starts `pontoon` with these arguments, without the caller's log settings.
    pub(crate) fn start<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Self {
        Self::spawn(Command::new(env!("CARGO_BIN_EXE_pontoon")).args(arguments))
    }

    /// As [`start`](Self::start), below a shell's limits, such as `ulimit -n 20`, or with its
    /// redirections: `exec 2>/dev/full`.
    pub(crate) fn start_below<A: AsRef<OsStr>>(
        shell: &str,
        arguments: impl IntoIterator<Item = A>,
    ) -> Self {
        let script = format!("{shell}; exec \"$0\" \"$@\"");
        let mut command = Command::new("sh");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_pontoon")]);
        Self::spawn(command.args(arguments))
    }

    fn spawn(command: &mut Command) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let mut child = command
            .env("TMPDIR", temporary.path())
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let out = collect(child.stdout.take().unwrap());
        let err = collect(child.stderr.take().unwrap());
        Self {
            child,
            out,
            err,
            _temporary: temporary,
            config: None,
        }
    }

    /// Runs a command that ends by itself.
    pub(crate) fn run<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Ended {
        Self::start(arguments).wait()
    }

    /// The first line on stdout that `pick` finds something in.
    pub(crate) fn out_line<T>(&self, what: &str, pick: impl Fn(&str) -> Option<T>) -> T {
        eventually_some(what, || {
            self.out.lock().unwrap().iter().find_map(|l| pick(l))
        })
    }

    /// The first line on stderr that `pick` finds something in.
    pub(crate) fn err_line<T>(&self, what: &str, pick: impl Fn(&str) -> Option<T>) -> T {
        eventually_some(what, || {
            self.err.lock().unwrap().iter().find_map(|l| pick(l))
        })
    }

    /// Everything on stdout so far.
    pub(crate) fn out(&self) -> String {
        self.out.lock().unwrap().join("\n")
    }

    /// The config file that it serves.
    pub(crate) fn config(&self) -> &ConfigFile {
        self.config.as_ref().unwrap()
    }

    /// Where `pontoon run` says that it listens, with `--log-format json`.
    pub(crate) fn listens_on(&self) -> SocketAddr {
        self.err_line("it listens", |line| {
            let line: serde_json::Value = serde_json::from_str(line).ok()?;
            line["fields"]["address"].as_str()?.parse().ok()
        })
    }

    /// A connection to where it listens.
    pub(crate) fn connect(&self) -> Connection {
        Connection::open(self.listens_on())
    }

    /// Everything on stderr so far.
    pub(crate) fn err(&self) -> String {
        self.err.lock().unwrap().join("\n")
    }

    pub(crate) fn is_running(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()));
        // Ended and not waited for: a zombie.
        stat.is_ok_and(|stat| !stat.contains(") Z "))
    }

    pub(crate) fn has_thread(&self, name: &str) -> bool {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        tasks
            .filter_map(Result::ok)
            .filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok())
            .any(|comm| comm.trim_end() == name)
    }

    /// Its threads and open file descriptors.
    pub(crate) fn usage(&self) -> (usize, usize) {
        let count = |what| {
            let folder = format!("/proc/{}/{what}", self.child.id());
            std::fs::read_dir(folder).unwrap().count()
        };
        (count("task"), count("fd"))
    }

    /// The CPU time that it has used.
    pub(crate) fn cpu_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // The name in parentheses may have spaces; user and system time are fields 14 and 15.
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let fields: Vec<_> = fields.split(' ').collect();
        let ticks = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        // The unit is fixed for programs, whatever the kernel's own clock does.
        Duration::from_millis(ticks * 10)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).unwrap();
        signal::kill(Pid::from_raw(pid), signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) fn wait(mut self) -> Ended {
        let status: ExitStatus =
            eventually_some("the process ends", || self.child.try_wait().unwrap());
        // The pipes end with the process; the collectors' clones go with their threads.
        let all = |lines: &Lines| {
            eventually_some("its output ends", || {
                (Arc::strong_count(lines) == 1).then(|| lines.lock().unwrap().join("\n"))
            })
        };
        Ended {
            code: status.code(),
            out: all(&self.out),
            err: all(&self.err),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Gone already if the test waited for it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collect(stream: impl Read + Send + 'static) -> Lines {
    let lines = Lines::default();
    let collected = Arc::clone(&lines);
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            collected.lock().unwrap().push(line);
        }
    });
    lines
}

/// A config file in a folder of its own.
pub(crate) struct ConfigFile(tempfile::TempDir);

impl ConfigFile {
    pub(crate) fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("pontoon.toml"), text).unwrap();
        Self(folder)
    }

    /// Writes another text in the old one's place, as an editor does: nobody reads half of it.
    pub(crate) fn replace(&self, text: &str) {
        let next = self.0.path().join("next.toml");
        std::fs::write(&next, text).unwrap();
        std::fs::rename(next, self.path()).unwrap();
    }

    pub(crate) fn path(&self) -> String {
        self.0.path().join("pontoon.toml").display().to_string()
    }

    /// Serves it; its log is JSON.
    pub(crate) fn serve(self) -> Process {
        self.serve_below("true")
    }

    /// As [`serve`](Self::serve), below a shell's limits.
    pub(crate) fn serve_below(self, shell: &str) -> Process {
        let mut process = Process::start_below(shell, self.arguments());
        process.config = Some(self);
        process
    }

    /// To serve it with.
    pub(crate) fn arguments(&self) -> [String; 4] {
        ["run", &self.path(), "--log-format", "json"].map(str::to_owned)
    }
}

/// A server whose `/sleep?ms=` sleeps as long as it is asked to.
pub(crate) fn sleeper(pool: &str, location: &str) -> ConfigFile {
    ConfigFile::new(&format!(
        "listen = '127.0.0.1:0'\n[pool.p]\n{pool}\n[[location]]\npath = '/sleep'\n\
         adapter = 'sleep'\npool = 'p'\nmax = '1h'\n{location}\n"
    ))
}
