//! PostgreSQL's types, as far as their texts become something other than a text.

use pq_sys::Oid;

use crate::Error;
use crate::sql::Cell;

use super::array;

/// Numbers from here on are of types that a database has been given.
pub(super) const FIRST_OWN: Oid = 16384;

/// What the text of a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Bool,
    Integer,
    Real,
    Decimal,
    Json,
    Bytes,
    /// A date and a time, perhaps with an offset.
    Timestamp,
    /// A time with an offset.
    TimeTz,
    /// All else.
    Text,
    /// An array of these.
    Array(Element),
}

/// What the elements of an array are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    Bool,
    Integer,
    Real,
    Decimal,
    Json,
    Bytes,
    Timestamp,
    TimeTz,
    Text,
}

impl From<Element> for Type {
    fn from(element: Element) -> Self {
        match element {
            Element::Bool => Self::Bool,
            Element::Integer => Self::Integer,
            Element::Real => Self::Real,
            Element::Decimal => Self::Decimal,
            Element::Json => Self::Json,
            Element::Bytes => Self::Bytes,
            Element::Timestamp => Self::Timestamp,
            Element::TimeTz => Self::TimeTz,
            Element::Text => Self::Text,
        }
    }
}

/// The types that come with PostgreSQL, each with its array, as its catalogue numbers them. Texts are here for
/// their arrays.
const BUILT_IN: &[(Oid, Oid, Element)] = &[
    (16, 1000, Element::Bool),
    (17, 1001, Element::Bytes),
    (21, 1005, Element::Integer),     // int2
    (23, 1007, Element::Integer),     // int4
    (20, 1016, Element::Integer),     // int8
    (26, 1028, Element::Integer),     // oid
    (700, 1021, Element::Real),       // float4
    (701, 1022, Element::Real),       // float8
    (1700, 1231, Element::Decimal),   // numeric
    (114, 199, Element::Json),        // json
    (3802, 3807, Element::Json),      // jsonb
    (1114, 1115, Element::Timestamp), // timestamp
    (1184, 1185, Element::Timestamp), // timestamptz
    (1266, 1270, Element::TimeTz),    // timetz
    (1082, 1182, Element::Text),      // date
    (1083, 1183, Element::Text),      // time
    (1186, 1187, Element::Text),      // interval
    (18, 1002, Element::Text),        // "char"
    (19, 1003, Element::Text),        // name
    (25, 1009, Element::Text),        // text
    (1042, 1014, Element::Text),      // bpchar
    (1043, 1015, Element::Text),      // varchar
    (2950, 2951, Element::Text),      // uuid
    (790, 791, Element::Text),        // money
    (869, 1041, Element::Text),       // inet
    (650, 651, Element::Text),        // cidr
    (829, 1040, Element::Text),       // macaddr
    (774, 775, Element::Text),        // macaddr8
    (1560, 1561, Element::Text),      // bit
    (1562, 1563, Element::Text),      // varbit
    (142, 143, Element::Text),        // xml
    (3904, 3905, Element::Text),      // int4range
    (3926, 3927, Element::Text),      // int8range
    (3906, 3907, Element::Text),      // numrange
    (3908, 3909, Element::Text),      // tsrange
    (3910, 3911, Element::Text),      // tstzrange
    (3912, 3913, Element::Text),      // daterange
];

impl Type {
    /// That of this number, if it comes with PostgreSQL; all that are not known are texts.
    pub(super) fn built_in(oid: Oid) -> Self {
        let mut known = BUILT_IN.iter();
        let found = known.find(|(one, array, _)| oid == *one || oid == *array);
        match found {
            Some((one, _, element)) if oid == *one => (*element).into(),
            Some((_, _, element)) => Self::Array(*element),
            None => Self::Text,
        }
    }

    /// An array whose elements are of the type of this number.
    pub(super) fn array_of(oid: Oid) -> Self {
        let mut known = BUILT_IN.iter();
        let found = known.find(|(one, _, _)| oid == *one);
        Self::Array(found.map_or(Element::Text, |(_, _, element)| *element))
    }

