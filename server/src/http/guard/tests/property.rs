//! Random messages in random pieces, and random garbage.

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;

/// One good request, in any of its shapes.
fn request() -> impl Strategy<Value = Vec<u8>> {
    let head = ("[A-Z]{1,7}", "/[!$-;=?-\\[\\]^_a-z{|}~]{0,40}", fields());
    (head, body()).prop_map(|((method, target, fields), (framing, body))| {
        let method = if method == "CONNECT" { "GET" } else { &method };
        let head = format!("{method} {target} HTTP/1.1\r\nHost: a\r\n{fields}{framing}\r\n");
        [head.as_bytes(), &body].concat()
    })
}

fn fields() -> impl Strategy<Value = String> {
    let field = ("X-[a-zA-Z0-9-]{0,20}", "[ -~]{0,40}").prop_map(|(n, v)| format!("{n}: {v}\r\n"));
    prop::collection::vec(field, 0..8).prop_map(|fields| fields.concat())
}

/// The field that frames a body, and the body.
fn body() -> impl Strategy<Value = (String, Vec<u8>)> {
    let data = || prop::collection::vec(any::<u8>(), 1..200);
    let chunk = (data(), select(vec!["", ";a", ";a=b", " ; a=\"b;\\\"c\""]));
    let chunked = (prop::collection::vec(chunk, 0..5), fields()).prop_map(|(chunks, trailers)| {
        let mut body = Vec::new();
        for (data, extension) in chunks {
            body.extend(format!("{:x}{extension}\r\n", data.len()).into_bytes());
            body.extend(data);
            body.extend(b"\r\n");
        }
        body.extend(format!("0\r\n{trailers}\r\n").into_bytes());
        ("Transfer-Encoding: chunked\r\n".to_owned(), body)
    });
    prop_oneof![
        Just((String::new(), Vec::new())),
        data().prop_map(|data| (format!("Content-Length: {}\r\n", data.len()), data)),
        chunked,
    ]
}

/// Cuts `bytes` at the places that `cuts` point to.
fn pieces<'a>(bytes: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    ends.push(bytes.len());
    ends.sort_unstable();
    let starts = std::iter::once(0).chain(ends.iter().copied());
    starts
        .zip(&ends)
        .map(|(start, end)| &bytes[start..*end])
        .collect()
}

/// Pieces of HTTP that random choice would never put together from bytes.
fn nearly_http() -> impl Strategy<Value = Vec<u8>> {
    let words: Vec<&'static [u8]> = vec![
        b"GET ",
        b"/ ",
        b"HTTP/1.1",
        b"HTTP/1.0",
        b"\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b"Host: a\r\n",
        b"Content-Length: 3\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"0",
        b"3",
        b"abc",
        b";",
        b"=",
        b"\"",
        b" ",
        b": ",
        b"\0",
        b"\xff",
        b"GET / HTTP/1.1\r\nHost: a\r\n",
        b"0\r\n\r\n",
        b"3\r\nabc\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    ];
    prop::collection::vec(select(words), 0..30).prop_map(|words| words.concat())
}

/// Every message in `forwarded` starts with a head that hyper's parser takes; the last message
/// may be cut off in its body.
fn assert_heads_parse(forwarded: &[u8]) {
    let mut reader = Guard::new(Limits::default());
    let mut rest = forwarded;
    while !rest.is_empty() {
        let mut headers = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut request = httparse::Request::new(&mut headers);
        let parsed = request.parse(rest).unwrap();
        assert!(parsed.is_complete(), "a head was passed on in part");
        request.path.unwrap().parse::<http::Uri>().unwrap();
        let mut length = 0;
        reader.feed(rest, usize::MAX, &mut |bytes| length += bytes.len());
        assert!(length > 0, "what was passed on once is good again");
        rest = &rest[length..];
        if reader.phase() != Phase::Complete {
            assert!(rest.is_empty(), "nothing follows an unfinished message");
        }
        reader = Guard::new(Limits::default());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..Default::default() })]

    #[test]
    fn good_messages_pass_unchanged_however_they_are_split(
        requests in prop::collection::vec(request(), 0..5),
        cuts in prop::collection::vec(any::<Index>(), 0..20),
        max in 1_usize..300,
    ) {
        let stream = requests.concat();
        let outcome = serve(pieces(&stream, &cuts), max);
        prop_assert_eq!(outcome.violation, None);
        prop_assert_eq!(outcome.phase, Phase::Idle);
        prop_assert_eq!(outcome.forwarded, stream);
    }

    #[test]
    fn one_changed_byte_gets_the_same_verdict_however_it_is_split(
        request in request(),
        at in any::<Index>(),
        byte in any::<u8>(),
        cuts in prop::collection::vec(any::<Index>(), 0..20),
    ) {
        let mut stream = request;
        let at = at.index(stream.len());
        stream[at] = byte;
        let whole = serve([&stream[..]], usize::MAX);
        prop_assert_eq!(&serve(pieces(&stream, &cuts), usize::MAX), &whole);
        assert_heads_parse(&whole.forwarded);
    }

    #[test]
    fn nothing_unchecked_passes_whatever_arrives(
        stream in prop_oneof![nearly_http(), prop::collection::vec(any::<u8>(), 0..400)],
        cuts in prop::collection::vec(any::<Index>(), 0..20),
    ) {
        let whole = serve([&stream[..]], usize::MAX);
        prop_assert_eq!(&serve(pieces(&stream, &cuts), 7), &whole);
        assert_heads_parse(&whole.forwarded);
    }
}
