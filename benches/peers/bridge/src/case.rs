//! All runs with the same kind of call, K and W, and their medians.

use crate::Outcome;
use crate::peers::Peer;
use crate::sample::Sample;
use crate::work::{Kind, SPIN};
use clap::Args;
use std::fmt;

/// One cell of the grid.
#[derive(Args, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    /// What a call does
    #[arg(long, value_enum)]
    pub(crate) kind: Kind,
    /// Calls in flight
    #[arg(long)]
    pub(crate) in_flight: usize,
    /// Worker threads
    #[arg(long)]
    pub(crate) workers: usize,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, in_flight) = (self.kind.name(), self.in_flight);
        write!(f, "{kind} K={in_flight} W={}", self.workers)
    }
}

/// What a counting run found, per call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted {
    allocations: f64,
    writes: Option<f64>,
}

impl Counted {
    pub(crate) fn new(sample: &Sample, writes: Option<u64>) -> Self {
        Self {
            allocations: sample.allocations as f64 / sample.calls as f64,
            writes: writes.map(|writes| writes as f64 / sample.all_calls as f64),
        }
    }
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Figure {
    CallsPerSecond,
    P50,
    P99,
    P999,
    CpuUs,
    Switches,
    Allocations,
    Writes,
}

impl Figure {
    pub(crate) const ALL: [Self; 8] = [
        Self::CallsPerSecond,
        Self::P50,
        Self::P99,
        Self::P999,
        Self::CpuUs,
        Self::Switches,
        Self::Allocations,
        Self::Writes,
    ];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::CallsPerSecond => "calls/s",
            Self::P50 => "p50 µs",
            Self::P99 => "p99 µs",
            Self::P999 => "p99.9 µs",
            Self::CpuUs => "CPU µs/call",
            Self::Switches => "switches/call",
            Self::Allocations => "allocations/call",
            Self::Writes => "eventfd writes/call",
        }
    }
}

/// The figures of one timed run, in the order of [`Figure`].
#[derive(Clone, Copy, Debug)]
struct Timed {
    calls_per_s: f64,
    latency_us: Option<[f64; 3]>,
    cpu_us: f64,
    switches: f64,
}

/// The runs of all peers in one cell.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) cell: Cell,
    timed: Vec<(Peer, Timed)>,
    counted: Vec<(Peer, Counted)>,
}

impl Case {
    pub(crate) fn new(cell: Cell) -> Self {
        Self {
            cell,
            timed: Vec::new(),
            counted: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, peer: Peer, sample: &Sample) -> Outcome {
        // Before each place has made a call, only the quick ones would show.
        let turned_over = sample.calls >= self.cell.in_flight as u64;
        let latency_us = if turned_over && !sample.latencies.is_empty() {
            Some(sample.latency_us([0.5, 0.99, 0.999])?)
        } else {
            None
        };
        let timed = Timed {
            calls_per_s: sample.calls_per_s(),
            latency_us,
            cpu_us: sample.cpu_us_per_call(),
            switches: sample.switches_per_call(),
        };
        self.timed.push((peer, timed));
        Ok(())
    }

    pub(crate) fn add_counted(&mut self, peer: Peer, counted: Counted) {
        self.counted.push((peer, counted));
    }

    /// Who ran.
    pub(crate) fn peers(&self) -> impl Iterator<Item = Peer> {
        let ran = |peer: &Peer| self.timed.iter().any(|(of, _)| of == peer);
        Peer::ALL.into_iter().filter(ran)
    }

    /// The median of a peer's runs, if it ran and the figure was found.
    pub(crate) fn median(&self, peer: Peer, figure: Figure) -> Option<f64> {
        let timed = |get: fn(&Timed) -> Option<f64>| {
            let of_peer = self.timed.iter().filter(|(of, _)| *of == peer);
            median(of_peer.filter_map(|(_, timed)| get(timed)).collect())
        };
        let counted = |get: fn(&Counted) -> Option<f64>| {
            let of_peer = self.counted.iter().filter(|(of, _)| *of == peer);
            median(of_peer.filter_map(|(_, counted)| get(counted)).collect())
        };
        match figure {
            Figure::CallsPerSecond => timed(|timed| Some(timed.calls_per_s)),
            Figure::P50 => timed(|timed| timed.latency_us.map(|[p50, _, _]| p50)),
            Figure::P99 => timed(|timed| timed.latency_us.map(|[_, p99, _]| p99)),
            Figure::P999 => timed(|timed| timed.latency_us.map(|[_, _, p999]| p999)),
            Figure::CpuUs => timed(|timed| Some(timed.cpu_us)),
            Figure::Switches => timed(|timed| Some(timed.switches)),
            Figure::Allocations => counted(|counted| Some(counted.allocations)),
            Figure::Writes => counted(|counted| counted.writes),
        }
    }

    /// A peer's median as a multiple of another's.
    pub(crate) fn ratio(&self, peer: Peer, base: Peer, figure: Figure) -> Option<f64> {
        Some(self.median(peer, figure)? / self.median(base, figure)?)
    }

    /// The share of all CPUs that went into the calls' own work, if that is 5 µs of CPU.
    pub(crate) fn share_of_ideal(&self, peer: Peer, cpus: usize) -> Option<f64> {
        let calls_per_s = self.median(peer, Figure::CallsPerSecond)?;
        (self.cell.kind == Kind::Cpu).then(|| calls_per_s * SPIN.as_secs_f64() / cpus as f64)
    }

    /// Of the peers that are not ours, the one with the most or the least.
    pub(crate) fn best_other(&self, figure: Figure, best: Best) -> Option<(Peer, f64)> {
        let others = self.peers().filter(|peer| !peer.is_ours());
        let values = others.filter_map(|peer| Some((peer, self.median(peer, figure)?)));
        match best {
            Best::Most => values.max_by(|(_, a), (_, b)| a.total_cmp(b)),
            Best::Least => values.min_by(|(_, a), (_, b)| a.total_cmp(b)),
        }
    }
}

/// Which end of the scale is the good one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Best {
    Most,
    Least,
}

