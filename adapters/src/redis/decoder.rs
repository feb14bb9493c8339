//! Replies out of bytes, as they come.
//!
//! The parser is the one of the `redis` crate. It keeps its place when bytes run out, so a reply that
//! comes in a thousand pieces is read once and not a thousand times.

use std::io::{self, ErrorKind, Read};

use redis::{Parser, Value};

use super::failure::Broken;

/// Makes replies of what a server sends. After an error it is of no more use.
#[derive(Default)]
pub(super) struct Decoder(Parser);

impl Decoder {
    /// The next reply, or `None` once `bytes` are used up and it is not whole yet. Call it again until
    /// it is `None`, also with no bytes left: it may hold several replies.
    ///
    /// # Errors
    ///
    /// The bytes are no reply.
    pub(super) fn next(&mut self, bytes: &mut &[u8]) -> Result<Option<Value>, Broken> {
        let mut chunk = Chunk {
            bytes,
            is_used_up: false,
        };
        match self.0.parse_value(&mut chunk) {
            Ok(value) => Ok(Some(value)),
            Err(_) if chunk.is_used_up => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives back the memory that a large reply has taken. Bytes of further replies would be lost.
    pub(super) fn renew(&mut self) {
        self.0 = Parser::new();
    }

    /// The next reply, from a reader that waits for it.
    ///
    /// # Errors
    ///
    /// What the reader says, or that what it reads is no reply.
    pub(super) fn read(&mut self, reader: &mut impl Read) -> Result<Value, Broken> {
        let mut reader = Noting {
            reader,
            failed: None,
        };
        match self.0.parse_value(&mut reader) {
            Ok(value) => Ok(value),
            Err(error) => Err(match reader.failed {
                Some(failed) if failed.kind() == ErrorKind::TimedOut => Broken::late(),
                Some(failed) => Broken::io(failed),
                None => error.into(),
            }),
        }
    }
}

/// Some bytes of a stream that goes on.
struct Chunk<'a, 'b> {
    bytes: &'a mut &'b [u8],
    is_used_up: bool,
}

impl Read for Chunk<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.bytes.is_empty() {
            self.is_used_up = true;
            return Err(ErrorKind::WouldBlock.into());
        }
        self.bytes.read(buffer)
    }
}

/// Keeps what kept a reader from reading: the parser has its own words for it. The end of the stream is
/// such a thing, since a reply was expected.
struct Noting<'r, R> {
    reader: &'r mut R,
    failed: Option<io::Error>,
}

impl<R: Read> Read for Noting<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let failed = match self.reader.read(buffer) {
            Ok(0) if !buffer.is_empty() => ErrorKind::UnexpectedEof.into(),
            Ok(read) => return Ok(read),
            Err(error) => error,
        };
        let kind = failed.kind();
        self.failed = Some(failed);
        Err(kind.into())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One reply of each type.
    const ALL: &[u8] =
        b"+OK\r\n:-7\r\n$3\r\na\r\n\r\n$-1\r\n_\r\n,2.5\r\n#t\r\n(123456789012345678901\r\n\
        =7\r\ntxt:abc\r\n*2\r\n:1\r\n~1\r\n+x\r\n%1\r\n+k\r\n*0\r\n-ERR no\r\n";
    const COUNT: usize = 12;

    /// The replies in these pieces.
    fn decode<'p>(pieces: impl IntoIterator<Item = &'p [u8]>) -> Vec<Value> {
        let mut decoder = Decoder::default();
        let mut values = Vec::new();
        for mut piece in pieces {
            while let Some(value) = decoder.next(&mut piece).unwrap() {
                values.push(value);
            }
        }
        values
    }

    #[test]
    fn replies_are_the_same_in_whatever_pieces_they_come() {
        let whole = decode([ALL]);
        assert_eq!(whole.len(), COUNT, "{whole:?}");
        for size in 1..ALL.len() {
            assert_eq!(decode(ALL.chunks(size)), whole, "pieces of {size}");
        }
    }

    #[test]
    fn a_large_reply_in_small_pieces_is_read_once() {
        let wire = [b"$10485760\r\n", &vec![7_u8; 10 << 20][..], b"\r\n"].concat();
        let values = decode(wire.chunks(100));
        assert!(matches!(&values[..], [Value::BulkString(bytes)] if bytes.len() == 10 << 20));
        let array = [&b"*200000\r\n"[..], &b":1\r\n".repeat(200_000)].concat();
        let values = decode(array.chunks(100));
        assert!(matches!(&values[..], [Value::Array(items)] if items.len() == 200_000));
    }

    #[test]
    fn a_reader_that_ends_or_is_late_breaks_the_connection() {
        let mut decoder = Decoder::default();
        let ended = decoder.read(&mut &b"$5\r\nab"[..]).unwrap_err().to_error();
        assert_eq!(ended.kind(), crate::ErrorKind::BadGateway);
        struct Late;
        impl Read for Late {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(ErrorKind::TimedOut.into())
            }
        }
        let late = Decoder::default().read(&mut Late).unwrap_err().to_error();
        assert_eq!(late.kind(), crate::ErrorKind::TimedOut);
    }

    #[test]
    fn lists_within_lists_without_end_are_an_error_and_no_stack_overflow() {
        for kind in [
            "*1\r\n",
            "~1\r\n",
            "%1\r\n",
            ">1\r\n",
            "|1\r\n",
            "*1\r\n~1\r\n",
        ] {
            let wire = kind.repeat(100_000);
            let outcome = Decoder::default().next(&mut wire.as_bytes());
            assert!(outcome.is_err(), "{kind:?}");
        }
    }

    #[test]
    fn lengths_that_cannot_be_are_errors_or_waited_for() {
        for kind in "*~%>|$=!".chars() {
            for length in ["-2", "9223372036854775807", "4611686018427387904", "x"] {
                let wire = format!("{kind}{length}\r\n:1\r\n");
                let mut bytes = wire.as_bytes();
                while let Ok(Some(_)) = Decoder::default().next(&mut bytes) {}
            }
        }
    }

    proptest! {
        #[test]
        fn whatever_a_server_sends_does_no_harm(wire in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut decoder = Decoder::default();
            let mut bytes = &wire[..];
            while let Ok(Some(_)) = decoder.next(&mut bytes) {}
        }

        #[test]
        fn what_looks_like_replies_does_no_harm(wire in "([-+:$*%~>|=(,#_!][0-9a-z-]{0,6}\r\n){0,12}") {
            let mut decoder = Decoder::default();
            let mut bytes = wire.as_bytes();
            while let Ok(Some(_)) = decoder.next(&mut bytes) {}
        }
    }
}
