//! Starting a server and stopping it.
//!
//! Each run has a server of its own, so that its peak of memory and its threads are its own and
//! nobody else's idle server is in the way. Dropping a [`Started`] stops it.

use crate::Outcome;
use crate::cases::Server;
use crate::usage;
use crate::wait::{Stop, ended_within};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const START_MAX: Duration = Duration::from_secs(10);
const STOP_MAX: Duration = Duration::from_secs(3);
/// Where Debian keeps it, which is not on the path of every user.
const NGINX: [&str; 2] = ["nginx", "/usr/sbin/nginx"];

/// What servers are started with.
#[derive(Debug)]
pub(crate) struct Starter {
    /// Where the peers' programs are.
    pub(crate) programs: PathBuf,
    /// The working directory: the database, logs and nginx's files.
    pub(crate) folder: PathBuf,
    pub(crate) spin_rounds: u64,
    pub(crate) stop: Stop,
}

/// A server that runs.
#[derive(Debug)]
pub(crate) struct Started {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Starter {
    pub(crate) const DATABASE: &str = "users.db";

    pub(crate) fn start(&self, server: Server) -> Outcome<Started> {
        let started = match server {
            Server::Pontoon => self.peer("peer-pontoon", &[]),
            Server::AxumMulti => self.peer("peer-axum", &["--runtime", "multi_thread"]),
            Server::AxumCurrent => self.peer("peer-axum", &["--runtime", "current_thread"]),
            Server::Actix => self.peer("peer-actix", &[]),
            Server::Nginx => self.nginx(),
        };
        started.map_err(|error| {
            let said = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            let (name, said) = (server.name(), said.trim());
            match said {
                "" => format!("{name} does not start: {error}").into(),
                _ => format!("{name} does not start: {error}; it said: {said}").into(),
            }
        })
    }

    /// One of ours: it chooses its port and prints it.
    fn peer(&self, program: &str, more: &[&str]) -> Outcome<Started> {
        let mut command = Command::new(self.programs.join(program));
        command
            .args(["--database", Self::DATABASE])
            .args(["--spin-rounds", &self.spin_rounds.to_string()])
            .args(more);
        let printed = self.folder.join("address");
        let mut started = self.spawn(&mut command, &printed)?;
        started.address = self.stop.until("starting", START_MAX, || {
            started.still_runs()?;
            let text = fs::read_to_string(&printed)?;
            let line = text.split_once('\n').map(|(line, _)| line.parse());
            Ok(line.transpose()?)
        })?;
        Ok(started)
    }

    /// nginx cannot be told to let the system choose, so a port is chosen for it.
    fn nginx(&self) -> Outcome<Started> {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        fs::write(self.folder.join("nginx.conf"), nginx_config(free))?;
        let program = nginx_program().ok_or("nginx is not installed")?;
        let mut command = Command::new(program);
        command
            .arg("-p")
            .arg(&self.folder)
            .args(["-c", "nginx.conf", "-e", "stderr"]);
        let mut started = self.spawn(&mut command, &self.folder.join("output"))?;
        started.address = free;
        self.stop.until("starting", START_MAX, || {
            started.still_runs()?;
            Ok(TcpStream::connect(free).ok())
        })?;
        Ok(started)
    }

    fn spawn(&self, command: &mut Command, stdout: &Path) -> Outcome<Started> {
        let child = command
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(File::create(stdout)?)
            .stderr(File::create(self.folder.join("log"))?)
            .spawn()?;
        // The address is filled in once it listens; from here on dropping it stops it.
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Ok(Started { child, address })
    }
}

impl Started {
    fn still_runs(&mut self) -> Outcome {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(format!("it ended ({status})").into()),
        }
    }

    /// All its processes.
    pub(crate) fn processes(&self) -> Outcome<Vec<u32>> {
        usage::family(self.child.id())
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let pid = |pid: u32| Pid::from_raw(pid.cast_signed());
        // One that has ended already is what is wanted.
        let _ = kill(pid(self.child.id()), Signal::SIGTERM);
        if matches!(ended_within(&mut self.child, STOP_MAX), Ok(Some(_))) {
            return;
        }
        for process in self.processes().unwrap_or_default() {
            let _ = kill(pid(process), Signal::SIGKILL);
        }
        let _ = self.child.wait();
    }
}

/// How to call nginx, where it is installed.
pub(crate) fn nginx_program() -> Option<&'static str> {
    let there = |program: &&str| {
        let outcome = Command::new(program)
            .arg("-v")
            .stderr(Stdio::null())
            .status();
        !outcome.is_err_and(|error| error.kind() == ErrorKind::NotFound)
    };
    NGINX.into_iter().find(there)
}

/// As small as it can be; all files stay in the working directory.
fn nginx_config(listen: SocketAddr) -> String {
    let body = peer_work::noop().escape_default();
    format!(
        r#"daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr warn;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {{
        listen {listen} backlog=4096;
        location = /noop {{
            default_type "text/plain; charset=utf-8";
            return 200 "{body}";
        }}
    }}
}}
"#
    )
}
