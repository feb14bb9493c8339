//! Which call fails, and for how long; and all such cases of a workload.

use crate::holding::Holding;
use crate::quiet::{Limit, note_panics, nothing_panicked};
use pontoon_bridge::faults::{Faults, Lasts, Point, Report};
use pontoon_tests::PATIENCE;
use pontoon_tests::process::report;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

/// A workload that meets no end of faults in this many calls repeats them for ever.
const CALLS_MAX: u64 = 100_000;

/// Longer than a case takes on any machine, and shorter than what its waits are bounded by.
const SOON: Duration = PATIENCE.checked_div(2).unwrap();

/// What `PONTOON_FAULT` may name.
const WORKLOADS: [&str; 2] = ["bridge", "server"];

/// One plan of faults.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    workload: &'static str,
    /// `None`: any.
    point: Option<Point>,
    kth: u64,
    pub lasts: Lasts,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let point = self
            .point
            .map_or("any".to_owned(), |point| format!("{point:?}"));
        let lasts = match self.lasts {
            Lasts::Once => "once",
            Lasts::ForGood => "for-good",
        };
        write!(f, "{} {point} {} {lasts}", self.workload, self.kth)
    }
}

type Workload<'w> = &'w dyn Fn(&Case, &Faults);

impl Case {
    fn none(workload: &'static str) -> Self {
        Self {
            workload,
            point: None,
            kth: 0,
            lasts: Lasts::Once,
        }
    }

    /// Reads what [`Display`](fmt::Display) writes, if it is for this workload.
    fn parse(workload: &'static str, text: &str) -> Option<Self> {
        let [named, point, kth, lasts] = text.split(' ').collect::<Vec<_>>()[..] else {
            panic!("PONTOON_FAULT={text:?}: write WORKLOAD POINT K once|for-good");
        };
        assert!(WORKLOADS.contains(&named), "no workload {named:?}");
        let is_point = |known: &Point| format!("{known:?}") == point;
        let found = Point::ALL.into_iter().find(is_point);
        assert!(found.is_some() || point == "any", "no point {point:?}");
        (named == workload).then(|| Self {
            workload,
            point: found,
            kth: kth.parse().unwrap(),
            lasts: match lasts {
                "once" => Lasts::Once,
                "for-good" => Lasts::ForGood,
                _ => panic!("neither once nor for-good: {lasts:?}"),
            },
        })
    }

    /// Runs the workload twice without faults, for all that the process makes on first use and keeps;
    /// what it holds then.
    fn run_first(&self, workload: Workload<'_>) -> Holding {
        note_panics();
        let alone = Holding::now();
        for _ in 0..2 {
            workload(self, &Faults::inject(None, 0, Lasts::Once));
            alone.threads_return();
        }
        nothing_panicked();
        Holding::now()
    }

    /// Runs the workload with this plan, and sees that nothing is left of it.
    fn run(&self, workload: Workload<'_>, before: &Holding) -> Report {
        let limit = Limit::for_case(self.to_string());
        let begin = Instant::now();
        let faults = Faults::inject(self.point, self.kth, self.lasts);
        let ended = catch_unwind(AssertUnwindSafe(|| workload(self, &faults)));
        let (met, took) = (faults.report(), begin.elapsed());
        drop((faults, limit));
        let ended = ended.and_then(|()| {
            catch_unwind(|| {
                // Else a wake was lost, and some limit of the test's has stood in for it.
                assert!(took < SOON, "it took {took:?}");
                nothing_panicked();
                before.returns();
            })
        });
        if let Err(panic) = ended {
            report(&format!("PONTOON_FAULT=\"{self}\" has failed; {met:?}"));
            resume_unwind(panic);
        }
        met
    }
}

/// Runs the workload without faults, then with each, or with the one that `PONTOON_FAULT` names.
pub fn every_fault(name: &'static str, workload: Workload<'_>) {
    let none = Case::none(name);
    let before = none.run_first(workload);
    if let Ok(asked) = std::env::var("PONTOON_FAULT") {
        if let Some(case) = Case::parse(name, &asked) {
            report(&format!("{case}: {:?}", case.run(workload, &before)));
        }
        return;
    }
    let calls = none.run(workload, &before).calls;
    let any = [Lasts::Once, Lasts::ForGood].map(|lasts| (None, lasts));
    let each = Point::ALL.map(|point| (Some(point), Lasts::ForGood));
    let mut cases = 0_u64;
    for (point, lasts) in any.into_iter().chain(each) {
        let met_none = (1..CALLS_MAX).find(|kth| {
            cases += 1;
            let case = Case {
                point,
                kth: *kth,
                lasts,
                ..none
            };
            case.run(workload, &before).injected == 0
        });
        assert!(met_none.is_some(), "{name}: there is no end of calls");
    }
    let after = Holding::now();
    report(&format!(
        "{name}: {calls} fallible calls, {cases} cases, from {before:?} to {after:?}"
    ));
}
