//! Panics, hangs and errors under load: nobody else loses a request.

use super::{SERVERS, Setting};
use crate::Outcome;
use crate::child::Server;
use peer_load::loops::{OpenLoop, closed_loop};
use peer_load::table::{Bar, Column, MustBe, Table, column};
use peer_load::tally::End;
use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::time::sleep;

const THREADS: usize = 16;
const HEALTHY: &str = "/work?us=10000";
const HANG: &str = "/work?us=2000000";
const DEADLINE: Duration = Duration::from_secs(1);
/// Longer than a call that hangs.
const PATIENCE: Duration = Duration::from_secs(5);
const TIME: Duration = Duration::from_secs(60);
const WARM_UP: Duration = Duration::from_secs(3);
const CAPACITY_TIME: Duration = Duration::from_secs(2);
const STUCK_AFTER_MS: usize = 50;
/// More than hang at once: 1 % of 1,600/s for 2 s.
const STUCK_MAX: usize = 64;

const COLUMNS: &[Column] = &[
    column("capacity/s", 0),
    column("sent/s", 0),
    column("healthy, in time/s", 0),
    column("% of what they allow", 1),
    column("refused/s", 0),
    column("errors and 504/s", 0),
    column("without an answer", 0),
    column("threads more, after", 0),
    column("calls inside, after", 0),
    column("sessions, after", 0),
];

const BARS: &[Bar] = &[
    bar(3, MustBe::AtLeast(90.0)),
    bar(6, MustBe::AtMost(0.0)),
    bar(7, MustBe::AtMost(0.0)),
    bar(8, MustBe::AtMost(0.0)),
    bar(9, MustBe::AtMost((THREADS + STUCK_MAX) as f64)),
];

const fn bar(column: usize, must_be: MustBe) -> Bar {
    let row = "pontoon";
    Bar {
        row,
        column,
        must_be,
    }
}

pub(super) fn table() -> Table {
    let about = "16 threads, calls of 10 ms at the rate that they can serve when all is well; 1 % panic, 1 % \
                 hang for 2 s, 5 % are errors. Pontoon's location has a deadline of 1 s, and its pool \
                 `stuck_after` 50 ms and 64 spare workers. Clients wait for 5 s; an answer within 1 s is \
                 in time. What the healthy calls allow is 93 % of the capacity.";
    Table::new("Panics, hangs and errors", about, COLUMNS, BARS)
}

pub(super) async fn round(setting: &Setting, table: &mut Table) -> Outcome {
    let arguments = [
        ("--threads", THREADS),
        ("--deadline-ms", DEADLINE.as_millis() as usize),
        ("--stuck-after-ms", STUCK_AFTER_MS),
        ("--max-stuck", STUCK_MAX),
    ];
    for kind in SERVERS {
        let server = Server::start(kind, &arguments)?;
        table.add(kind, measure(&server, setting).await?);
    }
    Ok(())
}

/// What the n-th request asks for: the faults are spread as by dice, in every run alike.
fn target(number: u64) -> &'static str {
    match dice(number) {
        0 => "/work?us=10000&fault=panic",
        1 => HANG,
        2..=6 => "/work?us=10000&fault=error",
        _ => HEALTHY,
    }
}

/// 0 to 99. The steps of SplitMix64 (Steele, Lea and Flood 2014).
fn dice(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) % 100
}

async fn measure(server: &Server, setting: &Setting) -> Outcome<Vec<Option<f64>>> {
    let client = server.client();
    let closed = closed_loop(&client, 2 * THREADS, CAPACITY_TIME, PATIENCE, || {
        HEALTHY.to_owned()
    })
    .await;
    let capacity = closed.answered as f64 / CAPACITY_TIME.as_secs_f64();
    let threads = server.threads()?;
    let load = OpenLoop {
        per_s: capacity as u64,
        warm_up: WARM_UP,
        time: setting.at_most(TIME),
        patience: PATIENCE,
    };
    let healthy = Rc::new(Cell::new(0_u64));
    let counted = Rc::clone(&healthy);
    let noted = move |number, end, took| {
        if target(number) == HEALTHY && end == End::Answered && took <= DEADLINE {
            counted.set(counted.get() + 1);
        }
    };
    let ends = load
        .run(&client, |number| target(number).to_owned(), noted)
        .await;
    settle(server).await?;
    let seconds = load.time.as_secs_f64();
    let in_time = healthy.get() as f64 / seconds;
    let after = async |field| -> Outcome<Option<f64>> {
        Ok(server
            .pool("work", field)
            .await?
            .map(|number| number as f64))
    };
    Ok(vec![
        Some(capacity),
        Some(ends.sent as f64 / seconds),
        Some(in_time),
        Some(100.0 * in_time / (0.93 * capacity)),
        Some(ends.refused as f64 / seconds),
        Some(ends.other as f64 / seconds),
        Some(ends.lost() as f64),
        Some(server.threads()? as f64 - threads as f64),
        after("in_flight").await?,
        after("sessions").await?,
    ])
}

/// Gives the last calls that hang the time to return.
async fn settle(server: &Server) -> Outcome {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until && server.pool("work", "in_flight").await? != Some(0) {
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_requests_as_many_go_wrong_as_it_says() {
        let share = |wanted: &str| {
            (0..100_000)
                .filter(|number| target(*number).contains(wanted))
                .count()
        };
        assert!((800..1_200).contains(&share("panic")));
        assert!((800..1_200).contains(&share("us=2000000")));
        assert!((4_500..5_500).contains(&share("error")));
    }
}
