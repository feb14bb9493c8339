//! All cases in turns, and their tables.

use crate::cases::{Backend, COLUMNS, Case, Contender};
use crate::child::Server;
use crate::{Outcome, say};
use clap::{Args, ValueEnum};
use peer_load::client::Client;
use peer_load::loops::closed_loop;
use peer_load::table::Table;
use std::cell::Cell;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::task::LocalSet;

const CLIENTS: usize = 64;
const WARM_UP: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(5);
/// Rows in the order of a pseudo-random sequence, so that no cache of the last one helps.
const STEP: u64 = 7_919;

#[derive(Args, Clone, Debug)]
pub(crate) struct RunArguments {
    /// The `pontoon` command, built with the adapters
    #[arg(long)]
    pontoon: PathBuf,
    /// How often everything is measured; medians count
    #[arg(long, env = "ROUNDS", default_value_t = 5)]
    rounds: usize,
    /// How long each run measures, in seconds
    #[arg(long, env = "DURATION", default_value_t = 4)]
    duration: u64,
    /// Connections to the backend, of Pontoon and of the peers
    #[arg(long, env = "SESSIONS", default_value_t = 16)]
    sessions: usize,
    /// Which databases, divided by spaces; all if nothing is said
    #[arg(long, env = "CASES", value_delimiter = ' ', value_enum)]
    cases: Vec<Case>,
    /// Where to put the tables, besides the output
    #[arg(long, env = "OUTPUT")]
    output: Option<PathBuf>,
    /// What stands above the tables
    #[arg(long, default_value = "")]
    header: String,
}

pub(crate) fn run(arguments: &RunArguments) -> Outcome {
    let mut cases = arguments.cases.clone();
    if cases.is_empty() {
        cases = Case::value_variants().to_vec();
    }
    let mut text = arguments.header.clone();
    for case in cases {
        let folder = tempfile::tempdir()?;
        let Some(backend) = case.backend(folder.path())? else {
            text.push_str(&format!(
                "\n## {}\n\nNot measured: it is not installed.\n",
                case.title()
            ));
            continue;
        };
        let about = "64 connections, each request after the answer to the one before; medians.";
        let mut table = Table::new(case.title(), about, COLUMNS, case.bars());
        for round in 1..=arguments.rounds.max(1) {
            say(&format!("round {round} of {}: {case:?}", arguments.rounds));
            measure_all(arguments, case, &backend, folder.path(), &mut table)?;
        }
        text.push('\n');
        text.push_str(&table.render());
    }
    writeln!(io::stdout(), "{}", text.trim())?;
    if let Some(output) = &arguments.output {
        fs::write(output, format!("{}\n", text.trim()))?;
    }
    Ok(())
}

/// One run of every contender. Peers come first: Pontoon's ratios are to them.
fn measure_all(
    arguments: &RunArguments,
    case: Case,
    backend: &Backend,
    folder: &std::path::Path,
    table: &mut Table,
) -> Outcome {
    let is_peer = |one: &Contender| matches!(one, Contender::Peer(..));
    let mut rates = Vec::new();
    let (peers, ours): (Vec<Contender>, Vec<Contender>) =
        case.contenders().iter().copied().partition(is_peer);
    for contender in peers.into_iter().chain(ours) {
        let server = start(contender, arguments, backend, folder)?;
        let mut figures = measure(&server, case, arguments.duration)?;
        let rate = figures[0];
        let ratio = |index: usize| rates.get(index).map(|peer: &f64| rate / peer);
        figures.extend([ratio(0).unwrap_or(f64::NAN), ratio(1).unwrap_or(f64::NAN)]);
        if matches!(contender, Contender::Peer(..)) {
            rates.push(rate);
        }
        let figures = figures
            .into_iter()
            .map(|one| Some(one).filter(|one| !one.is_nan()));
        table.add(contender.name(), figures.collect());
    }
    Ok(())
}

fn start(
    contender: Contender,
    arguments: &RunArguments,
    backend: &Backend,
    folder: &std::path::Path,
) -> Outcome<Server> {
    match contender {
        Contender::Pontoon(_, config) => {
            let config = config
                .replace("{backend}", &backend.url)
                .replace("{sessions}", &arguments.sessions.to_string());
            Server::pontoon(&arguments.pontoon, &config, folder)
        }
        Contender::Peer(_, kind) => {
            let kind = kind.to_possible_value().ok_or("a peer without a name")?;
            Server::peer(kind.get_name(), &backend.url, arguments.sessions)
        }
    }
}

fn measure(server: &Server, case: Case, duration_s: u64) -> Outcome<Vec<f64>> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let client = Rc::new(Client::new(server.address));
    let number = Rc::new(Cell::new(0_u64));
    let target = move || {
        number.set(number.get().wrapping_add(STEP));
        case.target(number.get())
    };
    LocalSet::new().block_on(&runtime, async {
        closed_loop(&client, CLIENTS, WARM_UP, PATIENCE, target.clone()).await;
        let before = server.cpu_us()?;
        let time = Duration::from_secs(duration_s);
        let ends = closed_loop(&client, CLIENTS, time, PATIENCE, target).await;
        let cpu_us = server.cpu_us()? - before;
        let answered = ends.answered as f64;
        // The last of each client is cut by the end of the measurement.
        let failed = ends.sent - ends.answered - ends.gave_up.min(CLIENTS as u64);
        Ok(vec![
            answered / time.as_secs_f64(),
            ends.answered_p50_ms.unwrap_or(f64::NAN),
            ends.answered_p99_ms.unwrap_or(f64::NAN),
            cpu_us / answered,
            failed as f64,
        ])
    })
}
