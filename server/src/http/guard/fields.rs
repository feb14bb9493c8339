//! The header fields that frame or route a message: Host, Content-Length, Transfer-Encoding,
//! Expect. All others are hyper's and the application's business once their syntax is good.

use http::StatusCode;
use httparse::Header;

use super::authority;
use super::request_line::{absolute_authority, is_token_byte};
use super::violation::Violation;

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyFraming {
    /// So many bytes; zero for no body.
    Length(u64),
    /// Chunks, each with its size.
    Chunked,
}

/// hyper keeps the two largest numbers for its own use; nobody sends so much.
const CONTENT_LENGTH_MAX: u64 = u64::MAX - 2;

#[derive(Default)]
struct Seen<'a> {
    host: Option<&'a [u8]>,
    content_length: Option<u64>,
    transfer_encoding: Option<&'a [u8]>,
}

/// Checks the fields of a head whose syntax is good and says how its body is framed.
pub(super) fn check(
    target: &[u8],
    minor_version: u8,
    headers: &[Header<'_>],
) -> Result<BodyFraming, Violation> {
    let mut seen = Seen::default();
    for header in headers {
        // The length sorts out nearly all of the fields that are none of ours.
        match header.name.len() {
            4 if header.name.eq_ignore_ascii_case("host") => seen.add_host(header.value)?,
            6 if header.name.eq_ignore_ascii_case("expect") => check_expect(header.value)?,
            14 if header.name.eq_ignore_ascii_case("content-length") => {
                seen.add_content_length(header.value)?;
            }
            17 if header.name.eq_ignore_ascii_case("transfer-encoding") => {
                seen.add_transfer_encoding(header.value)?;
            }
            _ => {}
        }
    }
    check_host(target, minor_version, seen.host)?;
    framing(minor_version, &seen)
}

impl<'a> Seen<'a> {
    fn add_host(&mut self, value: &'a [u8]) -> Result<(), Violation> {
        match self.host.replace(value) {
            None => Ok(()),
            Some(_) => Err(Violation::bad_request(
                "RFC 9112 section 3.2",
                "The Host field occurs more than once. Send one.",
            )),
        }
    }

    fn add_content_length(&mut self, value: &[u8]) -> Result<(), Violation> {
        let fault = |detail| Err(Violation::bad_request("RFC 9112 section 6.3", detail));
        if self.content_length.is_some() {
            return fault("The Content-Length field occurs more than once. Send one.");
        }
        if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
            return fault("Content-Length is not a number. Send decimal digits only.");
        }
        let length = value.iter().try_fold(0_u64, |sum, digit| {
            sum.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
        });
        match length {
            Some(length) if length <= CONTENT_LENGTH_MAX => self.content_length = Some(length),
            _ => return fault("Content-Length is larger than any body can be. Send the real one."),
        }
        Ok(())
    }

    fn add_transfer_encoding(&mut self, value: &'a [u8]) -> Result<(), Violation> {
        match self.transfer_encoding.replace(value) {
            None => Ok(()),
            Some(_) => Err(Violation::bad_request(
                "RFC 9112 section 6.1",
                "The Transfer-Encoding field occurs more than once. Send one.",
            )),
        }
    }
}

fn check_expect(value: &[u8]) -> Result<(), Violation> {
    if value.eq_ignore_ascii_case(b"100-continue") {
        return Ok(());
    }
    Err(Violation::new(
        StatusCode::EXPECTATION_FAILED,
        "RFC 9110 section 10.1.1",
        "The only expectation that this server knows is 100-continue. Send that, or no Expect.",
    ))
}

/// An empty Host is refused in every form: `http` and `https` have no empty authority
/// (RFC 9110 section 4.2.1), so no target that this server has could need one.
fn check_host(target: &[u8], minor_version: u8, host: Option<&[u8]>) -> Result<(), Violation> {
    let Some(host) = host else {
        return match minor_version {
            0 => Ok(()),
            _ => Err(Violation::bad_request(
                "RFC 9112 section 3.2",
                "The Host field is missing. HTTP/1.1 needs one.",
            )),
        };
    };
    authority::check(host).map_err(|fault| {
        Violation::bad_request(
            "RFC 9110 section 7.2",
            format!("The Host field is not host or host:port. {fault}"),
        )
    })?;
    if target.first() == Some(&b'/') {
        return Ok(());
    }
    match absolute_authority(target) {
        Some(authority) if !authority.eq_ignore_ascii_case(host) => Err(Violation::bad_request(
            "RFC 9112 section 3.2.2",
            "The target and the Host field name different hosts. Send the same in both.",
        )),
        _ => Ok(()),
    }
}

