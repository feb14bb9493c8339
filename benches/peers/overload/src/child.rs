//! The servers as processes: starting and stopping them, and what they use.

use crate::Outcome;
use crate::client::Client;
use crate::work::Counts;
use serde_json::Value;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
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
        let config = config
            .replace("{listen}", &address.to_string())
            .replace("{admin}", &admin.to_string());
        let file = folder.join("pontoon.toml");
        fs::write(&file, config)?;
        let arguments: [OsString; 4] = [
            "--log".into(),
            "warn,pontoon::access=off".into(),
            "run".into(),
            file.into(),
        ];
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.join("log"))?)
            .spawn()?;
        let mut server = Self {
            child,
            address,
            admin: Some(admin),
        };
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            if server.child.try_wait()?.is_some() || began.elapsed() > START_MAX {
                let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
                return Err(format!("pontoon does not start: {log}").into());
            }
            sleep(LOOK).await;
        }
        Ok(server)
    }

    pub(crate) fn client(&self) -> std::rc::Rc<Client> {
        Client::new(self.address).into()
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

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended already is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
