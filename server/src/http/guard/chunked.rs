//! A chunked body (RFC 9112 section 7.1), followed byte by byte but not decoded.
//!
//! ```text
//!  Size ── ; ──▶ Extension (RFC 9112 section 7.1.1)
//!   │ CR            │ CR
//!   ▼               ▼
//!  SizeLf ── size > 0 ──▶ Data ──▶ DataCr ──▶ DataLf ──▶ Size
//!   │ size = 0
//!   ▼
//!  Trailers ──▶ Done
//! ```
//!
//! Chunks are passed on as they arrive. The trailer section is held back until it is complete
//! and good, as a head is.

use super::Limits;
use super::extension::Extension;
use super::trailers::Trailers;
use super::violation::Violation;

/// So many hexadecimal digits hold any `u64`.
const SIZE_DIGITS_MAX: u8 = 16;

const CHUNK: &str = "RFC 9112 section 7.1";

/// Where in a chunked body the next byte belongs.
#[derive(Debug)]
pub(super) struct Chunked {
    state: State,
    /// What is left of the chunk being read.
    chunk_bytes: u64,
    /// Bytes of extensions in this message so far: their number of chunks has no bound.
    extension_bytes: usize,
}

#[derive(Debug)]
enum State {
    Size { digits: u8 },
    Extension(Extension),
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailers(Trailers),
    Done,
}

impl Chunked {
    pub(super) fn new() -> Self {
        Chunked {
            state: State::Size { digits: 0 },
            chunk_bytes: 0,
            extension_bytes: 0,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Looks at bytes that were not passed on yet; says how many of them may be, even when what
    /// follows them is a violation.
    pub(super) fn advance(
        &mut self,
        bytes: &[u8],
        limits: &Limits,
    ) -> (usize, Result<(), Violation>) {
        let mut good = 0;
        while good < bytes.len() {
            match &mut self.state {
                State::Done => break,
                State::Data => good += self.take_data(bytes.len() - good),
                State::Trailers(trailers) => {
                    match trailers.advance(&bytes[good..], limits) {
                        Ok(None) => {}
                        Ok(Some(length)) => {
                            good += length;
                            self.state = State::Done;
                        }
                        Err(violation) => return (good, Err(violation)),
                    }
                    break;
                }
                _ => match self.step(bytes[good]) {
                    Ok(next) => {
                        self.state = next;
                        good += 1;
                    }
                    Err(violation) => return (good, Err(violation)),
                },
            }
        }
        (good, Ok(()))
    }

    /// Takes what is here of the chunk's data: how many bytes that is.
    fn take_data(&mut self, here: usize) -> usize {
        let taken = usize::try_from(self.chunk_bytes).map_or(here, |left| left.min(here));
        self.chunk_bytes -= taken as u64;
        if self.chunk_bytes == 0 {
            self.state = State::DataCr;
        }
        taken
    }

    /// One byte of what surrounds the data.
    fn step(&mut self, byte: u8) -> Result<State, Violation> {
        match (&self.state, byte) {
            (State::Size { digits }, byte) => self.step_size(*digits, byte),
            (State::Extension(extension), byte) => self.step_extension(*extension, byte),
            (State::SizeLf, b'\n') if self.chunk_bytes == 0 => {
                Ok(State::Trailers(Trailers::default()))
            }
            (State::SizeLf, b'\n') => Ok(State::Data),
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => Ok(State::Size { digits: 0 }),
            (State::DataCr | State::DataLf, _) => Err(Violation::bad_request(
                CHUNK,
                "A chunk is longer than its size says, or no CR LF ends it.",
            )),
            _ => Err(size_line_end()),
        }
    }

    fn step_size(&mut self, digits: u8, byte: u8) -> Result<State, Violation> {
        if let Some(digit) = char::from(byte).to_digit(16) {
            if digits == SIZE_DIGITS_MAX {
                return Err(Violation::bad_request(
                    CHUNK,
                    "A chunk size has more than 16 digits. Send no leading zeros.",
                ));
            }
            self.chunk_bytes = self.chunk_bytes << 4 | u64::from(digit);
            return Ok(State::Size { digits: digits + 1 });
        }
        match byte {
            _ if digits == 0 => Err(Violation::bad_request(
                CHUNK,
                "A chunk does not start with its size. Start it with hexadecimal digits only.",
            )),
            b'\r' => Ok(State::SizeLf),
            b'\n' => Err(size_line_end()),
            b';' | b' ' | b'\t' => self.step_extension(Extension::Before, byte),
            _ => Err(Violation::bad_request(
                CHUNK,
                "A chunk size is not hexadecimal. Send digits only, with no sign and no prefix.",
            )),
        }
    }

    fn step_extension(&mut self, extension: Extension, byte: u8) -> Result<State, Violation> {
        if byte == b'\r' && extension.may_end() {
            return Ok(State::SizeLf);
        }
        self.extension_bytes += 1;
        if self.extension_bytes > Extension::BYTES_MAX {
            return Err(Violation::bad_request(
                "RFC 9112 section 7.1.1",
                format!(
                    "The chunk extensions take more than {} bytes.",
                    Extension::BYTES_MAX
                ),
            ));
        }
        extension.step(byte).map(State::Extension)
    }
}

#[cold]
fn size_line_end() -> Violation {
    Violation::bad_request(
        "RFC 9112 section 2.2",
        "The line of a chunk size does not end in CR LF.",
    )
}
