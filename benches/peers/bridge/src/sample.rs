//! What one run found, as the line that it prints.

use crate::Outcome;
use hdrhistogram::Histogram;
use std::error::Error;
use std::fmt;
use std::str::FromStr;

/// One run. `libuv/peer.c` prints the same line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) calls: u64,
    pub(crate) wall_ns: u64,
    /// All threads, user and system.
    pub(crate) cpu_ns: u64,
    /// Voluntary and involuntary.
    pub(crate) switches: u64,
    /// 0 unless the run counted them.
    pub(crate) allocations: u64,
    /// Calls since the process began: what was counted from outside is divided by these.
    pub(crate) all_calls: u64,
    /// Pairs of a latency in ns and how often it came.
    pub(crate) latencies: Vec<(u64, u64)>,
}

impl Sample {
    pub(crate) fn calls_per_s(&self) -> f64 {
        self.calls as f64 * 1e9 / self.wall_ns as f64
    }

    pub(crate) fn cpu_us_per_call(&self) -> f64 {
        self.cpu_ns as f64 / 1e3 / self.calls as f64
    }

    pub(crate) fn switches_per_call(&self) -> f64 {
        self.switches as f64 / self.calls as f64
    }

    /// Quantiles of the latency, in µs.
    pub(crate) fn latency_us<const N: usize>(&self, quantiles: [f64; N]) -> Outcome<[f64; N]> {
        let mut histogram = Histogram::<u64>::new(3)?;
        for (ns, count) in &self.latencies {
            histogram.record_n(*ns, *count)?;
        }
        Ok(quantiles.map(|quantile| histogram.value_at_quantile(quantile) as f64 / 1e3))
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "calls={} wall_ns={} ", self.calls, self.wall_ns)?;
        write!(f, "cpu_ns={} switches={} ", self.cpu_ns, self.switches)?;
        write!(f, "allocations={} ", self.allocations)?;
        write!(f, "all_calls={} latency_ns=", self.all_calls)?;
        for (index, (ns, count)) in self.latencies.iter().enumerate() {
            let separator = if index == 0 { "" } else { "," };
            write!(f, "{separator}{ns}x{count}")?;
        }
        Ok(())
    }
}

impl FromStr for Sample {
    type Err = Box<dyn Error>;

    fn from_str(line: &str) -> Outcome<Self> {
        let value = |name: &str| {
            let mut fields = line
                .split_whitespace()
                .filter_map(|field| field.split_once('='));
            let found = fields.find(|(of, _)| *of == name);
            found
                .map(|(_, value)| value)
                .ok_or_else(|| format!("a run printed `{}`, which has no {name}", line.trim()))
        };
        let number = |name| -> Outcome<u64> { Ok(value(name)?.parse()?) };
        let sample = Self {
            calls: number("calls")?,
            wall_ns: number("wall_ns")?,
            cpu_ns: number("cpu_ns")?,
            switches: number("switches")?,
            allocations: number("allocations")?,
            all_calls: number("all_calls")?,
            latencies: latencies(value("latency_ns")?)?,
        };
        if sample.calls == 0 || sample.wall_ns == 0 {
            return Err("no call ended in the time of the run".into());
        }
        Ok(sample)
    }
}

fn latencies(text: &str) -> Outcome<Vec<(u64, u64)>> {
    let pairs = text.split(',').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (ns, count) = pair
                .split_once('x')
                .ok_or_else(|| format!("`{pair}` is no latency"))?;
            Ok((ns.parse()?, count.parse()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Sample {
        Sample {
            calls: 1_000,
            wall_ns: 500_000_000,
            cpu_ns: 4_000_000,
            switches: 250,
            allocations: 3_000,
            all_calls: 1_500,
            latencies: vec![(1_000, 500), (5_000, 490), (900_000, 10)],
        }
    }

    #[test]
    fn a_sample_comes_back_as_it_was_printed() {
        assert_eq!(sample().to_string().parse::<Sample>().unwrap(), sample());
        let untimed = Sample {
            latencies: Vec::new(),
            ..sample()
        };
        assert_eq!(untimed.to_string().parse::<Sample>().unwrap(), untimed);
    }

    #[test]
    fn figures_are_per_second_and_per_call() {
        assert_eq!(sample().calls_per_s(), 2_000.0);
        assert_eq!(sample().cpu_us_per_call(), 4.0);
        assert_eq!(sample().switches_per_call(), 0.25);
    }

    #[test]
    fn quantiles_are_those_of_the_calls_that_were_timed() {
        let [p50, p99, p999] = sample().latency_us([0.5, 0.99, 0.999]).unwrap();
        assert!((1.0..1.01).contains(&p50));
        assert!((5.0..5.01).contains(&p99));
        assert!((900.0..901.0).contains(&p999));
    }

    #[test]
    fn a_run_without_calls_is_an_error_not_a_figure() {
        let idle = Sample {
            calls: 0,
            ..sample()
        };
        assert!(idle.to_string().parse::<Sample>().is_err());
        assert!("".parse::<Sample>().is_err());
        assert!("calls=1".parse::<Sample>().is_err());
    }
}