    /// Writes into `scratch` what [`cell`](Self::cell) needs: the value in another form.
    ///
    /// # Errors
    ///
    /// The value is not as this type is written.
    pub(super) fn convert(
        self,
        value: &[u8],
        decimals_are_texts: bool,
        scratch: &mut Vec<u8>,
    ) -> Result<(), Error> {
        scratch.clear();
        match self {
            Self::Bytes => array::from_hex(value, scratch).map_err(|unfit| unfit.unreadable()),
            Self::Timestamp | Self::TimeTz => {
                rfc3339(value, scratch);
                Ok(())
            }
            Self::Array(element) => {
                array::to_json(value, element.into(), decimals_are_texts, scratch)
            }
            _ => Ok(()),
        }
    }

    /// The value, which [`convert`](Self::convert) has seen before.
    ///
    /// # Errors
    ///
    /// The value is not as this type is written.
    pub(super) fn cell<'c>(self, value: &'c [u8], scratch: &'c [u8]) -> Result<Cell<'c>, Error> {
        Ok(match self {
            Self::Bool => Cell::Bool(value == b"t"),
            Self::Integer => Cell::Integer(parsed(value)?),
            Self::Real => Cell::Real(parsed(value)?),
            Self::Decimal => Cell::Decimal(text(value)?),
            Self::Json => Cell::Json(value),
            Self::Bytes => Cell::Bytes(scratch),
            Self::Timestamp | Self::TimeTz => Cell::Text(scratch),
            Self::Text => Cell::Text(value),
            Self::Array(_) => Cell::Json(scratch),
        })
    }
}

/// Whether a value of this type is sent as the bytes that it is made of: bytea, text, varchar, bpchar, json,
/// xml.
pub(super) fn is_sent_as_bytes(oid: Oid) -> bool {
    matches!(oid, 17 | 25 | 1043 | 1042 | 114 | 142)
}

fn text(value: &[u8]) -> Result<&str, Error> {
    std::str::from_utf8(value).map_err(unreadable)
}

fn parsed<T: std::str::FromStr>(value: &[u8]) -> Result<T, Error>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    text(value)?.parse().map_err(unreadable)
}

pub(super) fn unreadable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::internal("a value of the database cannot be read").with_source(error)
}

/// A date and time as RFC 3339 has them, from PostgreSQL's ISO style: `2024-01-02 03:04:05.6+00` becomes
/// `2024-01-02T03:04:05.6Z`. What RFC 3339 does not have, infinity and years before Christ, stays as it is.
fn rfc3339(value: &[u8], out: &mut Vec<u8>) {
    let is_numeric = |byte: &u8| byte.is_ascii_digit() || b" -:.+".contains(byte);
    if !value.iter().all(is_numeric) {
        out.extend_from_slice(value);
        return;
    }
    let time = value.iter().position(|byte| *byte == b' ');
    let time = time.map_or(0, |space| space + 1);
    let sign = value[time..]
        .iter()
        .position(|byte| matches!(byte, b'+' | b'-'));
    let end = sign.map_or(value.len(), |sign| time + sign);
    out.extend_from_slice(&value[..end]);
    if time > 0 {
        out[time - 1] = b'T';
    }
    match &value[end..] {
        [] => {}
        b"+00" => out.push(b'Z'),
        offset => {
            out.extend_from_slice(offset);
            if offset.len() == b"+00".len() {
                out.extend_from_slice(b":00");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(value: &str) -> String {
        let mut out = Vec::new();
        rfc3339(value.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn times_are_those_of_rfc_3339() {
        for (given, expected) in [
            ("2024-01-02 03:04:05+00", "2024-01-02T03:04:05Z"),
            (
                "2024-01-02 03:04:05.123456+00",
                "2024-01-02T03:04:05.123456Z",
            ),
            ("2024-01-02 03:04:05", "2024-01-02T03:04:05"),
            ("2024-01-02 03:04:05-07", "2024-01-02T03:04:05-07:00"),
            ("2024-01-02 03:04:05+05:30", "2024-01-02T03:04:05+05:30"),
            ("03:04:05+00", "03:04:05Z"),
            ("03:04:05.5-03", "03:04:05.5-03:00"),
            ("infinity", "infinity"),
            ("0044-03-15 12:00:00+00 BC", "0044-03-15 12:00:00+00 BC"),
        ] {
            assert_eq!(time(given), expected, "{given}");
        }
    }

    #[test]
    fn no_type_has_two_numbers_and_no_number_two_types() {
        let mut numbers: Vec<Oid> = BUILT_IN
            .iter()
            .flat_map(|(one, array, _)| [*one, *array])
            .collect();
        let count = numbers.len();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), count);
        assert!(numbers.iter().all(|number| *number < FIRST_OWN));
    }
}
