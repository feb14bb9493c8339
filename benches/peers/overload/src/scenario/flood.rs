//! HTTP at twice the capacity, with clients that give up.

use super::{SERVERS, Setting};
use crate::Outcome;
use crate::child::Server;
use peer_load::loops::{OpenLoop, closed_loop, time_to_answer};
use peer_load::table::{Bar, Column, MustBe, Table, column};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_millis(250);
const TIME: Duration = Duration::from_secs(10);
const WARM_UP: Duration = Duration::from_secs(1);
const CAPACITY_TIME: Duration = Duration::from_secs(2);
const CALL: &str = "/work?us=10000";
const THREADS: usize = 16;
/// What 16 threads can serve of calls of 10 ms.
const CAPACITY_PER_S: u64 = 1_600;
const RECOVERY_MAX: Duration = Duration::from_secs(15);

const COLUMNS: &[Column] = &[
    column("capacity/s", 0),
    column("in time/s", 0),
    column("% of capacity", 1),
    column("p99 ms", 0),
    column("refused/s", 0),
    column("refusal p99 ms", 1),
    column("gave up/s", 0),
    column("run/s", 0),
    column("begun for nobody", 0),
    column("next answer s", 2),
    column("load lag p99 ms", 1),
];

const BARS: &[Bar] = &[
    bar(COMMAND, 2, MustBe::AtLeast(95.0)),
    bar("pontoon", 2, MustBe::AtLeast(95.0)),
    bar("pontoon", 8, MustBe::AtMost(0.0)),
];

const COMMAND: &str = "pontoon, the command";

const fn bar(row: &'static str, column: usize, must_be: MustBe) -> Bar {
    Bar {
        row,
        column,
        must_be,
    }
}

const CONFIG: &str = r#"
listen = "{listen}"
admin  = "{admin}"
[pool.work]
threads = 16
[[location]]
path     = "/work"
adapter  = "sleep"
pool     = "work"
duration = "10ms"
deadline = "250ms"
"#;

pub(super) fn table() -> Table {
    let about = "16 threads, calls that sleep 10 ms, 3,200 requests/s at a constant rate; each client \
                 closes its connection 250 ms after its request was to be sent. Pontoon's location has a \
                 deadline of 250 ms. *Begun for nobody*: calls that began after their client had given \
                 up, by the machine's clock; the command's adapter does not count them, what it ran \
                 comes from its status page.";
    Table::new("HTTP at twice the capacity", about, COLUMNS, BARS)
}

pub(super) async fn round(setting: &Setting, table: &mut Table) -> Outcome {
    let program = &setting.pontoon;
    let command = Server::pontoon_command(program, CONFIG, &setting.folder).await?;
    measure(command, COMMAND, setting, table).await?;
    for kind in SERVERS {
        let deadline_ms = PATIENCE.as_millis() as usize;
        let server = Server::start(
            kind,
            &[("--threads", THREADS), ("--deadline-ms", deadline_ms)],
        )?;
        measure(server, kind, setting, table).await?;
    }
    Ok(())
}

/// Calls run and, where that is counted, run for nobody.
async fn ran(server: &Server, row: &str) -> Outcome<(u64, Option<u64>)> {
    if row == COMMAND {
        let ran = server.pool("work", "completed").await?;
        return Ok((ran.unwrap_or_default(), None));
    }
    let counts = server.counts().await?;
    Ok((counts.begun, Some(counts.for_nobody)))
}

async fn measure(server: Server, row: &str, setting: &Setting, table: &mut Table) -> Outcome {
    let client = server.client();
    let patience = Duration::from_secs(5);
    let closed = closed_loop(&client, 2 * THREADS, CAPACITY_TIME, patience, || {
        CALL.to_owned()
    })
    .await;
    let capacity = closed.answered as f64 / CAPACITY_TIME.as_secs_f64();
    let before = ran(&server, row).await?;
    let flood = OpenLoop {
        per_s: 2 * CAPACITY_PER_S,
        warm_up: WARM_UP,
        time: setting.at_most(TIME),
        patience: PATIENCE,
    };
    let ends = flood.run(&client, |_| CALL.to_owned(), |_, _, _| ()).await;
    let at_end = ran(&server, row).await?;
    let recovery = time_to_answer(&client, CALL, RECOVERY_MAX).await;
    let after = ran(&server, row).await?;
    let seconds = flood.time.as_secs_f64();
    let per_s = |count: u64| Some(count as f64 / seconds);
    let in_time = ends.in_time as f64 / seconds;
    let ran_per_s = (at_end.0 - before.0) as f64 / (seconds + WARM_UP.as_secs_f64());
    table.add(
        row,
        vec![
            Some(capacity),
            Some(in_time),
            Some(100.0 * in_time / capacity),
            ends.answered_p99_ms,
            per_s(ends.refused),
            ends.refused_p99_ms,
            per_s(ends.gave_up + ends.broken + ends.other),
            Some(ran_per_s),
            after
                .1
                .zip(before.1)
                .map(|(after, before)| (after - before) as f64),
            Some(recovery),
            ends.lag_p99_ms,
        ],
    );
    Ok(())
}
