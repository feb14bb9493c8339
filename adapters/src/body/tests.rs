//! Both ends of a body, on threads and on loops.

use std::cell::Cell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::Write;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Instant;

use bytes::Bytes;
use futures_core::Stream;
use pontoon_bridge::EventLoop;
use pontoon_bridge::event_loop::timeout;

use super::{Body, BodySink, CutShort, body};
use crate::test_support::PATIENCE;
use crate::{CallContext, Error, ErrorKind, Response};

/// All of it, read as fast as it comes.
async fn read(body: &mut Body) -> Result<Vec<u8>, CutShort> {
    let mut all = Vec::new();
    let reading = async {
        while let Some(chunk) = poll_fn(|context| body.poll_chunk(context)).await {
            all.extend_from_slice(&chunk?);
        }
        Ok(())
    };
    timeout(PATIENCE, reading).await.expect("it ends")?;
    Ok(all)
}

fn read_here(mut body: Body) -> Result<Vec<u8>, CutShort> {
    EventLoop::new().unwrap().block_on(read(&mut body))
}

fn next(body: &mut Body) -> Option<Result<Bytes, CutShort>> {
    EventLoop::new()
        .unwrap()
        .block_on(timeout(
            PATIENCE,
            poll_fn(|context| body.poll_chunk(context)),
        ))
        .expect("something comes")
}

fn body_of(response: Response) -> Body {
    response.into_parts().unwrap().1.expect("it is streamed")
}

#[test]
fn pieces_are_gathered_and_come_in_order() {
    let (mut sink, mut body) = body(1 << 20);
    sink.send("one ").unwrap();
    write!(sink, "{} ", 2).unwrap();
    sink.flush().unwrap();
    assert_eq!(next(&mut body).unwrap().unwrap(), "one 2 ");
    let large = Bytes::from(vec![b'x'; 100_000]);
    sink.send("three ").unwrap();
    sink.send_bytes(large.clone()).unwrap();
    sink.send("end").unwrap();
    sink.finish().unwrap();
    assert_eq!(next(&mut body).unwrap().unwrap(), "three ");
    let taken = next(&mut body).unwrap().unwrap();
    assert_eq!(
        taken.as_ptr(),
        large.as_ptr(),
        "a large piece is not copied"
    );
    assert_eq!(read_here(body).unwrap(), b"end");
}

#[test]
fn a_sink_that_is_dropped_cuts_the_body_and_what_was_sent_still_comes() {
    let (mut sink, mut body) = body(1 << 20);
    sink.send("some").unwrap();
    drop(sink);
    assert_eq!(next(&mut body).unwrap().unwrap(), "some");
    let cut = next(&mut body).unwrap().unwrap_err();
    assert!(cut.to_string().contains("cut short"), "{cut}");
}

#[test]
fn a_producer_waits_while_the_buffer_is_full_and_never_has_more_in_it() {
    const MAX_BYTES: usize = 64 * 1024;
    let (mut sink, mut body) = body(MAX_BYTES);
    let (sent, counts) = mpsc::channel();
    let producer = thread::spawn(move || {
        for _ in 0..1000 {
            sink.send([7; 1024]).unwrap();
            sent.send(1024).unwrap();
        }
        sink.finish().unwrap();
    });
    let (mut produced, mut taken) = (0, 0);
    while let Some(chunk) = next(&mut body) {
        taken += chunk.unwrap().len();
        produced += counts.try_iter().sum::<usize>();
        // The buffer, the chunk that is over it, and what is being gathered.
        assert!(produced <= taken + MAX_BYTES + 2 * 32 * 1024 + 1024);
    }
    producer.join().unwrap();
    assert_eq!(taken, 1000 * 1024);
}

#[test]
fn when_the_reader_leaves_a_producer_that_waits_learns_it_at_once() {
    let (mut sink, body) = body(1024);
    let (full, is_full) = mpsc::channel();
    let producer = thread::spawn(move || {
        sink.send([0; 1024]).unwrap();
        full.send(()).unwrap();
        sink.send([0; 1024]).and_then(|()| sink.send([0; 1024]))
    });
    is_full.recv().unwrap();
    drop(body);
    let error = producer.join().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.detail().contains("nobody reads"), "{error}");
}

