//! The examples that need the bridge alone.

use pontoon_bridge::event_loop::{EventLoop, UnixStream};
use std::io::ErrorKind;
use std::time::{Duration, Instant};

use crate::bounded;

#[path = "../../../examples/foreign_fd.rs"]
mod foreign_fd;
#[path = "../../../examples/posted_event.rs"]
mod posted_event;
#[path = "../../../examples/read_handler.rs"]
mod read_handler;
#[path = "../../../examples/timers.rs"]
mod timers;
#[path = "../../../examples/write_handler.rs"]
mod write_handler;

#[test]
fn the_programs_run_as_they_are() {
    bounded(|| foreign_fd::main().unwrap());
    bounded(|| posted_event::main().unwrap());
    bounded(|| read_handler::main().unwrap());
    bounded(|| timers::main().unwrap());
    bounded(|| write_handler::main().unwrap());
}

#[test]
fn timers_fire_in_order_and_never_early() {
    let began = Instant::now();
    let log = bounded(|| timers::run().unwrap());
    assert_eq!(
        log,
        [
            "the one-shot timer fired",
            "heartbeat",
            "heartbeat",
            "heartbeat",
            "quiet for 30 ms",
            "the cancelled timer did not fire",
            "armed again, it fired",
        ]
    );
    // One-shot, three ticks, the silence after the last activity, and the wait for the cancelled one.
    assert!(began.elapsed() >= Duration::from_millis(20 + 30 + 30 + 20));
}

#[test]
fn a_reader_is_told_bytes_silence_and_the_end_apart() {
    use read_handler::End;
    let [silent, left, by_hand] = bounded(|| read_handler::run().unwrap());
    assert_eq!(silent, (b"hello".to_vec(), End::TimedOut));
    assert_eq!(left, (b"bye".to_vec(), End::Eof));
    assert_eq!(by_hand, (b"by hand".to_vec(), End::Eof));
}

#[test]
fn a_chain_larger_than_the_socket_takes_at_once_arrives_whole() {
    let mut buffers = vec![vec![b'x'; 300_000]; 3];
    buffers.extend(vec![b"small".to_vec(); 200]);
    buffers.push(Vec::new());
    let arrived = bounded(|| write_handler::run(buffers).unwrap());
    assert_eq!(arrived, 901_000);
}

#[test]
fn a_peer_that_reads_nothing_runs_into_the_send_timeout() {
    let (error, left) = bounded(|| {
        EventLoop::new().unwrap().block_on(async {
            let (ours, _never_reads) = UnixStream::pair().unwrap();
            let mut chain = write_handler::Chain::default();
            chain.push(vec![b'x'; 16 << 20]);
            let sent = write_handler::send(&ours, &mut chain, Duration::from_millis(50)).await;
            (sent.unwrap_err().kind(), chain.pending_bytes())
        })
    });
    assert_eq!(error, ErrorKind::TimedOut);
    assert!(left > 0 && left < 16 << 20, "some was taken: {left} left");
}

#[test]
fn posted_events_run_later_in_this_turn_or_in_the_next() {
    assert_eq!(
        bounded(|| posted_event::run().unwrap()),
        [
            "now",
            "a task that was due",
            "later in this turn",
            "next turn",
            "first slice",
            "second slice",
            "from another thread",
        ]
    );
}

#[test]
fn a_library_that_stops_reading_where_it_likes_loses_no_edge() {
    assert_eq!(bounded(|| foreign_fd::run(0).unwrap()), 0);
    assert_eq!(bounded(|| foreign_fd::run(20_000).unwrap()), 20_000);
}
