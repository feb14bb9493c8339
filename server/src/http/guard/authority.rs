//! The `host[:port]` of a Host field or of an absolute target.
//!
//! Stricter than the grammar where it leaves room for two readings: no userinfo, no comma, no
//! percent-encoding, no future IP literal.

use std::net::Ipv6Addr;

/// Checks `host[:port]`; the error is a sentence that names the fault.
pub(super) fn check(authority: &[u8]) -> Result<(), &'static str> {
    if authority.contains(&b'@') {
        return Err("It holds a user name; send credentials in Authorization.");
    }
    let (host, port) = split(authority)?;
    if host.is_empty() {
        return Err("It names no host.");
    }
    match port {
        Some(port) => check_port(port),
        None => Ok(()),
    }
}

/// Splits into host and port, and checks the host.
fn split(authority: &[u8]) -> Result<(&[u8], Option<&[u8]>), &'static str> {
    let host_end = if authority.first() == Some(&b'[') {
        let close = authority.iter().position(|byte| *byte == b']');
        let close = close.ok_or("Its IPv6 address has no closing bracket.")?;
        let address = std::str::from_utf8(&authority[1..close]).ok();
        if address
            .and_then(|address| address.parse::<Ipv6Addr>().ok())
            .is_none()
        {
            return Err("It holds brackets with no valid IPv6 address in them.");
        }
        close + 1
    } else {
        let end = authority
            .iter()
            .position(|byte| *byte == b':')
            .unwrap_or(authority.len());
        check_name(&authority[..end])?;
        end
    };
    match authority[host_end..].split_first() {
        None => Ok((authority, None)),
        Some((b':', port)) => Ok((&authority[..host_end], Some(port))),
        Some(_) => Err("Only a colon and a port may follow an IPv6 address."),
    }
}

fn check_name(name: &[u8]) -> Result<(), &'static str> {
    match name.iter().find(|byte| !is_name_byte(**byte)) {
        None => Ok(()),
        Some(b'/' | b'?' | b'#' | b'\\') => Err("It holds a path; send host and port only."),
        Some(b' ' | b'\t') => Err("It holds white space."),
        Some(b',') => Err("It holds a comma; send one host."),
        Some(b'%') => Err("It is percent-encoded; send the host name as it is."),
        Some(_) => Err("It holds a byte that no host name may hold."),
    }
}

/// RFC 3986 `reg-name` without its percent-encoding and without the comma.
fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+;=".contains(&byte)
}

fn check_port(port: &[u8]) -> Result<(), &'static str> {
    // An empty port is allowed: "host:" means the scheme's default (RFC 3986 section 3.2.3).
    let digits = port.len() <= 5 && port.iter().all(u8::is_ascii_digit);
    let number = |sum, digit: &u8| sum * 10 + u32::from(digit - b'0');
    if digits && port.iter().fold(0, number) <= u32::from(u16::MAX) {
        Ok(())
    } else {
        Err("Its port is not a number from 0 to 65535.")
    }
}
