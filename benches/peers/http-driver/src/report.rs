//! The report: where it was measured, the tables, the bars.

use crate::Arguments;
use crate::bars;
use crate::cases::{Case, Server};
use crate::results::{Figure, Results};
use crate::server::nginx_program;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

/// What is known before the first run.
#[derive(Debug)]
pub(crate) struct Head(String);

impl Head {
    /// Looks at the machine, so call it before there is load.
    pub(crate) fn new(arguments: &Arguments, spin_rounds: u64) -> Self {
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load = load.split(' ').next().unwrap_or_default();
        let cpus = thread::available_parallelism().map_or(0, usize::from);
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = info.lines().find(|line| line.starts_with("model name"));
        let model = model.and_then(|line| line.split_once(": "));
        let model = model.map_or("unknown CPU", |(_, model)| model);
        let here = &arguments.peers;
        let lock = fs::read_to_string(here.join("Cargo.lock")).unwrap_or_default();
        let crates = ["axum", "actix-web", "tokio", "hyper", "rusqlite"];
        let crates = crates.map(|name| format!("{name} {}", locked(&lock, name)));
        let nginx = match nginx_program() {
            Some(program) => said(here, program, &["-v"]).replace("nginx version: ", ""),
            None => "nginx not installed: skipped".to_owned(),
        };
        let wrk = said(here, "wrk", &["-v"]);
        let wrk = wrk.split(" [").next().unwrap_or_default().to_owned();
        Self(format!(
            "# Pontoon beside axum, actix-web and nginx\n\n\
            Medians of {rounds} interleaved runs of {duration} s, wrk on the same CPUs as the server; in\n\
            brackets the ratio to {base}. Made by `benches/peers/http`; README.md says how to read it.\n\n\
            - date: {date}, load before the first run: {load}\n\
            - machine: {cpus} × {model}, Linux {kernel}\n\
            - pontoon at commit {commit}, {rustc}\n\
            - {crates}\n\
            - {nginx}, {wrk}\n\
            - `cpu` is {spin_rounds} rounds, calibrated to 50 µs\n",
            rounds = arguments.rounds,
            duration = arguments.duration,
            base = Server::BASE.name(),
            date = said(here, "date", &["-u", "+%F"]),
            kernel = said(here, "uname", &["-r"]),
            commit = said(
                here,
                "git",
                &["describe", "--always", "--dirty", "--exclude=*"]
            ),
            rustc = said(here, "rustc", &["--version"])
                .split(" (")
                .next()
                .unwrap_or_default(),
            crates = crates.join(", "),
        ))
    }
}

/// The first line that a program prints, on either output.
fn said(folder: &Path, program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .output();
    let text = output.map(|output| {
        let text = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&text).into_owned()
    });
    let text = text.unwrap_or_default();
    match text.lines().next() {
        None | Some("") => format!("{program}: unknown"),
        Some(line) => line.to_owned(),
    }
}

/// The version of a package in a lock file.
fn locked<'a>(lock: &'a str, package: &str) -> &'a str {
    let name = format!("name = \"{package}\"\nversion = \"");
    let version = lock
        .split_once(&name)
        .and_then(|(_, rest)| rest.split_once('"'));
    version.map_or("unknown", |(version, _)| version)
}

/// Everything, as Markdown.
pub(crate) fn report(head: &Head, arguments: &Arguments, results: &Results) -> String {
    let mut text = head.0.clone();
    for &connections in &arguments.connections {
        text += &table(arguments, connections, results);
    }
    text + &bars_table(results) + &disturbance(results)
}

/// Above this many CPUs, others disturb a run.
const OTHERS_MAX: f64 = 0.1;

/// How far to trust it all.
fn disturbance(results: &Results) -> String {
    let (disturbed, runs) = results.runs_above(Figure::Others, OTHERS_MAX);
    format!(
        "\nIn {disturbed} of {runs} runs other programs had more than {OTHERS_MAX} CPUs: the more of them, the \
        less the figures say.\n"
    )
}

fn table(arguments: &Arguments, connections: usize, results: &Results) -> String {
    let plural = if connections == 1 { "" } else { "s" };
    let mut text = format!("\n## {connections} connection{plural}\n\n| route | server |");
    for figure in Figure::ALL {
        text += &format!(" {} |", figure.title());
    }
    text += &format!("\n| --- | --- |{}\n", " --: |".repeat(Figure::ALL.len()));
    for &route in &arguments.routes {
        for &server in &arguments.servers {
            let case = Case {
                connections,
                route,
                server,
            };
            if let Some(row) = row(case, results) {
                text += &format!("| {} | {} |{row}\n", route.name(), server.name());
            }
        }
    }
    text
}

fn row(case: Case, results: &Results) -> Option<String> {
    let mut row = String::new();
    for figure in Figure::ALL {
        let value = results.median(case, figure)?;
        // Writing to a String does not fail.
        let _ = write!(row, " {value:.*}", figure.decimals());
        let ratio = results.ratio(case, case.on(Server::BASE), figure);
        if let Some(ratio) = ratio.filter(|_| figure.is_compared()) {
            let _ = write!(row, " (×{ratio:.2})");
        }
        row += " |";
    }
    Some(row)
}

fn bars_table(results: &Results) -> String {
    let mut text = "\n## Bars\n\n| bar | measured | met |\n| --- | --- | --- |\n".to_owned();
    for verdict in bars::verdicts(results) {
        let met = match verdict.met {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "–",
        };
        text += &format!("| {} | {} | {met} |\n", verdict.bar, verdict.measured);
    }
    text
}
