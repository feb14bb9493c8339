//! What does a request through a blocking library cost, Pontoon beside axum, actix-web and nginx?
//!
//! For each number of connections, kind of work and server, in turns: starts the server, looks
//! whether it answers as the others do, runs wrk against it, stops it. Prints the medians and
//! whether Pontoon meets its bars, and writes both to a file. Called by `benches/peers/http`.

mod bars;
mod cases;
mod report;
mod results;
mod server;
mod usage;
mod wait;
mod wrk;

use cases::{Case, Route, Server};
use clap::builder::RangedU64ValueParser;
use clap::{Parser, ValueEnum};
use report::{Head, report};
use results::{Results, Sample};
use server::{Starter, nginx_program};
use std::collections::HashMap;
use std::error::Error;
use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;
use usage::{Usage, peak_mib};
use wait::Stop;
use wrk::Wrk;

/// Before each measurement: threads start, sessions open, caches fill.
const WARM_UP_S: u64 = 1;
/// What the `cpu` route computes for.
const SPIN: Duration = Duration::from_micros(50);

/// One: what waking costs. Many: what queues cost. More than the pool has threads: how fair they are.
const CONNECTIONS: [usize; 3] = [1, 64, 1024];

#[derive(Debug, Parser)]
#[command(
    name = "benches/peers/http",
    about = "Pontoon beside axum, actix-web and nginx"
)]
struct Arguments {
    /// Runs of each case; the median counts
    #[arg(long, env = "ROUNDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    rounds: u64,
    /// How long each run measures, in seconds
    #[arg(long, env = "DURATION", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..))]
    duration: u64,
    /// Numbers of connections
    #[arg(
        long,
        env = "CONNECTIONS",
        value_delimiter = ' ',
        default_values_t = CONNECTIONS,
        value_parser = RangedU64ValueParser::<usize>::new().range(1..)
    )]
    connections: Vec<usize>,
    /// Kinds of work
    #[arg(
        long,
        env = "ROUTES",
        value_enum,
        value_delimiter = ' ',
        default_values_t = Route::value_variants()
    )]
    routes: Vec<Route>,
    /// Servers
    #[arg(
        long,
        env = "SERVERS",
        value_enum,
        value_delimiter = ' ',
        default_values_t = Server::value_variants()
    )]
    servers: Vec<Server>,
    /// Where to write the report; default: RESULTS-http.md beside the peers, if nothing is left out
    #[arg(long, env = "OUTPUT")]
    output: Option<PathBuf>,
    /// The folder of the peers; `benches/peers/http` fills it in
    #[arg(long)]
    peers: PathBuf,
}