/// Chance that can be repeated, and what repeats it.
fn seeded() -> (fastrand::Rng, u64) {
    let asked = std::env::var("PONTOON_SEED");
    let seed = asked.map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    let _ = writeln!(std::io::stderr(), "PONTOON_SEED={seed}");
    (fastrand::Rng::with_seed(seed), seed)
}

#[test]
fn no_wake_is_lost_between_the_ends() {
    let (mut random, _) = seeded();
    for _ in 0..200 {
        let max_bytes = random.usize(1..4096);
        let sizes: Vec<_> = (0..random.usize(0..200))
            .map(|_| random.usize(0..2048))
            .collect();
        let expected: usize = sizes.iter().sum();
        let (mut sink, mut body) = body(max_bytes);
        let mut pauses = random.fork();
        let producer = thread::spawn(move || {
            for size in sizes {
                sink.send(vec![1; size]).unwrap();
                if pauses.u8(..) < 64 {
                    sink.flush().unwrap();
                }
                if pauses.u8(..) < 16 {
                    thread::yield_now();
                }
            }
            sink.finish().unwrap();
        });
        let all = EventLoop::new().unwrap().block_on(read(&mut body)).unwrap();
        assert_eq!(all.len(), expected);
        producer.join().unwrap();
    }
}

/// Wakes a thread.
struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Takes up to as long as a wake does, so that the other end is met at any point.
fn spin(random: &mut fastrand::Rng) {
    (0..random.usize(..2048)).for_each(|_| std::hint::spin_loop());
}

/// Both ends wait for each other all the time, and meet at every possible moment.
#[test]
fn no_wake_is_lost_where_each_end_waits_for_the_other() {
    const ITEMS: usize = 50_000;
    let (mut random, seed) = seeded();
    // Room for one item: its producer waits until it is taken.
    let (mut sink, mut body) = body(1);
    let mut spins = random.fork();
    let producer = thread::spawn(move || {
        for _ in 0..ITEMS {
            spin(&mut spins);
            sink.send("x").unwrap();
        }
        sink.finish().unwrap();
    });
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let context = Context::from_waker(&waker);
    let mut taken = 0;
    loop {
        spin(&mut random);
        match body.poll_chunk(&context) {
            Poll::Ready(Some(chunk)) => taken += chunk.unwrap().len(),
            Poll::Ready(None) => break,
            Poll::Pending => {
                let began = Instant::now();
                thread::park_timeout(PATIENCE);
                assert!(
                    began.elapsed() < PATIENCE,
                    "a wake was lost, PONTOON_SEED={seed}"
                );
            }
        }
    }
    assert_eq!(taken, ITEMS);
    producer.join().unwrap();
}

#[test]
fn a_producer_is_held_to_the_length_that_was_announced() {
    let announced = |bytes: &'static [u8]| {
        let call = CallContext::detached();
        let head = Response::text("").with_length(4);
        call.stream(head, |body| body.send(bytes))
    };
    assert_eq!(announced(b"1234").unwrap().body(), "1234");
    assert!(
        announced(b"123")
            .unwrap_err()
            .detail()
            .contains("1 bytes less")
    );
    assert!(
        announced(b"12345")
            .unwrap_err()
            .detail()
            .contains("more bytes")
    );
}

#[test]
fn a_detached_call_has_the_whole_body_and_one_without_a_body_runs_nothing() {
    let call = CallContext::detached();
    let head = || Response::bytes("text/csv".parse().unwrap(), "n\n");
    let produce = |body: &mut BodySink| (0..3).try_for_each(|n| body.send(format!("{n}\n")));
    let response = call.stream(head(), produce).unwrap();
    assert_eq!(response.body(), "n\n0\n1\n2\n");
    let must_not_run = |_: &mut BodySink| panic!("it runs");
    let head_only = call
        .clone()
        .for_head(true)
        .stream(head(), must_not_run)
        .unwrap();
    assert!(!head_only.is_streamed());
    let none = call.stream(Response::status(http::StatusCode::NO_CONTENT), must_not_run);
    assert_eq!(none.unwrap().status(), 204);
}

