//! Samples, their medians, and the tables.

use crate::peers::Peer;
use std::error::Error;
use std::fmt::{self, Write};
use std::str::FromStr;

/// One run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) calls: u64,
    pub(crate) wall_ns: u64,
    pub(crate) cpu_ns: u64,
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.calls, self.wall_ns, self.cpu_ns)
    }
}

impl FromStr for Sample {
    type Err = Box<dyn Error>;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let numbers: Vec<u64> = text
            .split_whitespace()
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        let [calls @ (1..), wall_ns @ (1..), cpu_ns] = numbers[..] else {
            return Err(format!("a run printed `{}`, which is no sample", text.trim()).into());
        };
        Ok(Self {
            calls,
            wall_ns,
            cpu_ns,
        })
    }
}

/// The runs of all peers with the same K and W.
#[derive(Debug)]
pub(crate) struct Case {
    in_flight: usize,
    workers: usize,
    samples: Vec<(Peer, Sample)>,
}

/// The two figures.
type Figure = fn(&Sample) -> f64;

const CALLS_PER_SECOND: Figure = |sample| sample.calls as f64 * 1e9 / sample.wall_ns as f64;
const CPU_US_PER_CALL: Figure = |sample| sample.cpu_ns as f64 / 1e3 / sample.calls as f64;

impl Case {
    pub(crate) fn new(in_flight: usize, workers: usize) -> Self {
        Self {
            in_flight,
            workers,
            samples: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, peer: Peer, sample: Sample) {
        self.samples.push((peer, sample));
    }

    fn median(&self, peer: Peer, figure: Figure) -> f64 {
        let of_peer = self.samples.iter().filter(|(of, _)| *of == peer);
        let mut values: Vec<f64> = of_peer.map(|(_, sample)| figure(sample)).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    }
}

/// Both figures of all cases, with ratios to tokio's current_thread.
pub(crate) fn tables(cases: &[Case]) -> String {
    let mut text = String::new();
    text += "Calls per second (more is better), and how many times tokio's\n\n";
    table(&mut text, cases, CALLS_PER_SECOND, count);
    text += "\nCPU µs per call, all threads (less is better), and how many times tokio's\n\n";
    table(&mut text, cases, CPU_US_PER_CALL, |us| format!("{us:.2}"));
    text
}

fn table(text: &mut String, cases: &[Case], figure: Figure, show: fn(f64) -> String) {
    let names = Peer::ALL.map(Peer::name).join(" | ");
    *text += &format!("| K in flight | W workers | {names} |\n");
    *text += &format!("| --: | --: |{}\n", " --: |".repeat(Peer::ALL.len()));
    for case in cases {
        let base = case.median(Peer::Tokio, figure);
        // Writing to a String does not fail.
        let _ = write!(text, "| {} | {} |", case.in_flight, case.workers);
        for peer in Peer::ALL {
            let value = case.median(peer, figure);
            let _ = write!(text, " {} (×{:.2}) |", show(value), value / base);
        }
        text.push('\n');
    }
}

fn count(value: f64) -> String {
    match value {
        1e6.. => format!("{:.2}M", value / 1e6),
        _ => format!("{:.0}k", value / 1e3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(calls: u64) -> Sample {
        Sample {
            calls,
            wall_ns: 1_000_000_000,
            cpu_ns: 500_000_000,
        }
    }

    #[test]
    fn the_median_of_a_peer_ignores_the_others_and_one_bad_run() {
        let mut case = Case::new(1, 4);
        for calls in [1_000, 30_000, 20_000] {
            case.add(Peer::Smol, sample(calls));
            case.add(Peer::Tokio, sample(10_000));
        }
        assert_eq!(case.median(Peer::Smol, CALLS_PER_SECOND), 20_000.0);
        assert!(tables(&[case]).contains("| 20k (×2.00) |"));
    }

    #[test]
    fn a_sample_comes_back_as_it_was_printed() {
        let printed = sample(7).to_string();
        assert_eq!(printed.parse::<Sample>().unwrap().to_string(), printed);
    }

    #[test]
    fn a_run_without_calls_is_an_error_not_a_figure() {
        assert!("0 1 1".parse::<Sample>().is_err());
        assert!("".parse::<Sample>().is_err());
    }
}