impl Arguments {
    /// A quick look must not replace the results of a whole run.
    fn report_file(&self) -> Option<PathBuf> {
        let is_whole = self.connections == CONNECTIONS
            && Route::value_variants()
                .iter()
                .all(|route| self.routes.contains(route))
            && Server::value_variants()
                .iter()
                .all(|server| self.servers.contains(server));
        let default = || is_whole.then(|| self.peers.join("RESULTS-http.md"));
        self.output.clone().or_else(default)
    }
}

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("benches/peers/http: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Progress is for people; nothing depends on it.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

fn run(mut arguments: Arguments) -> Outcome {
    let file = arguments.report_file();
    if arguments.servers.contains(&Server::Nginx) && nginx_program().is_none() {
        say(
            "nginx is not installed, so it is skipped; on Debian or Ubuntu: apt-get install nginx-light",
        );
        arguments.servers.retain(|server| *server != Server::Nginx);
    }
    let stop = Stop::on_signals()?;
    let folder = tempfile::tempdir()?;
    peer_work::database::make(&folder.path().join(Starter::DATABASE))?;
    let spin_rounds = peer_work::calibrate(SPIN);
    let head = Head::new(&arguments, spin_rounds);
    let programs = std::env::current_exe()?;
    let mut bench = Bench {
        duration_s: arguments.duration,
        wrk: Wrk::new(folder.path(), stop.clone())?,
        starter: Starter {
            programs: programs.parent().unwrap_or(&programs).to_owned(),
            folder: folder.path().to_owned(),
            spin_rounds,
            stop,
        },
        answers: HashMap::new(),
    };
    let mut results = Results::default();
    let outcome = match bench.rounds(&arguments, &mut results) {
        // Whatever broke because others were told to stop as well.
        Err(_) if bench.starter.stop.asked() => Err("interrupted".into()),
        outcome => outcome,
    };
    if !results.is_empty() {
        // Also what there was before a failure: it took its time.
        let text = report(&head, &arguments, &results);
        writeln!(io::stdout(), "{text}")?;
        outcome?;
        if let Some(file) = file {
            fs::write(&file, text)?;
            say(&format!("written to {}", file.display()));
        }
        return Ok(());
    }
    outcome
}

struct Bench {
    duration_s: u64,
    wrk: Wrk,
    starter: Starter,
    /// What the first server said to each path: all others must say the same.
    answers: HashMap<Route, String>,
}

impl Bench {
    fn rounds(&mut self, arguments: &Arguments, results: &mut Results) -> Outcome {
        let cases = cases(arguments);
        let runs = arguments.rounds * cases.len() as u64;
        // Starting and stopping takes about half a second.
        let seconds = runs * (WARM_UP_S + self.duration_s) + runs / 2;
        say(&format!(
            "runs: {runs}, minutes: about {}",
            seconds.div_ceil(60)
        ));
        for round in 1..=arguments.rounds {
            for &case in &cases {
                let (server, route) = (case.server.name(), case.route.name());
                let connections = case.connections;
                let name = format!("{server}, {route}, {connections} connections");
                let sample = self
                    .measure(case)
                    .map_err(|error| format!("{name}: {error}"))?;
                let rate = sample.get(results::Figure::RequestsPerSecond);
                say(&format!("round {round}, {name}: {rate:.0} requests/s"));
                results.add(case, sample);
            }
        }
        Ok(())
    }

    fn measure(&mut self, case: Case) -> Outcome<Sample> {
        let server = self.starter.start(case.server)?;
        self.check_answer(case.route, server.address)?;
        let load = |seconds| {
            self.wrk
                .run(server.address, case.route, case.connections, seconds)
        };
        load(WARM_UP_S)?;
        let processes = server.processes()?;
        let before = Usage::of(&processes)?;
        let seen = load(self.duration_s)?;
        let after = Usage::of(&processes)?;
        let requests = seen.requests as f64;
        Ok(Sample([
            requests * 1e6 / seen.duration_us as f64,
            after.cpu_us_since(&before)? / requests,
            after.switches_since(&before) as f64 / requests,
            seen.p50_us as f64,
            seen.p99_us as f64,
            seen.p999_us as f64,
            seen.max_us as f64,
            peak_mib(&processes)?,
            after.others_cpus_since(&before)?,
        ]))
    }

    /// All answer alike, or the figures mean nothing.
    fn check_answer(&mut self, route: Route, address: SocketAddr) -> Outcome {
        let path = route.path();
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--fail", "--max-time", "5"])
            .args(["-w", "%{http_code} %{content_type}"])
            .arg(format!("http://{address}{path}"));
        if let Some(body) = route.body() {
            curl.args(["-H", "Content-Type: application/json", "--data", body]);
        }
        let output = curl
            .output()
            .map_err(|error| format!("`curl` does not start: {error}"))?;
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr);
            return Err(format!("no answer to {path}: {}", why.trim()).into());
        }
        let answer = String::from_utf8_lossy(&output.stdout).into_owned();
        let expected = self.answers.entry(route).or_insert_with(|| answer.clone());
        if answer != *expected {
            return Err(format!("{path} is answered `{answer}`, by others `{expected}`").into());
        }
        Ok(())
    }
}

/// The cases of a round. Servers that are compared come right after one another, so that what
/// else the machine does hits them alike.
fn cases(arguments: &Arguments) -> Vec<Case> {
    let mut cases = Vec::new();
    for &connections in &arguments.connections {
        for &route in &arguments.routes {
            for &server in &arguments.servers {
                if server.serves(route) {
                    cases.push(Case {
                        connections,
                        route,
                        server,
                    });
                }
            }
        }
    }
    cases
}
