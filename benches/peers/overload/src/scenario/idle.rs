//! Many connections that idle, then many clients that send their head byte by byte.

use super::{SERVERS, Setting};
use crate::Outcome;
use crate::child::Server;
use crate::client::{Client, Connection};
use crate::load::OpenLoop;
use crate::table::{Bar, Column, MustBe, Table, column};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::sleep;

const IDLE: usize = 10_000;
const SLOW: usize = 2_000;
/// Connecting at once; more would overflow the kernel's queue of those that are not accepted yet.
const AT_ONCE: usize = 100;
const TIME: Duration = Duration::from_secs(5);
const CALL: &str = "/other?";

const COLUMNS: &[Column] = &[
    column("KiB per idle connection", 1),
    column("KiB per slow client", 1),
    column("p99 ms before", 2),
    column("p99 ms, 10,000 idle", 2),
    column("p99 ms, 2,000 slow too", 2),
    column("% of before", 0),
    column("healthy without a 200", 0),
];

const BARS: &[Bar] = &[bar(5, MustBe::AtMost(110.0)), bar(6, MustBe::AtMost(0.0))];

const fn bar(column: usize, must_be: MustBe) -> Bar {
    let row = "pontoon";
    Bar {
        row,
        column,
        must_be,
    }
}

const CONFIG: &str = r#"
listen          = "{listen}"
admin           = "{admin}"
max_connections = 25000
keep_alive      = "600s"
[pool.other]
threads = 4
[[location]]
path    = "/other"
adapter = "echo"
pool    = "other"
"#;

pub(super) fn table() -> Table {
    let about = "Healthy clients send 1,000 requests/s for a call that does nothing. Each of 10,000 connections has \
                 asked once and then idles; 2,000 more send a head of a byte in half a second. Memory is the \
                 server's in RAM, without the kernel's.";
    Table::new("Idle and slow clients", about, COLUMNS, BARS)
}

pub(super) async fn round(setting: &Setting, table: &mut Table) -> Outcome {
    for kind in SERVERS {
        let server = if kind == "pontoon" {
            Server::pontoon_command(&setting.pontoon, CONFIG, &setting.folder).await?
        } else {
            Server::start(kind, &[("--threads", 4)])?
        };
        table.add(kind, measure(&server, setting).await?);
    }
    Ok(())
}

async fn measure(server: &Server, setting: &Setting) -> Outcome<Vec<Option<f64>>> {
    let client = server.client();
    let load = OpenLoop {
        per_s: 1_000,
        warm_up: Duration::from_secs(1),
        time: setting.at_most(TIME),
        patience: Duration::from_secs(1),
    };
    let healthy =
        async |client: &Rc<Client>| load.run(client, |_| CALL.to_owned(), |_, _, _| ()).await;
    let alone = healthy(&client).await;
    let kib_alone = server.resident_kib()?;
    let idle = open(server.address, IDLE, |mut connection| async move {
        connection.get(CALL).await?;
        Ok(connection)
    })
    .await?;
    let kib_idle = server.resident_kib()?;
    let with_idle = healthy(&client).await;
    let kib_before_slow = server.resident_kib()?;
    let slow = open(server.address, SLOW, |connection| async {
        Ok(crawl(connection))
    })
    .await?;
    let with_slow = healthy(&client).await;
    let kib_slow = server.resident_kib()?;
    slow.iter().for_each(JoinHandle::abort);
    drop(idle);
    let failed = [alone, with_idle, with_slow].map(|ends| ends.sent - ends.answered);
    Ok(vec![
        Some((kib_idle - kib_alone) / IDLE as f64),
        Some((kib_slow - kib_before_slow) / SLOW as f64),
        alone.answered_p99_ms,
        with_idle.answered_p99_ms,
        with_slow.answered_p99_ms,
        with_slow
            .answered_p99_ms
            .zip(alone.answered_p99_ms)
            .map(|(slow, before)| 100.0 * slow / before),
        Some(failed.into_iter().sum::<u64>() as f64),
    ])
}

/// Opens so many connections and makes something of each.
async fn open<T: 'static, F>(
    address: SocketAddr,
    count: usize,
    then: impl Fn(Connection) -> F + Clone + 'static,
) -> Outcome<Vec<T>>
where
    F: Future<Output = std::io::Result<T>>,
{
    let mut all = Vec::with_capacity(count);
    while all.len() < count {
        let batch = AT_ONCE.min(count - all.len());
        let opening: Vec<_> = (0..batch)
            .map(|_| {
                let then = then.clone();
                spawn_local(async move { then(Connection::open(address).await?).await })
            })
            .collect();
        for connection in opening {
            all.push(connection.await??);
        }
    }
    Ok(all)
}

/// Sends a head that never ends, a byte at a time, until the server has had enough.
fn crawl(mut connection: Connection) -> JoinHandle<()> {
    spawn_local(async move {
        if connection
            .send(b"GET /other HTTP/1.1\r\nHost: localhost\r\nX: ")
            .await
            .is_err()
        {
            return;
        }
        while connection.send(b"x").await.is_ok() {
            sleep(Duration::from_millis(500)).await;
        }
    })
}
