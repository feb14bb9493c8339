//! What the bridge has to reach, judged from the samples.

use crate::case::{Best, Case, Figure};
use crate::peers::Peer;
use crate::report::{BASE, or_dash, row, short};
use crate::work::Kind;

/// One bar and how it went.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Bar {
    what: String,
    bar: String,
    /// As text and whether it is enough; none if it was not measured.
    measured: Option<(String, bool)>,
}

/// Calls per second of ours, as a multiple of a peer's in the same cell.
struct Speed {
    /// By name: a bar may be there before who has to reach it.
    ours: &'static str,
    peer: Peer,
    in_flight: usize,
    workers: usize,
    at_least: f64,
}

/// Of no-op calls.
const SPEEDS: [Speed; 7] = [
    speed("pontoon", BASE, 1, 4, 20.0),
    speed("pontoon", BASE, 16, 4, 8.0),
    speed("pontoon", BASE, 256, 4, 8.0),
    speed("pontoon", BASE, 256, 64, 20.0),
    speed("pontoon-callbacks", BASE, 256, 4, 20.0),
    speed("pontoon", Peer::Libuv, 256, 4, 1.5),
    speed("pontoon-callbacks", Peer::Libuv, 256, 4, 3.0),
];

/// Of the CPUs, with 5 µs calls and 256 in flight.
const SHARE_OF_IDEAL_MIN: f64 = 0.85;
/// CPU per sleeping call, beside the best peer.
const SLEEP_CPU_MAX: f64 = 1.1;
const ALLOCATIONS_MAX: f64 = 1.0;
const P99_US_MAX: f64 = 5.0;
/// A p99.9 above this is a stall, unless the best peer's is about as long.
const STALL_US: f64 = 20_000.0;
const ABOUT: f64 = 1.25;

const fn speed(
    ours: &'static str,
    peer: Peer,
    in_flight: usize,
    workers: usize,
    at_least: f64,
) -> Speed {
    Speed {
        ours,
        peer,
        in_flight,
        workers,
        at_least,
    }
}

/// All bars.
pub(crate) fn judge(cases: &[Case], cpus: usize) -> Vec<Bar> {
    let mut bars: Vec<_> = SPEEDS.iter().map(|speed| speed.judge(cases)).collect();
    bars.extend([4, 64].map(|workers| share_of_ideal(cases, workers, cpus)));
    bars.push(never_slower(cases));
    bars.push(cpu_of_sleeping_calls(cases));
    bars.push(allocations(cases));
    bars.push(p99(cases));
    bars.push(stalls(cases));
    bars
}

/// The bars as Markdown.
pub(crate) fn table(bars: &[Bar]) -> String {
    let mut text = row(&["what", "bar", "measured", "met"]);
    text += "| --- | --- | --- | --- |\n";
    for bar in bars {
        let measured = bar.measured.as_ref();
        let met = measured.map(|(_, met)| if *met { "yes" } else { "**no**" }.to_owned());
        let measured = or_dash(measured.map(|(text, _)| text.clone()));
        text += &row(&[bar.what.clone(), bar.bar.clone(), measured, or_dash(met)]);
    }
    text
}

fn find(cases: &[Case], kind: Kind, in_flight: usize, workers: usize) -> Option<&Case> {
    cases.iter().find(|case| {
        (case.cell.kind, case.cell.in_flight, case.cell.workers) == (kind, in_flight, workers)
    })
}

/// Of some cells, the worst: where `badness` is highest.
fn worst<'a>(
    cases: impl Iterator<Item = &'a Case>,
    badness: impl Fn(&'a Case) -> Option<f64>,
) -> Option<(&'a Case, f64)> {
    let known = cases.filter_map(|case| Some((case, badness(case)?)));
    known.max_by(|(_, a), (_, b)| a.total_cmp(b))
}

impl Speed {
    fn judge(&self, cases: &[Case]) -> Bar {
        let (name, peer) = (self.ours, self.peer.name());
        let ours = Peer::ALL.into_iter().find(|peer| peer.name() == name);
        let case = find(cases, Kind::Noop, self.in_flight, self.workers);
        let ratio = ours
            .zip(case)
            .and_then(|(ours, case)| case.ratio(ours, self.peer, Figure::CallsPerSecond));
        Bar {
            what: format!(
                "noop K={} W={}: calls/s, {name} ÷ {peer}",
                self.in_flight, self.workers
            ),
            bar: format!("≥ {}", self.at_least),
            measured: ratio.map(|ratio| (short(ratio), ratio >= self.at_least)),
        }
    }
}

