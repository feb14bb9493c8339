//! Many connections that idle, then many clients that send their head byte by byte.

use super::{SERVERS, Setting};
use crate::Outcome;
use crate::child::Server;
use peer_load::client::{Client, Connection};
use peer_load::loops::OpenLoop;
use peer_load::table::{Bar, Column, MustBe, Table, column, median};
use peer_load::tally::Summary;
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
/// How often each of the two servers is measured at the end.
const TURNS: usize = 3;
const CALL: &str = "/other?";

const COLUMNS: &[Column] = &[
    column("KiB per idle connection", 1),
    column("KiB per slow client", 1),
    column("p99 ms before", 2),
    column("p99 ms, 10,000 idle", 2),
    column("p99 ms, 2,000 slow too", 2),
    column("p99 ms, theirs elsewhere", 2),
    column("% of that", 0),
    column("healthy without a 200", 0),
];

const BARS: &[Bar] = &[bar(6, MustBe::AtMost(110.0)), bar(7, MustBe::AtMost(0.0))];

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
                 server's in RAM, without the kernel's. *Theirs elsewhere* is the p99 of healthy clients of a \
                 second server of the same kind meanwhile, measured in turns with the first: what the idle and \
                 the slow ones cost the machine strikes both, what they cost their server only the first.";
    Table::new("Idle and slow clients", about, COLUMNS, BARS)
}

pub(super) async fn round(setting: &Setting, table: &mut Table) -> Outcome {
    for kind in SERVERS {
        let (server, elsewhere) = (start(kind, setting).await?, start(kind, setting).await?);
        table.add(kind, measure(&server, &elsewhere, setting).await?);
    }
    Ok(())
}

async fn start(kind: &str, setting: &Setting) -> Outcome<Server> {
    if kind == "pontoon" {
        return Server::pontoon_command(&setting.pontoon, CONFIG, &setting.folder).await;
    }
    Server::start(kind, &[("--threads", 4)])
}

async fn measure(
    server: &Server,
    elsewhere: &Server,
    setting: &Setting,
) -> Outcome<Vec<Option<f64>>> {
    let (client, client_elsewhere) = (server.client(), elsewhere.client());
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
    let (mut with_slow, mut without) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        with_slow.push(healthy(&client).await);
        without.push(healthy(&client_elsewhere).await);
    }
    let kib_slow = server.resident_kib()?;
    slow.iter().for_each(JoinHandle::abort);
    drop(idle);
    let p99 = |ends: &[Summary]| median(ends.iter().filter_map(|ends| ends.answered_p99_ms));
    let (p99_with, p99_without) = (p99(&with_slow), p99(&without));
    let all = [alone, with_idle].into_iter().chain(with_slow);
    Ok(vec![
        Some((kib_idle - kib_alone) / IDLE as f64),
        Some((kib_slow - kib_before_slow) / SLOW as f64),
        alone.answered_p99_ms,
        with_idle.answered_p99_ms,
        Some(p99_with),
        Some(p99_without),
        Some(100.0 * p99_with / p99_without),
        Some(all.map(|ends| ends.sent - ends.answered).sum::<u64>() as f64),
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
