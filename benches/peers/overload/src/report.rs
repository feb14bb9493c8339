//! All scenarios in turns, and their tables.

use crate::Outcome;
use crate::scenario::{Scenario, Setting};
use crate::{print, say};
use clap::{Args, ValueEnum};
use peer_load::table::Table;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::LocalSet;

#[derive(Args, Clone, Debug)]
pub(crate) struct RunArguments {
    /// The `pontoon` command
    #[arg(long)]
    pontoon: PathBuf,
    /// How often everything is measured; medians count
    #[arg(long, env = "ROUNDS", default_value_t = 3)]
    rounds: usize,
    /// The longest that one measurement may take, in seconds
    #[arg(long, env = "DURATION", default_value_t = 60)]
    duration: u64,
    /// Which scenarios, divided by spaces; all if nothing is said
    #[arg(long, env = "SCENARIOS", value_delimiter = ' ', value_enum)]
    scenarios: Vec<Scenario>,
    /// Where to put the tables, besides the output
    #[arg(long, env = "OUTPUT")]
    output: Option<PathBuf>,
    /// What stands above the tables
    #[arg(long, default_value = "")]
    header: String,
}

pub(crate) fn run(arguments: &RunArguments) -> Outcome {
    let folder = tempfile::tempdir()?;
    let setting = Setting {
        pontoon: arguments.pontoon.clone(),
        folder: folder.path().to_owned(),
        time_max: Duration::from_secs(arguments.duration.max(1)),
    };
    let mut scenarios = arguments.scenarios.clone();
    if scenarios.is_empty() {
        scenarios = Scenario::value_variants().to_vec();
    }
    let mut tables: Vec<(Scenario, Table)> = scenarios
        .into_iter()
        .map(|scenario| (scenario, scenario.table()))
        .collect();
    let runtime = Builder::new_current_thread().enable_all().build()?;
    for round in 1..=arguments.rounds.max(1) {
        for (scenario, table) in &mut tables {
            say(&format!(
                "round {round} of {}: {scenario:?}",
                arguments.rounds
            ));
            // What is left of one scenario ends with its tasks; what it started, when it is dropped.
            LocalSet::new().block_on(&runtime, async {
                let (mut interrupt, mut terminate) = (
                    signal(SignalKind::interrupt())?,
                    signal(SignalKind::terminate())?,
                );
                tokio::select! {
                    outcome = scenario.round(&setting, table) => outcome,
                    _ = interrupt.recv() => Err("interrupted".into()),
                    _ = terminate.recv() => Err("interrupted".into()),
                }
            })?;
        }
    }
    let tables: Vec<_> = tables.iter().map(|(_, table)| table.render()).collect();
    let text = format!("{}\n{}", arguments.header, tables.join("\n"));
    print(text.trim())?;
    if let Some(output) = &arguments.output {
        fs::write(output, format!("{}\n", text.trim()))?;
    }
    Ok(())
}
