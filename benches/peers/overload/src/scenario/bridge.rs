//! More calls than a pool can serve, without HTTP.

use super::Setting;
use crate::Outcome;
use crate::bridge::{BridgePeer, BridgeRun};
use peer_load::table::{Bar, Column, MustBe, Table, column};
use std::process::{Command, Stdio};
use std::time::Duration;

pub(super) const RATE: u64 = 8_000;
/// Ten times what four workers can serve.
pub(super) const RATE_TENFOLD: u64 = 40_000;

const TIME: Duration = Duration::from_secs(5);

const COLUMNS: &[Column] = &[
    column("capacity/s", 0),
    column("in time/s", 0),
    column("% of capacity", 1),
    column("p99 ms", 1),
    column("began too late/s", 1),
    column("ended too late/s", 1),
    column("refused/s", 0),
    column("refusal p99 ms", 1),
    column("gave up/s", 0),
    column("next answer s", 3),
    column("load lag p99 ms", 1),
];

const BARS: &[Bar] = &[
    bar(2, MustBe::AtLeast(95.0)),
    bar(3, MustBe::AtMost(100.0)),
    bar(4, MustBe::AtMost(0.0)),
];

const BARS_TENFOLD: &[Bar] = &[
    bar(2, MustBe::AtLeast(90.0)),
    bar(4, MustBe::AtMost(0.0)),
    bar(7, MustBe::AtMost(5.0)),
];

const fn bar(column: usize, must_be: MustBe) -> Bar {
    let row = "pontoon";
    Bar {
        row,
        column,
        must_be,
    }
}

pub(super) fn table(rate: u64) -> Table {
    let about = "4 workers, calls that sleep 1 ms, a deadline of 100 ms from when each was to start; \
                 offered at a constant rate on the loop's own thread. Capacity is what the same pool \
                 does when each call follows the one before, 8 in flight.";
    let bars = if rate == RATE { BARS } else { BARS_TENFOLD };
    Table::new(format!("The bridge, {rate} calls/s"), about, COLUMNS, bars)
}

pub(super) fn round(rate: u64, setting: &Setting, table: &mut Table) -> Outcome {
    for peer in BridgePeer::ALL {
        let run = run(peer, rate, setting.at_most(TIME))?;
        let per_s = |count: u64| Some(count as f64 / run.seconds);
        let in_time = run.flood.in_time as f64 / run.seconds;
        table.add(
            peer.name(),
            vec![
                Some(run.capacity_per_s),
                Some(in_time),
                Some(100.0 * in_time / run.capacity_per_s),
                run.flood.answered_p99_ms,
                per_s(run.began_late),
                per_s(run.ended_late),
                per_s(run.flood.refused),
                run.flood.refused_p99_ms,
                per_s(run.flood.gave_up),
                Some(run.recovery_s.unwrap_or(f64::INFINITY)),
                run.flood.lag_p99_ms,
            ],
        );
    }
    Ok(())
}

fn run(peer: BridgePeer, rate: u64, time: Duration) -> Outcome<BridgeRun> {
    let output = Command::new(std::env::current_exe()?)
        .args(["bridge", peer.name(), "--rate", &rate.to_string()])
        .args(["--seconds", &time.as_secs().max(1).to_string()])
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err(format!("the run of {} failed: {}", peer.name(), output.status).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}
