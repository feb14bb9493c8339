//! A reload every second under load.

use super::Setting;
use crate::Outcome;
use crate::child::Server;
use peer_load::loops::closed_loop;
use peer_load::table::{Bar, Column, MustBe, Table, column};
use std::time::{Duration, Instant};
use tokio::task::spawn_local;
use tokio::time::{interval, sleep};

const TIME: Duration = Duration::from_secs(30);
const PERIOD: Duration = Duration::from_secs(1);
const CLIENTS: usize = 64;
const PATIENCE: Duration = Duration::from_secs(5);
const RELOADED: &str = "reloaded: ";

const COLUMNS: &[Column] = &[
    column("HUPs", 0),
    column("reloads", 0),
    column("requests", 0),
    column("without a 200", 0),
    column("p99 ms, no reloads", 1),
    column("p99 ms", 1),
];

const BARS: &[Bar] = &[Bar {
    row: ROW,
    column: 3,
    must_be: MustBe::AtMost(0.0),
}];

const ROW: &str = "pontoon";

const CONFIG: &str = r#"
listen = "{listen}"
admin  = "{admin}"
[pool.work]
threads = {threads}
[[location]]
path     = "/work"
adapter  = "sleep"
pool     = "work"
duration = "1ms"
"#;

pub(super) fn table() -> Table {
    let about = "64 clients ask for calls of 1 ms, each after the other. Every second the config file says another \
                 number of threads, so the pool is replaced, and HUP has it read. The peers cannot do that.";
    Table::new("HUP every second", about, COLUMNS, BARS)
}

pub(super) async fn round(setting: &Setting, table: &mut Table) -> Outcome {
    let config = |threads: usize| CONFIG.replace("{threads}", &threads.to_string());
    let server = Server::pontoon_command(&setting.pontoon, &config(32), &setting.folder).await?;
    let time = setting.at_most(TIME);
    let client = server.client();
    let alone = closed_loop(&client, CLIENTS, time / 5, PATIENCE, || "/work".to_owned()).await;
    let end = Instant::now() + time;
    let load = spawn_local(async move {
        closed_loop(&client, CLIENTS, time, PATIENCE, || "/work".to_owned()).await
    });
    let mut ticks = interval(PERIOD);
    let mut sent = 0;
    // The first tick is at once, and the last reload is to end under load as well.
    while Instant::now() + PERIOD / 2 < end {
        ticks.tick().await;
        server.reload(&config(32 + sent % 2 + 1))?;
        sent += 1;
    }
    let ends = load.await?;
    let mut done = server.logged(RELOADED)?;
    for _ in 0..100 {
        if done >= sent {
            break;
        }
        sleep(Duration::from_millis(10)).await;
        done = server.logged(RELOADED)?;
    }
    table.add(
        ROW,
        vec![
            Some(sent as f64),
            Some(done as f64),
            Some(ends.sent as f64),
            // The last of each client is cut by the end of the measurement.
            Some((ends.sent - ends.answered - ends.gave_up) as f64),
            alone.answered_p99_ms,
            ends.answered_p99_ms,
        ],
    );
    Ok(())
}