fn share_of_ideal(cases: &[Case], workers: usize, cpus: usize) -> Bar {
    let case = find(cases, Kind::Cpu, 256, workers);
    let share = case.and_then(|case| case.share_of_ideal(Peer::Pontoon, cpus));
    Bar {
        what: format!("cpu K=256 W={workers}: calls/s, % of {cpus} CPUs ÷ 5 µs"),
        bar: format!("≥ {:.0}", SHARE_OF_IDEAL_MIN * 100.0),
        measured: share.map(|share| (format!("{:.0}", share * 100.0), share >= SHARE_OF_IDEAL_MIN)),
    }
}

fn never_slower(cases: &[Case]) -> Bar {
    let ratio = |case: &Case| {
        let (_, fastest) = case.best_other(Figure::CallsPerSecond, Best::Most)?;
        Some(case.median(Peer::Pontoon, Figure::CallsPerSecond)? / fastest)
    };
    let of_kind = cases.iter().filter(|case| case.cell.kind == Kind::Cpu);
    let worst = worst(of_kind, |case| ratio(case).map(|ratio| -ratio));
    Bar {
        what: "cpu, every K and W: calls/s, pontoon ÷ fastest peer, worst cell".to_owned(),
        bar: "≥ 1.00".to_owned(),
        measured: worst.map(|(case, negative)| {
            let named = case.best_other(Figure::CallsPerSecond, Best::Most);
            let peer = named.map_or("", |(peer, _)| peer.name());
            let text = format!("{} of {peer} at {}", short(-negative), case.cell);
            (text, -negative >= 1.0)
        }),
    }
}

fn cpu_of_sleeping_calls(cases: &[Case]) -> Bar {
    let ratio = |case: &Case| {
        let (_, least) = case.best_other(Figure::CpuUs, Best::Least)?;
        Some(case.median(Peer::Pontoon, Figure::CpuUs)? / least)
    };
    let of_kind = || cases.iter().filter(|case| case.cell.kind == Kind::Sleep);
    let missed = of_kind().filter(|case| ratio(case).is_some_and(|ratio| ratio > SLEEP_CPU_MAX));
    let missed = missed.count();
    Bar {
        what: "sleep, every K and W: CPU per call, pontoon ÷ best peer, worst cell".to_owned(),
        bar: format!("≤ {SLEEP_CPU_MAX}"),
        measured: worst(of_kind(), ratio).map(|(case, ratio)| {
            let named = case.best_other(Figure::CpuUs, Best::Least);
            let peer = named.map_or("", |(peer, _)| peer.name());
            let (cell, ratio_text) = (case.cell, short(ratio));
            let text = format!("{ratio_text} of {peer} at {cell}; above in {missed} cells");
            (text, ratio <= SLEEP_CPU_MAX)
        }),
    }
}

fn allocations(cases: &[Case]) -> Bar {
    let count = |case: &Case| case.median(Peer::Pontoon, Figure::Allocations);
    Bar {
        what: "every cell: allocations per call, pontoon, worst cell".to_owned(),
        bar: format!("≤ {ALLOCATIONS_MAX}"),
        measured: worst(cases.iter(), count).map(|(case, allocations)| {
            // What others allocate in the window, such as the process itself, is no call's.
            let met = allocations <= ALLOCATIONS_MAX + 0.005;
            (format!("{allocations:.2} at {}", case.cell), met)
        }),
    }
}

fn p99(cases: &[Case]) -> Bar {
    let case = find(cases, Kind::Noop, 1, 4);
    let us = case.and_then(|case| case.median(Peer::Pontoon, Figure::P99));
    Bar {
        what: "noop K=1 W=4: p99 in µs, pontoon".to_owned(),
        bar: format!("≤ {P99_US_MAX}"),
        measured: us.map(|us| (short(us), us <= P99_US_MAX)),
    }
}

