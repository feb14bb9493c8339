//! A server as a process: starting and stopping it, and what CPU it took.

use crate::Outcome;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

const START_MAX: Duration = Duration::from_secs(10);

/// A server that runs; dropping it ends it at once.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// This program as the peer `kind`.
    pub(crate) fn peer(kind: &str, backend: &str, sessions: usize) -> Outcome<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["serve", kind, "--backend", backend, "--sessions"])
            .arg(sessions.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().ok_or("no pipe")?;
        // From here on dropping it ends it.
        let mut server = Self {
            child,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        };
        let line = BufReader::new(stdout).lines().next();
        server.address = line.ok_or("the peer ended before it listened")??.parse()?;
        Ok(server)
    }

    /// The `pontoon` command with a config file; its address is filled in for `{listen}`.
    pub(crate) fn pontoon(program: &Path, config: &str, folder: &Path) -> Outcome<Self> {
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let file = folder.join("pontoon.toml");
        let log = folder.join("log");
        fs::write(&file, config.replace("{listen}", &address.to_string()))?;
        let child = Command::new(program)
            .args(["--log", "warn,pontoon::access=off", "run"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log)?)
            .spawn()?;
        let mut server = Self { child, address };
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            if server.child.try_wait()?.is_some() || began.elapsed() > START_MAX {
                let log = fs::read_to_string(&log).unwrap_or_default();
                return Err(format!("pontoon does not start: {log}").into());
            }
            sleep(Duration::from_millis(10));
        }
        Ok(server)
    }

    /// What its threads have taken of the CPUs, in microseconds. The kernel counts in ticks of 10 ms.
    pub(crate) fn cpu_us(&self) -> Outcome<f64> {
        const TICK_US: f64 = 10_000.0;
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name, in brackets, may hold spaces.
        let (_, fields) = stat.rsplit_once(')').ok_or("the kernel tells no times")?;
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks: Vec<u64> = ticks.map(str::parse).collect::<Result<_, _>>()?;
        Ok(ticks.iter().sum::<u64>() as f64 * TICK_US)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended already is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
