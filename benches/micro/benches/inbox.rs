//! What does a message cost from `Sender::send` to the loop's hands: quiet, with the one write that
//! a sleeping loop is owed, and with two threads sending at once?

use criterion::{Criterion, Throughput};
use pontoon_bridge::{Inbox, Sender, inbox};
use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

/// Messages that wait when the loop drains; half of what the loop takes per turn.
const BATCH: usize = 256;
const PRODUCERS: u64 = 2;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("inbox");
    group.throughput(Throughput::Elements(BATCH as u64));
    group.bench_function("push_and_drain_256_while_the_loop_runs", |bench| {
        let (mut inbox, sender) = make();
        // Drained once without arming: from now on nobody writes to the fd.
        inbox.drain_disarmed(1, |_| {});
        bench.iter(|| {
            send(&sender, BATCH as u64);
            inbox.drain_disarmed(BATCH, |message| {
                black_box(message);
            })
        });
    });
    group.throughput(Throughput::Elements(1));
    group.bench_function("push_and_drain_1_while_the_loop_sleeps", |bench| {
        let (mut inbox, sender) = make();
        bench.iter(|| {
            send(&sender, 1);
            // It arms again, as before each sleep.
            inbox.drain(BATCH, |message| {
                black_box(message);
            })
        });
    });
    group.bench_function("push_from_2_threads_and_drain", |bench| {
        bench.iter_custom(contended);
    });
    group.finish();
    criterion.final_summary();
}

fn make() -> (Inbox<u64>, Sender<u64>) {
    inbox().expect("this process has file descriptors left")
}

fn send(sender: &Sender<u64>, messages: u64) {
    for message in 0..messages {
        sender.send(message).expect("the inbox lives as long");
    }
}

/// Two threads send `messages` in all while this one drains without sleeping.
fn contended(messages: u64) -> Duration {
    let (mut inbox, sender) = make();
    inbox.drain_disarmed(1, |_| {});
    let first = messages / PRODUCERS;
    let began = Instant::now();
    thread::scope(|scope| {
        for share in [first, messages - first] {
            let sender = sender.clone();
            scope.spawn(move || send(&sender, share));
        }
        let mut got = 0;
        while got < messages {
            let handled = inbox.drain_disarmed(BATCH, |message| {
                black_box(message);
            });
            got += handled as u64;
            if handled == 0 {
                thread::yield_now();
            }
        }
    });
    began.elapsed()
}
