//! One message at a time, what is held back, and how much of it.

use super::*;

#[test]
fn a_new_guard_is_idle_and_wants_input() {
    let guard = Guard::new(Limits::default());
    assert_eq!(guard.phase(), Phase::Idle);
    assert!(guard.wants_input());
}

#[test]
fn no_byte_of_a_head_passes_before_its_last() {
    let request = get("/");
    let mut guard = Guard::new(Limits::default());
    for byte in &request[..request.len() - 1] {
        guard.push(&[*byte]);
        assert!(take_all(&mut guard).is_empty());
        assert_eq!(guard.phase(), Phase::Head);
        assert!(guard.wants_input());
    }
    guard.push(b"\n");
    assert_eq!(guard.phase(), Phase::Body);
    assert!(!guard.wants_input(), "there is something to pass on first");
    assert_eq!(take_all(&mut guard), request);
    assert_eq!(guard.phase(), Phase::Complete);
}

#[test]
fn a_whole_request_needs_no_memory() {
    let request = get("/");
    let mut guard = Guard::new(Limits::default());
    for _ in 0..3 {
        let mut calls = 0;
        guard.feed(&request, 8192, &mut |bytes| {
            calls += 1;
            assert_eq!(
                bytes.as_ptr(),
                request.as_ptr(),
                "passed on from where it was read"
            );
        });
        assert_eq!((calls, guard.input.capacity()), (1, 0));
        guard.message_done();
        assert_eq!(guard.phase(), Phase::Idle);
    }
}

#[test]
fn an_idle_guard_gives_its_memory_back() {
    let request = get("/");
    let mut guard = Guard::new(Limits::default());
    guard.push(&request);
    assert_eq!(take_all(&mut guard), request);
    assert_eq!(guard.input.capacity(), 0);
}

#[test]
fn the_next_message_waits_until_this_one_is_done() {
    let (first, second) = (get("/1"), get("/2"));
    let mut guard = Guard::new(Limits::default());
    guard.push(&[&first[..], &second[..]].concat());
    assert_eq!(take_all(&mut guard), first);
    assert_eq!(guard.phase(), Phase::Complete);
    assert!(take_all(&mut guard).is_empty());
    guard.message_done();
    assert_eq!(take_all(&mut guard), second);
}

#[test]
fn a_bad_request_behind_a_good_one_is_refused_only_after_it() {
    let first = get("/1");
    let mut guard = Guard::new(Limits::default());
    guard.push(&[&first[..], b"nonsense\r\n"].concat());
    assert_eq!(take_all(&mut guard), first);
    assert_eq!(guard.violation(), None);
    guard.message_done();
    assert_eq!(guard.phase(), Phase::Refused);
    assert!(guard.violation().is_some());
}

#[test]
fn part_of_the_next_head_is_known_when_this_message_is_done() {
    let mut guard = Guard::new(Limits::default());
    guard.push(&[&get("/1")[..], b"GET /2"].concat());
    take_all(&mut guard);
    guard.message_done();
    assert_eq!(guard.phase(), Phase::Head);
}

#[test]
fn an_empty_line_after_a_message_leaves_the_connection_idle() {
    let mut guard = Guard::new(Limits::default());
    guard.push(&[&get("/1")[..], b"\r\n"].concat());
    take_all(&mut guard);
    guard.message_done();
    assert_eq!(guard.phase(), Phase::Idle);
}