fn framing(minor_version: u8, seen: &Seen<'_>) -> Result<BodyFraming, Violation> {
    let Some(coding) = seen.transfer_encoding else {
        return Ok(BodyFraming::Length(seen.content_length.unwrap_or(0)));
    };
    if minor_version == 0 {
        return Err(Violation::bad_request(
            "RFC 9112 section 6.1",
            "HTTP/1.0 has no Transfer-Encoding. Send Content-Length, or HTTP/1.1.",
        ));
    }
    if seen.content_length.is_some() {
        return Err(Violation::bad_request(
            "RFC 9112 section 6.3",
            "The request has both Content-Length and Transfer-Encoding. Send one of them.",
        ));
    }
    if coding.eq_ignore_ascii_case(b"chunked") {
        Ok(BodyFraming::Chunked)
    } else {
        Err(refuse_coding(coding))
    }
}

/// 501 for a list that every server reads alike and that a better one could decode: other codings
/// first, `chunked` once and last. 400 for the rest, where the body's end is anybody's guess.
#[cold]
fn refuse_coding(list: &[u8]) -> Violation {
    let mut codings = list.rsplit(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    let ends_chunked = codings
        .next()
        .is_some_and(|last| last.eq_ignore_ascii_case(b"chunked"));
    if ends_chunked && codings.all(is_other_coding) {
        return Violation::new(
            StatusCode::NOT_IMPLEMENTED,
            "RFC 9112 section 6.1",
            "The only transfer coding that this server decodes is chunked. Compress with \
             Content-Encoding instead.",
        );
    }
    Violation::bad_request(
        "RFC 9112 section 6.3",
        "Transfer-Encoding leaves open where the body ends. Send exactly: chunked",
    )
}

fn is_other_coding(coding: &[u8]) -> bool {
    let looks_chunked = coding
        .windows(7)
        .any(|part| part.eq_ignore_ascii_case(b"chunked"));
    !coding.is_empty()
        && coding.iter().all(|byte| is_token_byte(*byte))
        && !looks_chunked
        && !coding.eq_ignore_ascii_case(b"identity")
}

/// Says what is wrong with a head whose lines are good and that hyper's parser still refuses.
#[cold]
pub(super) fn explain(head: &[u8]) -> Violation {
    let field_lines = head.split(|byte| *byte == b'\n').skip(1);
    for line in field_lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line)) {
        if line.is_empty() {
            break;
        }
        if let Some(violation) = explain_field_line(line) {
            return violation;
        }
    }
    Violation::bad_request(
        "RFC 9112 section 2.1",
        "The head of the request cannot be parsed.",
    )
}

/// What is wrong with the name on a field line, if anything is.
pub(super) fn explain_field_line(line: &[u8]) -> Option<Violation> {
    const FIELD_LINE: &str = "RFC 9112 section 5";
    let Some(colon) = line.iter().position(|byte| *byte == b':') else {
        return Some(Violation::bad_request(
            FIELD_LINE,
            "A field line has no colon. Send each field as name, colon, value.",
        ));
    };
    let name = &line[..colon];
    if name.is_empty() {
        return Some(Violation::bad_request(
            FIELD_LINE,
            "A field line starts with its colon. Put a name before it.",
        ));
    }
    if name.ends_with(b" ") || name.ends_with(b"\t") {
        return Some(Violation::bad_request(
            "RFC 9112 section 5.1",
            "A field line has white space between its name and the colon. Remove it.",
        ));
    }
    let bad = name.iter().find(|byte| !is_token_byte(**byte))?;
    Some(Violation::bad_request(
        "RFC 9110 section 5.1",
        format!("A field name holds the byte 0x{bad:02x}. Use letters, digits and hyphens."),
    ))
}
