//! The table of HTTP/1.1 requests in `tests/vectors/http1.txt`, good and bad, with their verdicts.

#![allow(
    clippy::unwrap_used,
    reason = "a malformed table is a mistake in a test"
)]

const TABLE: &str = include_str!("../vectors/http1.txt");

/// One line of the table.
#[derive(Debug)]
pub struct Vector {
    /// What it is, in words.
    pub name: &'static str,
    /// The rule that decides.
    pub section: &'static str,
    /// The status of the refusal; nothing when all is well.
    pub status: Option<u16>,
    /// What is sent.
    pub bytes: Vec<u8>,
}

/// The whole table.
///
/// # Panics
///
/// When the table is malformed.
pub fn vectors() -> Vec<Vector> {
    TABLE
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(parse)
        .collect()
}

fn parse(line: &'static str) -> Vector {
    let parts: Vec<&'static str> = line.splitn(4, " | ").collect();
    let [name, section, verdict, escaped] = parts[..] else {
        panic!("a vector has four parts: {line}");
    };
    Vector {
        name,
        section,
        status: (verdict != "ok").then(|| verdict.parse().unwrap()),
        bytes: unescape(escaped),
    }
}

fn unescape(escaped: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = escaped;
    while let Some((plain, code)) = rest.split_once('\\') {
        bytes.extend_from_slice(plain.as_bytes());
        let (code, after) = code.split_at(1);
        rest = after;
        match code {
            "r" => bytes.push(b'\r'),
            "n" => bytes.push(b'\n'),
            "t" => bytes.push(b'\t'),
            "\\" => bytes.push(b'\\'),
            "x" => {
                let (digits, after) = rest.split_at(2);
                bytes.push(u8::from_str_radix(digits, 16).unwrap());
                rest = after;
            }
            "{" => {
                let (repeat, after) = rest.split_once('}').unwrap();
                let (count, text) = repeat.split_once(':').unwrap();
                bytes.extend(unescape(text).repeat(count.parse().unwrap()));
                rest = after;
            }
            other => panic!("no such escape: {other}"),
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}
