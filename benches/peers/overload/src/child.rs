//! The servers as processes: starting and stopping them, and what they use.

use crate::Outcome;
use crate::work::Counts;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use peer_load::client::Client;
use serde_json::Value;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::time::sleep;

const START_MAX: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(10);

/// A server that runs; dropping it ends it at once, as its calls may hang.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    admin: Option<SocketAddr>,
    /// The config file and the log of the `pontoon` command.
    files: Option<(PathBuf, PathBuf)>,
}

impl Server {
    /// This program as the server `kind`.
    pub(crate) fn start(kind: &str, arguments: &[(&str, usize)]) -> Outcome<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["serve", kind]);
        for (name, value) in arguments {
            command.arg(name).arg(value.to_string());
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let stdout = child.stdout.take().ok_or("no pipe")?;
        let mut lines = BufReader::new(stdout).lines();
        let mut address = || -> Outcome<SocketAddr> {
            let line = lines
                .next()
                .ok_or("the server ended before it listened")??;
            Ok(line.parse()?)
        };
        let first = address();
        let second = (kind == "pontoon").then(&mut address).transpose();
        // From here on dropping it ends it.
        let mut server = Self {
            child,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            admin: None,
            files: None,
        };
        server.address = first?;
        server.admin = second?;
        Ok(server)
    }

    /// The `pontoon` command with a config file; both addresses are filled in for `{listen}` and `{admin}`.
    pub(crate) async fn pontoon_command(
        program: &Path,
        config: &str,
        folder: &Path,
    ) -> Outcome<Self> {
        let free = || -> Outcome<SocketAddr> {
            Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
        };
        let (address, admin) = (free()?, free()?);
        let config = filled_in(config, address, admin);
        let file = folder.join(format!("{}.toml", address.port()));
        let log = file.with_extension("log");
        fs::write(&file, config)?;
        let arguments: [OsString; 4] = [
            "--log".into(),
            "info,pontoon::access=off".into(),
            "run".into(),
            file.clone().into(),
        ];
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log)?)
            .spawn()?;
        let mut server = Self {
            child,
            address,
            admin: Some(admin),
            files: Some((file, log.clone())),
        };
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            if server.child.try_wait()?.is_some() || began.elapsed() > START_MAX {
                let log = fs::read_to_string(&log).unwrap_or_default();
                return Err(format!("pontoon does not start: {log}").into());
            }
            sleep(LOOK).await;
        }
        Ok(server)
    }

    pub(crate) fn client(&self) -> std::rc::Rc<Client> {
        Client::new(self.address).into()
    }

    /// Writes its config file anew, with the same addresses, and has it read.
    pub(crate) fn reload(&self, config: &str) -> Outcome {
        let (file, _) = self.files.as_ref().ok_or("it has no config file")?;
        let admin = self.admin.ok_or("it has no admin listener")?;
        fs::write(file, filled_in(config, self.address, admin))?;
        self.signal(Signal::SIGHUP)
    }

    /// How often `text` is in the log of the `pontoon` command.
    pub(crate) fn logged(&self, text: &str) -> Outcome<usize> {
        let (_, log) = self.files.as_ref().ok_or("it has no log")?;
        Ok(fs::read_to_string(log)?.matches(text).count())
    }

    pub(crate) fn signal(&self, signal: Signal) -> Outcome {
        Ok(kill(
            Pid::from_raw(i32::try_from(self.child.id())?),
            signal,
        )?)
    }

    /// How long it takes to end from now; infinite if longer than `limit`.
    pub(crate) async fn time_to_end(&mut self, limit: Duration) -> Outcome<f64> {
        let began = Instant::now();
        while began.elapsed() < limit {
            if self.child.try_wait()?.is_some() {
                return Ok(began.elapsed().as_secs_f64());
            }
            sleep(LOOK).await;
        }
        Ok(f64::INFINITY)
    }

    /// What its library has run.
    pub(crate) async fn counts(&self) -> Outcome<Counts> {
        let answer = Client::new(self.address).get("/counts").await?;
        Ok(serde_json::from_slice(&answer.body)?)
    }

    /// What has run once nothing has begun or ended for half a second, or after `limit`.
    pub(crate) async fn settled_counts(&self, limit: Duration) -> Outcome<Counts> {
        const QUIET: Duration = Duration::from_millis(500);
        let until = Instant::now() + limit;
        let (mut last, mut since) = (self.counts().await?, Instant::now());
        while Instant::now() < until && (since.elapsed() < QUIET || last.begun > last.ended) {
            sleep(LOOK).await;
            let now = self.counts().await?;
            if now != last {
                (last, since) = (now, Instant::now());
            }
        }
        Ok(last)
    }

    /// A number of a pool on Pontoon's status page; `None` for other servers.
    pub(crate) async fn pool(&self, pool: &str, field: &str) -> Outcome<Option<u64>> {
        let Some(admin) = self.admin else {
            return Ok(None);
        };
        let answer = Client::new(admin).get("/status").await?;
        let status: Value = serde_json::from_slice(&answer.body)?;
        let number = status["pools"][pool][field].as_u64();
        let missing = || format!("the status page has no {field} of pool {pool}");
        Ok(Some(number.ok_or_else(missing)?))
    }

    pub(crate) fn threads(&self) -> Outcome<usize> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id()))?;
        Ok(tasks.count())
    }

    /// Memory in RAM.
    pub(crate) fn resident_kib(&self) -> Outcome<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next());
        Ok(kib.ok_or("the kernel tells no resident memory")?.parse()?)
    }
}

fn filled_in(config: &str, listen: SocketAddr, admin: SocketAddr) -> String {
    config
        .replace("{listen}", &listen.to_string())
        .replace("{admin}", &admin.to_string())
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended already is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