#[test]
fn a_response_before_the_end_of_the_body_does_not_let_the_next_message_in_early() {
    let second = get("/2");
    let mut guard = Guard::new(Limits::default());
    guard.push(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab");
    take_all(&mut guard);
    guard.message_done();
    assert_eq!(guard.phase(), Phase::Body);
    guard.push(b"cd");
    guard.push(&second);
    assert_eq!(take_all(&mut guard), [b"cd", &second[..]].concat());
    assert_eq!(
        guard.phase(),
        Phase::Complete,
        "the second message awaits its own response"
    );
}

#[test]
fn a_violation_stays_and_nothing_passes_after_it() {
    let mut guard = Guard::new(Limits::default());
    guard.push(b"\n");
    let violation = guard.violation().cloned();
    assert!(violation.is_some());
    guard.push(&get("/"));
    guard.message_done();
    assert!(take_all(&mut guard).is_empty());
    assert_eq!(
        (guard.violation().cloned(), guard.phase()),
        (violation, Phase::Refused)
    );
    assert!(!guard.wants_input());
    assert_eq!(
        guard.input.capacity(),
        0,
        "what will never be used is not kept"
    );
}

#[test]
fn what_precedes_a_bad_chunk_still_passes() {
    let good = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    let mut guard = Guard::new(Limits::default());
    guard.push(&[&good[..], b"x\r\n0\r\n\r\n"].concat());
    assert_eq!(guard.phase(), Phase::Refused);
    assert_eq!(take_all(&mut guard), good);
    assert!(take_all(&mut guard).is_empty());
}

#[test]
fn no_byte_of_a_trailer_passes_before_the_section_is_checked() {
    let mut guard = Guard::new(Limits::default());
    guard.push(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n");
    take_all(&mut guard);
    guard.push(b"X: 1\r\nContent-Len");
    assert!(take_all(&mut guard).is_empty());
    assert!(guard.wants_input());
    guard.push(b"gth: 5\r\n");
    assert!(take_all(&mut guard).is_empty());
    assert_eq!(guard.phase(), Phase::Refused);
}

#[test]
fn a_body_of_any_length_is_never_held() {
    let mut guard = Guard::new(Limits::default());
    guard.push(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551613\r\n\r\n");
    take_all(&mut guard);
    for _ in 0..100 {
        assert!(guard.wants_input());
        assert_eq!(guard.feed(&[0; 4096], 4096, &mut |_| {}), 4096);
        assert_eq!(guard.input.capacity(), 0);
    }
}

#[test]
fn body_bytes_that_hyper_does_not_take_stop_the_reading() {
    let mut guard = Guard::new(Limits::default());
    guard.push(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n");
    take_all(&mut guard);
    assert_eq!(
        guard.feed(b"01234", 2, &mut |bytes| assert_eq!(bytes, b"01")),
        2
    );
    assert!(!guard.wants_input());
    assert_eq!(take_all(&mut guard), b"234");
    assert!(guard.wants_input());
}

#[test]
fn input_behind_a_message_in_progress_is_bounded() {
    let limits = Limits::default();
    let read = [b'x'; 4096];
    let mut guard = Guard::new(limits);
    guard.push(&get("/"));
    take_all(&mut guard);
    while guard.wants_input() {
        guard.push(&read);
        assert!(guard.input.len() < limits.head_bytes + read.len());
    }
    assert!(guard.input.len() >= limits.head_bytes, "a whole head fits");
}

#[test]
fn a_head_that_never_ends_is_bounded() {
    let limits = Limits::default();
    let mut guard = Guard::new(limits);
    guard.push(b"GET / HTTP/1.1\r\n");
    while guard.wants_input() {
        guard.push(b"X: y\r\nLonger-Name: zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz\r\n");
        assert!(guard.input.len() < limits.head_bytes + 4096);
    }
    assert_eq!(guard.phase(), Phase::Refused);
}

#[test]
fn limits_are_those_that_were_asked_for() {
    let limits = Limits {
        request_line_bytes: 20,
        head_bytes: 60,
        header_count: 2,
    };
    let verdict = |request: &[u8]| {
        let mut guard = Guard::new(limits);
        guard.push(request);
        guard.violation().map(|violation| violation.status.as_u16())
    };
    assert_eq!(
        verdict(b"GET /12345 HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n"),
        None
    );
    assert_eq!(
        verdict(b"GET /1234567 HTTP/1.1\r\nHost: a\r\n\r\n"),
        Some(414)
    );
    assert_eq!(
        verdict(b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\nX: y\r\n\r\n"),
        Some(431)
    );
    assert_eq!(
        verdict(&[b"GET / HTTP/1.1\r\nX: ", &[b'a'; 60][..]].concat()),
        Some(431)
    );
}

#[test]
fn limits_that_make_no_sense_refuse_and_do_not_panic() {
    for head_bytes in 0..40 {
        for request_line_bytes in [0, 1, 14, 15, usize::MAX] {
            let limits = Limits {
                request_line_bytes,
                head_bytes,
                header_count: usize::MAX,
            };
            let mut guard = Guard::new(limits);
            for byte in get("/") {
                guard.push(&[byte]);
            }
            let fits = head_bytes >= get("/").len() && request_line_bytes >= 14;
            assert_eq!(guard.violation().is_none(), fits, "{limits:?}");
        }
    }
}
