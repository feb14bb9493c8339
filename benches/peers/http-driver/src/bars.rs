//! What Pontoon must reach, and whether it does.

use crate::cases::{Case, Route, Server};
use crate::results::{Figure, Results};

/// A ratio of Pontoon's median to a peer's.
struct Bar {
    route: Route,
    connections: usize,
    figure: Figure,
    limit: Limit,
    peer: Server,
}

#[derive(Clone, Copy)]
enum Limit {
    AtLeast(f64),
    AtMost(f64),
}

const fn bar(route: Route, connections: usize, figure: Figure, limit: Limit, peer: Server) -> Bar {
    Bar {
        route,
        connections,
        figure,
        limit,
        peer,
    }
}

const BARS: [Bar; 6] = {
    use Figure::{CpuUs, RequestsPerSecond};
    use Limit::{AtLeast, AtMost};
    use Route::{Insert, Noop, Sqlite};
    use Server::{Actix, AxumMulti, Nginx};
    [
        bar(Noop, 64, RequestsPerSecond, AtLeast(2.2), AxumMulti),
        bar(Noop, 64, RequestsPerSecond, AtLeast(1.9), Actix),
        bar(Noop, 64, CpuUs, AtMost(1.2), Nginx),
        bar(Noop, 1024, RequestsPerSecond, AtLeast(1.9), AxumMulti),
        bar(Sqlite, 64, RequestsPerSecond, AtLeast(1.7), AxumMulti),
        bar(Insert, 64, RequestsPerSecond, AtLeast(10.0), AxumMulti),
    ]
};

/// A p99.9 above this is a stall, unless the peers have it too.
const STALL_US: f64 = 20_000.0;

/// How a bar was met.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) bar: String,
    pub(crate) measured: String,
    /// `None`: it was not measured.
    pub(crate) met: Option<bool>,
}

/// All bars, in a fixed order.
pub(crate) fn verdicts(results: &Results) -> Vec<Verdict> {
    let ratios = BARS.iter().map(|bar| bar.verdict(results));
    ratios.chain([stalls(results)]).collect()
}

impl Bar {
    fn verdict(&self, results: &Results) -> Verdict {
        let case = Case {
            connections: self.connections,
            route: self.route,
            server: Server::Pontoon,
        };
        let peer = case.on(self.peer);
        let ratio = results.ratio(case, peer, self.figure);
        let measured = match (ratio, results.ratio_range(case, peer, self.figure)) {
            (Some(ratio), Some((low, high))) => {
                format!("×{ratio:.2} (rounds: ×{low:.2} to ×{high:.2})")
            }
            _ => "not measured".to_owned(),
        };
        Verdict {
            bar: self.text(),
            measured,
            met: ratio.map(|ratio| match self.limit {
                Limit::AtLeast(limit) => ratio >= limit,
                Limit::AtMost(limit) => ratio <= limit,
            }),
        }
    }

    fn text(&self) -> String {
        let (sign, limit) = match self.limit {
            Limit::AtLeast(limit) => ('≥', limit),
            Limit::AtMost(limit) => ('≤', limit),
        };
        format!(
            "{} at {} connections: {} {sign} {limit} × {}",
            self.route.name(),
            self.connections,
            self.figure.title(),
            self.peer.name()
        )
    }
}

/// Whether Pontoon stalls where the best peer with a pool does not, or 20 ms longer than it.
fn stalls(results: &Results) -> Verdict {
    let p999 = |case| results.median(case, Figure::P999Us);
    let mut compared = 0;
    let mut found = Vec::new();
    for case in results
        .cases()
        .filter(|case| case.server == Server::Pontoon)
    {
        let peers = Server::WITH_A_POOL.map(|peer| p999(case.on(peer)));
        let best = peers.into_iter().flatten().min_by(f64::total_cmp);
        let (Some(own), Some(best)) = (p999(case), best) else {
            continue;
        };
        compared += 1;
        if own > STALL_US && (best <= STALL_US || own - best > STALL_US) {
            let (route, connections) = (case.route.name(), case.connections);
            let (own, best) = (own / 1e3, best / 1e3);
            found.push(format!(
                "{route} at {connections}: {own:.1} ms, best peer {best:.1} ms"
            ));
        }
    }
    found.sort();
    Verdict {
        bar: format!(
            "p99.9 nowhere above {} ms where a peer with a pool stays below, nor that much above it",
            STALL_US / 1e3
        ),
        measured: match (compared, found.is_empty()) {
            (0, _) => "not measured".to_owned(),
            (_, true) => format!("none (cases: {compared})"),
            (_, false) => found.join("; "),
        },
        met: (compared > 0).then_some(found.is_empty()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Sample;
    use crate::results::tests::{all, case};

    fn with_noop(pontoon: f64, peer: f64) -> Results {
        let mut results = Results::default();
        results.add(case(Server::Pontoon, Route::Noop, 64), all(pontoon));
        for server in [Server::AxumMulti, Server::Actix, Server::Nginx] {
            results.add(case(server, Route::Noop, 64), all(peer));
        }
        results
    }

    fn met(results: &Results) -> Vec<Option<bool>> {
        let verdicts = verdicts(results);
        verdicts.iter().map(|verdict| verdict.met).collect()
    }

    #[test]
    fn a_bar_is_met_on_the_line_and_not_below_it() {
        let (yes, no) = (Some(true), Some(false));
        let twice = with_noop(20.0, 10.0);
        assert_eq!(met(&twice), [no, yes, no, None, None, yes]);
        let exactly = with_noop(22.0, 10.0);
        assert_eq!(met(&exactly), [yes, yes, no, None, None, yes]);
        let less_cpu = with_noop(12.0, 10.0);
        assert_eq!(met(&less_cpu), [no, no, yes, None, None, yes]);
    }

    #[test]
    fn what_was_not_measured_is_neither_met_nor_missed() {
        let nothing = Results::default();
        assert_eq!(met(&nothing), [None; 6]);
        assert_eq!(verdicts(&nothing)[0].measured, "not measured");
    }

    fn stall(pontoon_ms: f64, axum_ms: f64, actix_ms: f64) -> Verdict {
        let mut results = Results::default();
        for (server, ms) in [
            (Server::Pontoon, pontoon_ms),
            (Server::AxumMulti, axum_ms),
            (Server::Actix, actix_ms),
            // It has no pool: not being as quick as it is no stall.
            (Server::Nginx, 0.1),
        ] {
            let sample: Sample = all(ms * 1e3);
            results.add(case(server, Route::Noop, 1024), sample);
        }
        stalls(&results)
    }

    #[test]
    fn a_stall_is_one_that_some_peer_does_not_have() {
        assert_eq!(stall(19.0, 1.0, 1.0).met, Some(true));
        assert_eq!(stall(35.0, 30.0, 25.0).met, Some(true));
        assert_eq!(stall(50.0, 90.0, 25.0).met, Some(false));
        let found = stall(21.0, 30.0, 15.0);
        assert_eq!(found.met, Some(false));
        assert_eq!(found.measured, "noop at 1024: 21.0 ms, best peer 15.0 ms");
    }
}
