//! Samples of all rounds and their medians.

use crate::cases::Case;
use std::collections::HashMap;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Figure {
    RequestsPerSecond,
    CpuUs,
    Switches,
    P50Us,
    P99Us,
    P999Us,
    MaxUs,
    PeakMib,
    /// CPUs that neither the server nor wrk had.
    Others,
}

impl Figure {
    /// In the order of the tables' columns, and of the values of a [`Sample`].
    pub(crate) const ALL: [Self; 9] = [
        Self::RequestsPerSecond,
        Self::CpuUs,
        Self::Switches,
        Self::P50Us,
        Self::P99Us,
        Self::P999Us,
        Self::MaxUs,
        Self::PeakMib,
        Self::Others,
    ];

    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::RequestsPerSecond => "requests/s",
            Self::CpuUs => "CPU µs/request",
            Self::Switches => "switches/request",
            Self::P50Us => "p50 µs",
            Self::P99Us => "p99 µs",
            Self::P999Us => "p99.9 µs",
            Self::MaxUs => "max µs",
            Self::PeakMib => "peak MiB",
            Self::Others => "others' CPUs",
        }
    }

    /// Whether dividing it by a peer's says anything.
    pub(crate) const fn is_compared(self) -> bool {
        !matches!(self, Self::MaxUs | Self::Others)
    }

    /// How many digits after the point say anything.
    pub(crate) const fn decimals(self) -> usize {
        match self {
            Self::RequestsPerSecond | Self::P50Us | Self::P99Us | Self::P999Us | Self::MaxUs => 0,
            Self::CpuUs | Self::PeakMib => 1,
            Self::Switches | Self::Others => 2,
        }
    }
}

/// The figures of one run, in the order of [`Figure::ALL`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample(pub(crate) [f64; Figure::ALL.len()]);

impl Sample {
    pub(crate) fn get(&self, figure: Figure) -> f64 {
        self.0[figure as usize]
    }
}

/// All runs.
#[derive(Debug, Default)]
pub(crate) struct Results(HashMap<Case, Vec<Sample>>);

impl Results {
    /// Each case gets one sample in each round.
    pub(crate) fn add(&mut self, case: Case, sample: Sample) {
        self.0.entry(case).or_default().push(sample);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn cases(&self) -> impl Iterator<Item = Case> {
        self.0.keys().copied()
    }

    /// In how many of all runs a figure was above something.
    pub(crate) fn runs_above(&self, figure: Figure, limit: f64) -> (usize, usize) {
        let runs = || self.0.values().flatten();
        let above = runs().filter(|sample| sample.get(figure) > limit);
        (above.count(), runs().count())
    }

    pub(crate) fn median(&self, case: Case, figure: Figure) -> Option<f64> {
        let samples = self.0.get(&case)?;
        let mut values: Vec<f64> = samples.iter().map(|sample| sample.get(figure)).collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        match values.len() % 2 {
            1 => values.get(middle).copied(),
            _ => Some(f64::midpoint(*values.get(middle - 1)?, values[middle])),
        }
    }

    /// The ratio of the medians of two cases.
    pub(crate) fn ratio(&self, case: Case, base: Case, figure: Figure) -> Option<f64> {
        let ratio = self.median(case, figure)? / self.median(base, figure)?;
        ratio.is_finite().then_some(ratio)
    }

    /// The smallest and the largest ratio within one round: how far to trust that of the medians.
    pub(crate) fn ratio_range(&self, case: Case, base: Case, figure: Figure) -> Option<(f64, f64)> {
        let pairs = self.0.get(&case)?.iter().zip(self.0.get(&base)?);
        let ratios = pairs.map(|(sample, base)| sample.get(figure) / base.get(figure));
        ratios.fold(None, |range, ratio| match range {
            None => Some((ratio, ratio)),
            Some((low, high)) => Some((ratio.min(low), ratio.max(high))),
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::cases::{Route, Server};

    pub(crate) fn case(server: Server, route: Route, connections: usize) -> Case {
        Case {
            connections,
            route,
            server,
        }
    }

    /// A sample in which every figure has the same value.
    pub(crate) fn all(value: f64) -> Sample {
        Sample([value; Figure::ALL.len()])
    }

    #[test]
    fn every_figure_is_found_at_its_place() {
        for (place, figure) in Figure::ALL.into_iter().enumerate() {
            assert_eq!(figure as usize, place);
        }
    }

    #[test]
    fn one_bad_run_does_not_move_the_median() {
        let pontoon = case(Server::Pontoon, Route::Noop, 64);
        let mut results = Results::default();
        for value in [1.0, 30.0, 20.0] {
            results.add(pontoon, all(value));
        }
        assert_eq!(results.median(pontoon, Figure::CpuUs), Some(20.0));
        results.add(pontoon, all(22.0));
        assert_eq!(results.median(pontoon, Figure::CpuUs), Some(21.0));
    }

    #[test]
    fn the_range_pairs_the_runs_of_a_round() {
        let pontoon = case(Server::Pontoon, Route::Noop, 64);
        let base = pontoon.on(Server::BASE);
        let mut results = Results::default();
        for (value, of_base) in [(20.0, 10.0), (2.0, 2.0), (30.0, 10.0)] {
            results.add(pontoon, all(value));
            results.add(base, all(of_base));
        }
        let figure = Figure::RequestsPerSecond;
        assert_eq!(results.ratio(pontoon, base, figure), Some(2.0));
        assert_eq!(results.ratio_range(pontoon, base, figure), Some((1.0, 3.0)));
    }

    #[test]
    fn what_was_not_measured_has_no_figures() {
        let pontoon = case(Server::Pontoon, Route::Noop, 64);
        let results = Results::default();
        assert_eq!(results.median(pontoon, Figure::CpuUs), None);
        assert_eq!(results.ratio(pontoon, pontoon, Figure::CpuUs), None);
        assert_eq!(results.ratio_range(pontoon, pontoon, Figure::CpuUs), None);
    }
}
