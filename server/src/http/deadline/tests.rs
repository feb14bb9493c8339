use super::{parse_grpc, parse_seconds};
use proptest::prelude::*;
use std::time::Duration;

#[test]
fn seconds_may_have_a_fraction() {
    for (text, nanos) in [
        ("0", 0),
        ("2", 2_000_000_000),
        ("0.25", 250_000_000),
        ("0.000000001", 1),
        ("0.0000000019", 1),
        ("007.50", 7_500_000_000),
    ] {
        let expected = Some(Duration::from_nanos(nanos));
        assert_eq!(parse_seconds(text.as_bytes()), expected, "{text}");
    }
    let endless = parse_seconds(b"99999999999999999999999.5").unwrap();
    assert!(endless > Duration::from_secs(u64::MAX / 2));
}

#[test]
fn what_is_no_number_of_seconds_is_not_guessed_at() {
    for text in [
        "", ".", "5.", ".5", "-1", "+1", "1e3", "1s", "1,5", "0x10", " 1", "1 ", "1.5.0", "inf",
        "NaN", "1.-5", "1.+5", "\u{663}",
    ] {
        assert_eq!(parse_seconds(text.as_bytes()), None, "{text:?}");
    }
    assert_eq!(parse_seconds(b"\xff"), None);
}

#[test]
fn grpc_has_eight_digits_and_six_units() {
    for (text, expected) in [
        ("1H", Duration::from_secs(3600)),
        ("2M", Duration::from_secs(120)),
        ("3S", Duration::from_secs(3)),
        ("4m", Duration::from_millis(4)),
        ("5u", Duration::from_micros(5)),
        ("6n", Duration::from_nanos(6)),
        ("0S", Duration::ZERO),
        ("99999999H", Duration::from_secs(99_999_999 * 3600)),
    ] {
        assert_eq!(parse_grpc(text.as_bytes()), Some(expected), "{text}");
    }
    for text in [
        "",
        "S",
        "1",
        "1s",
        "1h",
        "100000000m",
        "1.5S",
        "-1S",
        "+1S",
        " 1S",
        "1 S",
        "1Sm",
        "\u{663}S",
    ] {
        assert_eq!(parse_grpc(text.as_bytes()), None, "{text:?}");
    }
}

proptest! {
    #[test]
    fn every_duration_that_can_be_written_in_seconds_is_read_back(nanos: u64) {
        let (seconds, rest) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
        let text = format!("{seconds}.{rest:09}");
        prop_assert_eq!(parse_seconds(text.as_bytes()), Some(Duration::from_nanos(nanos)));
        let whole = seconds.to_string();
        prop_assert_eq!(parse_seconds(whole.as_bytes()), Some(Duration::from_secs(seconds)));
    }

    #[test]
    fn a_longer_fraction_is_never_a_shorter_time(digits in "[0-9]{1,20}", more in "[0-9]{1,5}") {
        let short = parse_seconds(format!("1.{digits}").as_bytes());
        let long = parse_seconds(format!("1.{digits}{more}").as_bytes());
        prop_assert!(short.is_some() && short <= long, "{short:?} {long:?}");
    }

    #[test]
    fn a_grpc_timeout_is_its_number_of_units(value in 0_u64..100_000_000, unit in "[HMSmun]") {
        let nanos = |unit: &str| match unit {
            "H" => 3_600_000_000_000_u64,
            "M" => 60_000_000_000,
            "S" => 1_000_000_000,
            "m" => 1_000_000,
            "u" => 1_000,
            _ => 1,
        };
        let read = parse_grpc(format!("{value}{unit}").as_bytes()).map(|read| read.as_nanos());
        prop_assert_eq!(read, Some(u128::from(value) * u128::from(nanos(&unit))));
    }

    #[test]
    fn no_bytes_are_a_surprise(bytes in proptest::collection::vec(any::<u8>(), 0..24)) {
        let good = |byte: &u8| byte.is_ascii_digit() || *byte == b'.';
        if parse_seconds(&bytes).is_some() {
            prop_assert!(bytes.iter().all(good));
        }
        if parse_grpc(&bytes).is_some() {
            prop_assert!(bytes.len() <= 9 && bytes.last().is_some_and(u8::is_ascii_alphabetic));
        }
    }
}
