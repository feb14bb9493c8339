//! The inbox on bare loops, and against a model.

mod model;

use super::inbox;
use mio::{Events, Interest, Poll, Token};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn messages_of_one_sender_arrive_in_order_and_in_batches() {
    let (mut inbox, sender) = inbox().unwrap();
    for number in 0..10 {
        sender.send(number).unwrap();
    }
    let mut got = Vec::new();
    assert_eq!(inbox.drain(4, |n| got.push(n)), 4);
    sender.send(10).unwrap();
    assert_eq!(inbox.drain(100, |n| got.push(n)), 7);
    assert_eq!(got, (0..=10).collect::<Vec<_>>());
}

#[test]
fn many_messages_cost_one_write_per_sleep_and_none_while_the_loop_runs() {
    let (mut inbox, sender) = inbox().unwrap();
    for number in 0..1000 {
        sender.send(number).unwrap();
    }
    assert_eq!(
        inbox.wake_writes(),
        1,
        "the first message finds the inbox armed, the rest do not"
    );
    inbox.drain_disarmed(usize::MAX, drop);
    for number in 0..1000 {
        sender.send(number).unwrap();
    }
    assert_eq!(inbox.wake_writes(), 1, "nobody sleeps, nobody is woken");
    assert!(!inbox.arm(), "something is here: the loop must not sleep");
    inbox.drain_disarmed(usize::MAX, drop);
    assert!(inbox.arm());
    sender.send(0).unwrap();
    assert_eq!(inbox.wake_writes(), 2);
}

#[test]
fn a_message_left_over_by_the_limit_makes_the_next_poll_return() {
    let mut poll = Poll::new().unwrap();
    let (mut inbox, sender) = inbox().unwrap();
    poll.registry()
        .register(&mut inbox, Token(7), Interest::READABLE)
        .unwrap();
    let mut events = Events::with_capacity(4);
    (0..3).for_each(|n| sender.send(n).unwrap());
    for _ in 0..3 {
        poll.poll(&mut events, Some(PATIENCE)).unwrap();
        assert!(events.iter().any(|event| event.token() == Token(7)));
        assert_eq!(inbox.drain(1, drop), 1);
    }
}

#[test]
fn a_sender_outlives_its_inbox_and_gets_its_message_back() {
    let (inbox, sender) = inbox().unwrap();
    drop(inbox);
    assert_eq!(sender.send("back").unwrap_err().0, "back");
}

#[test]
fn messages_that_nobody_drained_are_dropped_with_the_inbox() {
    let (mut inbox, sender) = inbox().unwrap();
    let witness = Arc::new(());
    (0..10).for_each(|_| sender.send(Arc::clone(&witness)).unwrap());
    inbox.drain(3, drop);
    drop(inbox);
    assert_eq!(Arc::strong_count(&witness), 1);
}

#[test]
fn eight_foreign_threads_lose_no_message_to_a_loop_that_sleeps_between_them() {
    const PER_THREAD: u64 = 20_000;
    let mut poll = Poll::new().unwrap();
    let (mut inbox, sender) = inbox().unwrap();
    poll.registry()
        .register(&mut inbox, Token(0), Interest::READABLE)
        .unwrap();
    for thread_number in 0..8 {
        let sender = sender.clone();
        thread::spawn(move || {
            (0..PER_THREAD).for_each(|n| sender.send((thread_number, n)).unwrap())
        });
    }
    let mut events = Events::with_capacity(4);
    let mut next = [0; 8];
    while next.iter().sum::<u64>() < 8 * PER_THREAD {
        poll.poll(&mut events, Some(PATIENCE)).unwrap();
        assert!(!events.is_empty(), "a wake was lost: {next:?}");
        inbox.drain(64, |(thread_number, n): (usize, u64)| {
            assert_eq!(n, next[thread_number], "out of order");
            next[thread_number] += 1;
        });
    }
}

/// After a caught panic the inbox was neither armed nor rung: the next message woke nobody.
#[test]
fn a_handler_that_panics_leaves_the_inbox_armed_or_rung() {
    let mut poll = Poll::new().unwrap();
    let (mut inbox, sender) = inbox().unwrap();
    poll.registry()
        .register(&mut inbox, Token(0), Interest::READABLE)
        .unwrap();
    let mut events = Events::with_capacity(4);
    for messages in 1..=2 {
        (0..messages).for_each(|n| sender.send(n).unwrap());
        for _ in 0..messages {
            poll.poll(&mut events, Some(PATIENCE)).unwrap();
            assert!(!events.is_empty(), "a wake was lost");
            let panicking = std::panic::AssertUnwindSafe(|| {
                inbox.drain(10, |_| panic!("in the handler"));
            });
            assert!(std::panic::catch_unwind(panicking).is_err());
        }
    }
}

#[test]
fn a_level_triggered_loop_that_acknowledges_sleeps_only_while_nothing_waits() {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use std::os::fd::AsFd;
    const MESSAGES: u64 = 10_000;
    let (mut inbox, sender) = inbox().unwrap();
    let sending = thread::spawn(move || (0..MESSAGES).for_each(|n| sender.send(n).unwrap()));
    let mut expected = 0;
    while expected < MESSAGES {
        let mut fds = [PollFd::new(inbox.as_fd(), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(PATIENCE).unwrap();
        assert_eq!(poll(&mut fds, timeout).unwrap(), 1, "a wake was lost");
        inbox.acknowledge();
        inbox.drain(64, |n| {
            assert_eq!(n, expected);
            expected += 1;
        });
    }
    sending.join().unwrap();
    inbox.acknowledge();
    let mut fds = [PollFd::new(inbox.as_fd(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut fds, PollTimeout::ZERO).unwrap(), 0);
}

#[test]
fn an_inbox_works_in_an_async_fd_of_tokio() {
    use std::os::fd::AsFd;
    use tokio::io::unix::AsyncFd;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (mut inbox, sender) = inbox().unwrap();
    let sending = thread::spawn(move || (0..1000).for_each(|n| sender.send(n).unwrap()));
    let all = async {
        // A second fd of the same eventfd, so that tokio does not borrow the inbox.
        let own = inbox.as_fd().try_clone_to_owned().unwrap();
        #[allow(
            deprecated,
            reason = "its successor is `unsafe`: it wants a promise that an owned fd keeps"
        )]
        let fd = AsyncFd::with_interest(own, tokio::io::Interest::READABLE).unwrap();
        let mut expected = 0;
        while expected < 1000 {
            fd.readable().await.unwrap().clear_ready();
            inbox.drain(16, |n| {
                assert_eq!(n, expected);
                expected += 1;
            });
        }
    };
    runtime.block_on(async { tokio::time::timeout(PATIENCE, all).await.unwrap() });
    sending.join().unwrap();
}