/// The middle one, or the mean of the two in the middle.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A run of one second, half of it on a CPU.
    pub(crate) fn sample(calls: u64) -> Sample {
        Sample {
            calls,
            wall_ns: 1_000_000_000,
            cpu_ns: 500_000_000,
            switches: 0,
            allocations: 0,
            all_calls: calls,
            latencies: vec![(1_000_000_000 / calls, calls)],
        }
    }

    /// A case in which each peer ran once and made so many calls in a second.
    pub(crate) fn case(kind: Kind, in_flight: usize, workers: usize, of: &[(Peer, u64)]) -> Case {
        let mut case = Case::new(Cell {
            kind,
            in_flight,
            workers,
        });
        for (peer, calls) in of {
            case.add(*peer, &sample(*calls)).unwrap();
        }
        case
    }

    #[test]
    fn the_median_of_a_peer_ignores_the_others_and_one_bad_run() {
        let mut case = case(Kind::Noop, 1, 4, &[]);
        for calls in [1_000, 30_000, 20_000] {
            case.add(Peer::Smol, &sample(calls)).unwrap();
            case.add(Peer::Tokio, &sample(10_000)).unwrap();
        }
        let figure = Figure::CallsPerSecond;
        assert_eq!(case.median(Peer::Smol, figure), Some(20_000.0));
        assert_eq!(case.ratio(Peer::Smol, Peer::Tokio, figure), Some(2.0));
        assert_eq!(case.median(Peer::Rayon, figure), None);
        assert!(case.peers().eq([Peer::Tokio, Peer::Smol]));
    }

    #[test]
    fn an_even_number_of_runs_has_its_median_in_between() {
        assert_eq!(median(vec![4.0, 1.0, 2.0, 8.0]), Some(3.0));
        assert_eq!(median(vec![]), None);
    }

    #[test]
    fn there_is_no_latency_before_every_place_has_made_a_call() {
        let few = case(Kind::Sleep, 4096, 2, &[(Peer::Tokio, 900)]);
        assert_eq!(few.median(Peer::Tokio, Figure::P50), None);
        let all = case(Kind::Sleep, 16, 2, &[(Peer::Tokio, 900)]);
        assert!(all.median(Peer::Tokio, Figure::P50).is_some());
    }

    #[test]
    fn the_best_peer_is_not_one_of_ours() {
        let peers = [
            (Peer::Pontoon, 9_000),
            (Peer::Tokio, 2_000),
            (Peer::Smol, 3_000),
        ];
        let case = case(Kind::Sleep, 1, 4, &peers);
        let (fastest, _) = case.best_other(Figure::CallsPerSecond, Best::Most).unwrap();
        let (cheapest, us) = case.best_other(Figure::CpuUs, Best::Least).unwrap();
        assert_eq!((fastest, cheapest), (Peer::Smol, Peer::Smol));
        assert!((166.0..167.0).contains(&us));
    }

    #[test]
    fn counts_are_per_call_and_writes_may_be_unknown() {
        let mut counting = sample(100);
        counting.allocations = 250;
        counting.all_calls = 200;
        let mut case = case(Kind::Noop, 1, 4, &[]);
        case.add_counted(Peer::Smol, Counted::new(&counting, Some(50)));
        case.add_counted(Peer::Tokio, Counted::new(&counting, None));
        assert_eq!(case.median(Peer::Smol, Figure::Allocations), Some(2.5));
        assert_eq!(case.median(Peer::Smol, Figure::Writes), Some(0.25));
        assert_eq!(case.median(Peer::Tokio, Figure::Writes), None);
    }
}
