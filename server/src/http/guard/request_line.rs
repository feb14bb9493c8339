//! The request line: `method SP target SP version`, and which target goes with which method.
//!
//! It is checked as soon as its CRLF is here, so that a client that speaks another protocol, or
//! an ancient one that sends nothing but this line, is answered at once.

use http::StatusCode;

use super::authority;
use super::violation::Violation;

const LINE: &str = "RFC 9112 section 3";
const TARGET: &str = "RFC 9112 section 3.2";

/// Checks a request line, given without its CRLF.
pub(super) fn check(line: &[u8]) -> Result<(), Violation> {
    let [method, target, version] = split(line)?;
    if method.is_empty() || !method.iter().all(|byte| is_token_byte(*byte)) {
        return Err(Violation::bad_request(
            "RFC 9112 section 3.1",
            "The request line does not start with a method. Start it with a name like GET, and \
             nothing before it.",
        ));
    }
    check_version(version)?;
    check_target_bytes(target)?;
    check_form(method, target)
}

fn split(line: &[u8]) -> Result<[&[u8]; 3], Violation> {
    let first = line.iter().position(|byte| *byte == b' ');
    let last = line.iter().rposition(|byte| *byte == b' ');
    match (first, last) {
        (Some(first), Some(last)) if first < last => {
            Ok([&line[..first], &line[first + 1..last], &line[last + 1..]])
        }
        _ => Err(Violation::bad_request(
            LINE,
            "The request line does not have three parts. Send method, target and version, with \
             one space between them.",
        )),
    }
}

fn check_version(version: &[u8]) -> Result<(), Violation> {
    match version {
        b"HTTP/1.1" | b"HTTP/1.0" => Ok(()),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Err(Violation::new(
                StatusCode::HTTP_VERSION_NOT_SUPPORTED,
                "RFC 9110 section 15.6.6",
                "This port speaks HTTP/1.1 and HTTP/1.0, in text. Send HTTP/1.1.",
            ))
        }
        _ => Err(Violation::bad_request(
            "RFC 9112 section 2.3",
            "The request line does not end in an HTTP version. End it with one space and \
             HTTP/1.1.",
        )),
    }
}

fn check_target_bytes(target: &[u8]) -> Result<(), Violation> {
    let Some(byte) = target.iter().find(|byte| !is_target_byte(**byte)) else {
        return Ok(());
    };
    let detail = match byte {
        b' ' => "The request line holds a space too many. Send one space between its parts, and \
             encode a space in the target as %20."
            .into(),
        b'#' => "The target holds a fragment ('#'). Clients keep that part to themselves.".into(),
        byte => {
            format!("The target holds the byte 0x{byte:02x}. Percent-encode it as %{byte:02X}.")
        }
    };
    Err(Violation::bad_request(TARGET, detail))
}

fn check_form(method: &[u8], target: &[u8]) -> Result<(), Violation> {
    if method == b"CONNECT" {
        return Err(check_connect(target));
    }
    if target.first() == Some(&b'/') || (target == b"*" && method == b"OPTIONS") {
        return Ok(());
    }
    match absolute_authority(target) {
        Some(authority) => authority::check(authority).map_err(|fault| {
            Violation::bad_request(
                "RFC 9112 section 3.2.2",
                format!("The target has an invalid host. {fault}"),
            )
        }),
        None => Err(Violation::bad_request(
            TARGET,
            "The target is none that this method may have. Send a path that starts with '/', or \
             an http or https URL ('*' goes with OPTIONS only).",
        )),
    }
}

/// CONNECT is for proxies. Its target is still checked, to tell the confused from the curious.
fn check_connect(target: &[u8]) -> Violation {
    // Unlike a Host field, authority-form needs its port (RFC 9112 section 3.2.3).
    let port = target
        .iter()
        .rposition(|byte| *byte == b':')
        .map(|colon| &target[colon + 1..]);
    let has_port = port.is_some_and(|port| port.first().is_some_and(u8::is_ascii_digit));
    if !has_port || authority::check(target).is_err() {
        return Violation::bad_request(
            "RFC 9112 section 3.2.3",
            "The target of CONNECT is not host:port.",
        );
    }
    Violation::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "RFC 9110 section 9.3.6",
        "This server is no proxy: it does not open tunnels. Send requests to it directly.",
    )
}

/// The authority of an absolute target; nothing when the target has another form.
pub(super) fn absolute_authority(target: &[u8]) -> Option<&[u8]> {
    let scheme_end = target.iter().position(|byte| *byte == b':')?;
    let scheme = &target[..scheme_end];
    if !scheme.eq_ignore_ascii_case(b"http") && !scheme.eq_ignore_ascii_case(b"https") {
        return None;
    }
    let rest = target[scheme_end + 1..].strip_prefix(b"//")?;
    let end = rest
        .iter()
        .position(|byte| matches!(byte, b'/' | b'?'))
        .unwrap_or(rest.len());
    Some(&rest[..end])
}

/// RFC 9110 section 5.6.2 `tchar`.
pub(super) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Visible ASCII without the fragment mark, and without what URLs exclude and servers read
/// differently or refuse. Brackets, braces, bar and caret pass: queries often hold them bare.
fn is_target_byte(byte: u8) -> bool {
    const ALLOWED: [bool; 256] = {
        let mut allowed = [false; 256];
        let mut byte = 0x21;
        while byte < 0x7f {
            allowed[byte] = !matches!(byte as u8, b'#' | b'"' | b'<' | b'>' | b'\\' | b'`');
            byte += 1;
        }
        allowed
    };
    ALLOWED[usize::from(byte)]
}
