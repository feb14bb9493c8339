//! The bridge alone: a loop with tasks, timers, sockets and foreign descriptors, a pool with sessions, calls
//! from foreign threads, and an inbox on bare mio.

use crate::case::Case;
use mio::{Events, Interest, Poll, Token};
use pontoon_bridge::event_loop::{
    AsyncFd, Direction, TcpListener, TcpStream, UnixStream, handle, sleep, spawn, timeout,
};
use pontoon_bridge::faults::Faults;
use pontoon_bridge::{
    BoxError, BuildError, CallError, Completer, EventLoop, Inbox, Pool, Sender, Spin, SubmitError,
    call, inbox,
};
use pontoon_tests::PATIENCE;
use std::future::Future;
use std::io::{self, Write};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

/// Calls of each kind.
const CALLS: u64 = 3;

pub fn workload(_: &Case, _: &Faults) {
    let pool = match pool() {
        Ok(pool) => pool,
        Err(error) => {
            let text = error.to_string();
            assert!(text.contains("`faulty`"), "it says which pool: {text}");
            return;
        }
    };
    match EventLoop::with_spin(Spin::Off) {
        Ok(event_loop) => on_a_loop(&event_loop, &pool),
        Err(error) => assert!(error.raw_os_error().is_some(), "{error}"),
    }
    if let Ok((inbox, sender)) = inbox() {
        on_bare_mio(inbox, sender, &pool);
    }
    assert_eq!(pool.shutdown(PATIENCE).still_running, 0);
    let stats = pool.stats();
    assert_eq!(stats.in_flight, 0, "{stats:?}");
}

fn pool() -> Result<Pool<u64>, BuildError> {
    Pool::named("faulty")
        .threads(2)
        .max_stuck(0)
        .spin(Spin::Off)
        .session(|| Ok::<_, BoxError>(40))
        .build()
}

fn on_a_loop(event_loop: &EventLoop, pool: &Pool<u64>) {
    let pool = pool.clone();
    let all = async move {
        calls(&pool).await;
        callbacks().await;
        posts().await;
        // Errors are outcomes too; that they come is what counts.
        let _ = streams().await;
        let _ = connections().await;
        let _ = foreign_descriptor().await;
    };
    let ended = event_loop.block_on(in_time(all));
    ended.expect("everything on the loop has its outcome");
}

/// As long as a fault is no reason for more.
async fn in_time<T>(future: impl Future<Output = T>) -> Result<T, &'static str> {
    timeout(PATIENCE, future).await.map_err(|_| "a hang")
}

/// Calls of a pool, beside a timer.
async fn calls(pool: &Pool<u64>) {
    let timer = spawn(sleep(Duration::from_millis(1)));
    for number in 0..CALLS {
        match pool.call(move |session| *session + number).await {
            Ok(sum) => assert_eq!(sum, 40 + number),
            Err(CallError::SessionFailed(_) | CallError::BackingOff { .. }) => {}
            Err(CallError::Rejected(SubmitError::BackendDown { .. })) => {}
            Err(error) => panic!("an outcome that nothing here has: {error}"),
        }
    }
    timer.await;
}

/// Calls that foreign threads complete.
async fn callbacks() {
    for number in 0..CALLS {
        let (call, completer): (_, Completer<u64>) = call();
        let library = thread::spawn(move || completer.complete(number));
        assert_eq!(call.await.unwrap(), number);
        assert!(library.join().unwrap());
    }
}

/// Closures from a foreign thread.
async fn posts() {
    let (came, come) = channel();
    let handle = handle();
    let foreign = thread::spawn(move || {
        for number in 0..CALLS {
            let came = came.clone();
            handle.post(move || came.send(number).unwrap()).unwrap();
        }
    });
    let mut got = Vec::new();
    while got.len() < CALLS as usize {
        got.extend(come.try_iter());
        sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(got, (0..CALLS).collect::<Vec<_>>());
    foreign.join().unwrap();
}

/// A task that echoes over a pair of sockets.
async fn streams() -> io::Result<()> {
    let (near, far) = UnixStream::pair()?;
    let echo = spawn(async move {
        let read = some(&far).await?;
        send(&far, &read).await
    });
    let sent = send(&near, b"to and fro").await;
    let got = some(&near).await;
    let echoed = echo.await;
    sent.and(echoed)?;
    assert_eq!(got?, b"to and fro");
    Ok(())
}

async fn some(stream: &UnixStream) -> io::Result<Vec<u8>> {
    let mut buffer = [0; 64];
    let read = std::future::poll_fn(|context| stream.poll_read(context, &mut buffer)).await?;
    Ok(buffer[..read].to_vec())
}

async fn send(stream: &UnixStream, bytes: &[u8]) -> io::Result<()> {
    let wrote = std::future::poll_fn(|context| stream.poll_write(context, bytes)).await;
    if wrote.is_err() {
        // Who waits for these bytes learns that they do not come.
        stream.get_ref().shutdown(std::net::Shutdown::Both)?;
    }
    wrote.map(drop)
}

/// A connection to ourselves.
async fn connections() -> io::Result<()> {
    let listener = TcpListener::bind(([127, 0, 0, 1], 0).into())?;
    let address = listener.local_addr()?;
    let accepting = spawn(async move { listener.accept().await.map(drop) });
    let connected = TcpStream::connect(address).await;
    accepting.await?;
    connected.map(drop)
}

/// A library's descriptor, watched, armed again and given back.
async fn foreign_descriptor() -> io::Result<()> {
    let (library, mut peer) = std::os::unix::net::UnixStream::pair()?;
    library.set_nonblocking(true)?;
    let watched = AsyncFd::new(library, Interest::READABLE)?;
    peer.write_all(b"x")?;
    watched.ready(Direction::Read).await;
    watched.clear(Direction::Read);
    watched.rearm(Interest::READABLE)?;
    // Nothing was read, so it is ready at once.
    watched.ready(Direction::Read).await;
    drop(watched.into_inner());
    Ok(())
}

const INBOX: Token = Token(0);
/// A loop that must not rely on the wake fd alone looks as often.
const LOOK: Duration = Duration::from_millis(10);

/// Callbacks and outcomes as messages, on a loop that is not ours.
fn on_bare_mio(mut inbox: Inbox<Option<u64>>, sender: Sender<Option<u64>>, pool: &Pool<u64>) {
    let mut poll = Poll::new().unwrap();
    let registry = poll.registry().try_clone().unwrap();
    if registry
        .register(&mut inbox, INBOX, Interest::READABLE)
        .is_err()
    {
        return;
    }
    let library = thread::spawn(move || (0..CALLS).for_each(|n| sender.send(Some(n)).unwrap()));
    let mut coming = CALLS as usize;
    for number in 0..CALLS {
        let call = pool.call(move |session| *session + number);
        match call.submit_to(&inbox, Result::ok) {
            Ok(()) => coming += 1,
            // Sessions have failed to open again and again.
            Err(refused) => assert!(matches!(refused, SubmitError::BackendDown { .. })),
        }
    }
    let (mut events, mut got) = (Events::with_capacity(4), Vec::new());
    let until = Instant::now() + PATIENCE;
    while got.len() < coming {
        assert!(Instant::now() < until, "only {got:?} came");
        poll.poll(&mut events, Some(LOOK)).unwrap();
        inbox.drain(16, |message| got.push(message));
    }
    library.join().unwrap();
    got.retain(|message| message.is_some_and(|number| number < 40));
    assert_eq!(got, (0..CALLS).map(Some).collect::<Vec<_>>());
    let _ = registry.deregister(&mut inbox);
}