#[test]
fn on_a_loop_a_sink_fails_where_it_would_block() {
    EventLoop::new().unwrap().block_on(async {
        let (mut sink, _response) = Response::channel("text/plain".parse().unwrap());
        let error = (0..100)
            .try_for_each(|_| sink.send([0; 32 * 1024]))
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal);
        let error = CallContext::detached()
            .stream(Response::text(""), |_| Ok(()))
            .unwrap_err();
        assert!(error.detail().contains("on a worker"), "{error}");
    });
}

#[test]
fn a_response_that_a_worker_must_produce_is_of_no_use_elsewhere() {
    let response = Response::from_reader("text/plain".parse().unwrap(), &b"text"[..]);
    let error = response.into_parts().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal);
}

/// Items one by one, each after a turn of the loop; it notes when it is dropped.
struct Items {
    items: VecDeque<Result<Bytes, Error>>,
    is_due: bool,
    dropped: Rc<Cell<bool>>,
    panics_at_last: bool,
}

impl Items {
    fn new(items: impl IntoIterator<Item = Result<Bytes, Error>>) -> (Self, Rc<Cell<bool>>) {
        let dropped = Rc::new(Cell::new(false));
        let stream = Self {
            items: items.into_iter().collect(),
            is_due: false,
            dropped: Rc::clone(&dropped),
            panics_at_last: false,
        };
        (stream, dropped)
    }
}

impl Stream for Items {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.is_due = !self.is_due;
        if self.is_due {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let item = self.items.pop_front();
        assert!(item.is_some() || !self.panics_at_last, "boom");
        Poll::Ready(item)
    }
}

impl Drop for Items {
    fn drop(&mut self) {
        self.dropped.set(true);
    }
}

fn from_items(items: Items) -> Response {
    Response::from_stream("text/event-stream".parse().unwrap(), items)
}

#[test]
fn a_stream_on_the_loop_is_sent_item_by_item_to_its_end() {
    EventLoop::new().unwrap().block_on(async {
        let items = (0..1000).map(|n| Ok(Bytes::from(format!("{n:1000}"))));
        let (items, dropped) = Items::new(items);
        let mut body = body_of(from_items(items));
        assert_eq!(read(&mut body).await.unwrap().len(), 1_000_000);
        assert!(dropped.get());
    });
}

#[test]
fn a_stream_that_fails_or_panics_cuts_the_body() {
    EventLoop::new().unwrap().block_on(async {
        let source = std::io::Error::other("the disk is gone");
        let failure = Error::internal("cannot go on").with_source(source);
        let (fails, _) = Items::new([Ok(Bytes::from("some")), Err(failure)]);
        let cut = read(&mut body_of(from_items(fails))).await.unwrap_err();
        assert!(
            cut.to_string().contains("cannot go on: the disk is gone"),
            "{cut}"
        );
        let (mut panics, dropped) = Items::new([Ok(Bytes::from("some"))]);
        panics.panics_at_last = true;
        let cut = read(&mut body_of(from_items(panics))).await.unwrap_err();
        assert!(cut.to_string().contains("boom"), "{cut}");
        assert!(dropped.get());
    });
}

#[test]
fn a_stream_that_nobody_reads_is_dropped_also_while_it_waits() {
    EventLoop::new().unwrap().block_on(async {
        let endless = (0..)
            .map(|_| Ok(Bytes::from_static(&[0; 1024])))
            .take(1_000_000);
        let (items, dropped) = Items::new(endless);
        let mut body = body_of(from_items(items));
        poll_fn(|context| body.poll_chunk(context))
            .await
            .unwrap()
            .unwrap();
        assert!(!dropped.get());
        drop(body);
        let gone = async {
            while !dropped.get() {
                pontoon_bridge::event_loop::yield_now().await;
            }
        };
        timeout(PATIENCE, gone).await.expect("it is dropped");
    });
}
