//! What is sent, and what the replies to it say.

use super::super::decoder::Decoder;
use super::*;
use crate::ErrorKind;

fn replies(wire: &str) -> Vec<Value> {
    let mut decoder = Decoder::default();
    let mut bytes = wire.as_bytes();
    let next = || decoder.next(&mut bytes).unwrap();
    std::iter::from_fn(next).collect()
}

fn message(work: Result<Work, Problem>) -> String {
    work.unwrap_err().to_string()
}

#[test]
fn mistakes_in_commands_are_told() {
    assert!(message(Work::command([])).contains("empty"));
    assert!(message(Work::command([":name"])).contains("cannot come from a request"));
    assert!(message(Work::command(["GET :key"])).contains("text of its own"));
    assert!(message(Work::command(["GET", ":"])).contains("needs a name"));
    assert!(message(Work::list([[""; 0]; 0])).contains("no command"));
    assert!(message(Work::script(" ", [], [])).contains("script"));
    let waits = Work::command(["BLPOP", ":key", "0"]).unwrap();
    assert!(waits.check(Mode::Blocking).is_ok());
    assert_eq!(waits.check(Mode::Loop).unwrap_err().key, "command");
}

#[test]
fn a_list_answers_in_its_order_or_as_its_first_failure() {
    let work = Work::list([["GET", "a"], ["GET", "b"]]).unwrap();
    let Results::Many(values) = work.results(replies(":1\r\n_\r\n")).unwrap() else {
        panic!("a list has many results");
    };
    assert_eq!(values, [Value::Int(1), Value::Nil]);
    let error = work.results(replies(":1\r\n-WRONGTYPE x\r\n")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unprocessable);
}

#[test]
fn a_transaction_answers_with_what_was_run_or_with_why_it_was_not() {
    let work = Work::list([["GET", "a"], ["GET", "b"]])
        .unwrap()
        .in_transaction();
    let queued = "+OK\r\n+QUEUED\r\n+QUEUED\r\n";
    let Results::Many(values) = work
        .results(replies(&format!("{queued}*2\r\n:1\r\n_\r\n")))
        .unwrap()
    else {
        panic!("a list has many results");
    };
    assert_eq!(values, [Value::Int(1), Value::Nil]);
    let failed = format!("{queued}*2\r\n:1\r\n-WRONGTYPE x\r\n");
    let error = work.results(replies(&failed)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unprocessable);
    let refused = "+OK\r\n-OOM x\r\n+QUEUED\r\n-EXECABORT x\r\n";
    let error = work.results(replies(refused)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let error = work
        .results(replies(&format!("{queued}_\r\n")))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal);
}

#[test]
fn a_script_is_sent_whole_when_the_server_does_not_know_it() {
    let work = Work::script("return KEYS[1]", ["k"], ["x"]).unwrap();
    let request = crate::test_support::get("/");
    let call = crate::CallContext::detached();
    let values = work.needs().values(&request, &[], &call).unwrap();
    let mut wire = Vec::new();
    assert_eq!(work.encode(&values, &mut wire).unwrap(), 1);
    let text = String::from_utf8(wire).unwrap();
    assert!(text.starts_with("*5\r\n$7\r\nEVALSHA\r\n$40\r\n"), "{text}");
    let mut wire = Vec::new();
    let unknown = replies("-NOSCRIPT No matching script\r\n");
    assert_eq!(
        work.encode_again(&unknown, &values, &mut wire).unwrap(),
        Some(1)
    );
    let text = String::from_utf8(wire).unwrap();
    assert!(
        text.starts_with("*5\r\n$4\r\nEVAL\r\n$14\r\nreturn KEYS[1]\r\n$1\r\n1\r\n"),
        "{text}"
    );
    let other = replies("-ERR x\r\n");
    assert_eq!(
        work.encode_again(&other, &values, &mut Vec::new()).unwrap(),
        None
    );
}