fn stalls(cases: &[Case]) -> Bar {
    let ours = |case: &Case| case.median(Peer::Pontoon, Figure::P999);
    let stalls = |case: &Case| {
        let (_, least) = case.best_other(Figure::P999, Best::Least)?;
        let ours = ours(case)?;
        (ours > STALL_US && ours > least * ABOUT).then_some(ours / least)
    };
    let any = cases.iter().any(|case| ours(case).is_some());
    let text = match worst(cases.iter(), stalls) {
        Some((case, ratio)) => {
            let ms = ours(case).unwrap_or(f64::NAN) / 1e3;
            let (cell, ratio) = (case.cell, short(ratio));
            (
                format!("{ms:.0} ms at {cell}, {ratio} of the best peer's"),
                false,
            )
        }
        None => ("none".to_owned(), true),
    };
    Bar {
        what: format!(
            "every cell: p99.9 above 20 ms and {ABOUT} of the best peer's, pontoon, worst cell"
        ),
        bar: "none".to_owned(),
        measured: any.then_some(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::tests::case;

    fn met(bar: &Bar) -> Option<bool> {
        bar.measured.as_ref().map(|(_, met)| *met)
    }

    #[test]
    fn a_bar_without_samples_is_neither_met_nor_missed() {
        let bars = judge(&[], 2);
        assert!(bars.iter().all(|bar| bar.measured.is_none()), "{bars:?}");
        assert!(table(&bars).ends_with("| – | – |\n"));
    }

    #[test]
    fn a_speed_is_judged_in_its_own_cell() {
        let peers = [(Peer::Pontoon, 200_000), (Peer::Tokio, 10_000)];
        let slower = [(Peer::Pontoon, 199_000), (Peer::Tokio, 10_000)];
        let speed = &SPEEDS[0];
        assert_eq!(
            met(&speed.judge(&[case(Kind::Noop, 1, 4, &peers)])),
            Some(true)
        );
        assert_eq!(
            met(&speed.judge(&[case(Kind::Noop, 1, 4, &slower)])),
            Some(false)
        );
        assert_eq!(met(&speed.judge(&[case(Kind::Noop, 1, 64, &peers)])), None);
        assert_eq!(met(&speed.judge(&[case(Kind::Cpu, 1, 4, &peers)])), None);
    }

    #[test]
    fn the_ideal_is_all_cpus_at_work() {
        let cases = [case(Kind::Cpu, 256, 4, &[(Peer::Pontoon, 340_000)])];
        assert_eq!(met(&share_of_ideal(&cases, 4, 2)), Some(true));
        assert_eq!(met(&share_of_ideal(&cases, 4, 4)), Some(false));
    }

    #[test]
    fn one_cell_in_which_a_peer_is_faster_misses_the_bar_and_is_named() {
        let fine = [(Peer::Pontoon, 300), (Peer::Tokio, 200), (Peer::Smol, 300)];
        let bad = [(Peer::Pontoon, 300), (Peer::Tokio, 200), (Peer::Smol, 400)];
        let fine = case(Kind::Cpu, 1, 4, &fine);
        assert_eq!(met(&never_slower(std::slice::from_ref(&fine))), Some(true));
        let bar = never_slower(&[fine, case(Kind::Cpu, 16, 4, &bad)]);
        let expected = ("0.75 of smol at cpu K=16 W=4".to_owned(), false);
        assert_eq!(bar.measured, Some(expected));
    }

    #[test]
    fn cpu_of_sleeping_calls_is_beside_the_peer_that_needs_least() {
        // The helper's runs all use the same CPU time, so twice the calls are half of it each.
        let peers = [(Peer::Pontoon, 80), (Peer::Tokio, 50), (Peer::Smol, 100)];
        let bar = cpu_of_sleeping_calls(&[case(Kind::Sleep, 1, 4, &peers)]);
        let text = "1.25 of smol at sleep K=1 W=4; above in 1 cells".to_owned();
        assert_eq!(bar.measured, Some((text, false)));
    }

    #[test]
    fn a_long_latency_is_a_stall_only_if_a_peer_has_none() {
        // Latencies of 100 ms, 100 ms and 10 ms: see the helper.
        let alike = case(Kind::Sleep, 1, 4, &[(Peer::Pontoon, 10), (Peer::Tokio, 10)]);
        assert_eq!(met(&stalls(&[alike])), Some(true));
        let ours = case(
            Kind::Sleep,
            1,
            4,
            &[(Peer::Pontoon, 10), (Peer::Tokio, 100)],
        );
        assert_eq!(met(&stalls(&[ours])), Some(false));
        let short = case(
            Kind::Sleep,
            1,
            4,
            &[(Peer::Pontoon, 100), (Peer::Tokio, 1_000)],
        );
        assert_eq!(met(&stalls(&[short])), Some(true));
    }
}
