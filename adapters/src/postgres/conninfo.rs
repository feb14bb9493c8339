//! What a connection URI or string says, as libpq reads it. Nothing is connected to.

use std::ffi::{CString, c_char, c_void};
use std::ptr;

use pq_sys::PQconninfoOption;

use super::outcome::text;

/// The parameters that it names, with their values.
///
/// # Errors
///
/// What is wrong with it, without what it holds: that may be a password.
pub(super) fn parse(conninfo: &str) -> Result<Vec<(String, String)>, String> {
    let conninfo = CString::new(conninfo).map_err(|_| "it holds a NUL character".to_owned())?;
    let mut message: *mut c_char = ptr::null_mut();
    // SAFETY: the text outlives the call, and libpq writes a pointer to a message of its own, or null.
    let options = unsafe { pq_sys::PQconninfoParse(conninfo.as_ptr(), &raw mut message) };
    // SAFETY: it is null or a text that libpq has made for us.
    let said = unsafe { text(message) };
    // SAFETY: as above; freeing null does nothing.
    unsafe { pq_sys::PQfreemem(message.cast::<c_void>()) };
    if options.is_null() {
        return Err(without_values(&said.unwrap_or_default()));
    }
    let named = read(options);
    // SAFETY: libpq has made it for us, and nobody uses it after this.
    unsafe { pq_sys::PQconninfoFree(options) };
    Ok(named)
}

fn read(mut option: *const PQconninfoOption) -> Vec<(String, String)> {
    let mut named = Vec::new();
    loop {
        // SAFETY: the list ends with an option without a keyword, at which this loop ends.
        let one = unsafe { &*option };
        // SAFETY: a text of libpq's, or null.
        let Some(keyword) = (unsafe { text(one.keyword) }) else {
            return named;
        };
        // SAFETY: as above.
        if let Some(value) = unsafe { text(one.val) } {
            named.push((keyword, value));
        }
        // SAFETY: this was not the last one.
        option = unsafe { option.add(1) };
    }
}

/// libpq quotes what it does not like: what stands after the first quote is left out.
fn without_values(message: &str) -> String {
    let message = message.trim_end();
    let is_name = message.contains("query parameter") || message.contains("connection option");
    match message.split_once('"') {
        Some((what, _)) if !is_name => what.trim_end_matches([' ', ':']).to_owned(),
        _ => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_names_its_parameters() {
        let named = parse("postgresql://ada:s%20ecret@db:5433/app?sslmode=require").unwrap();
        let value = |name: &str| {
            let mut named = named.iter();
            named
                .find(|(one, _)| one == name)
                .map(|(_, value)| value.as_str())
        };
        assert_eq!(value("user"), Some("ada"));
        assert_eq!(value("password"), Some("s ecret"));
        assert_eq!(value("host"), Some("db"));
        assert_eq!(value("port"), Some("5433"));
        assert_eq!(value("dbname"), Some("app"));
        assert_eq!(value("sslmode"), Some("require"));
        assert_eq!(value("options"), None);
    }

    #[test]
    fn what_is_wrong_is_told_without_secrets() {
        for wrong in [
            "postgresql://ada:hunter2%zz@db/app",
            "postgresql://[::1?hunter2",
            "postgresql://[::1]hunter2/app",
            "hunter2",
        ] {
            let message = parse(wrong).unwrap_err();
            assert!(
                !message.is_empty() && !message.contains("hunter2%"),
                "{message}"
            );
        }
        let message = parse("postgresql://db/app?colour=red").unwrap_err();
        assert!(message.contains("colour"), "{message}");
    }
}
