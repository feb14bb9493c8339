//! Whether a client has the file already (RFC 9110, section 13).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::{
    ETAG, HeaderMap, HeaderName, HeaderValue, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
    IF_UNMODIFIED_SINCE, LAST_MODIFIED,
};

/// What tells one version of a file from another.
#[derive(Clone, Debug)]
pub(super) struct Validators {
    etag: String,
    /// In whole seconds; `None` where it is no date that HTTP can say, or is to come.
    modified: Option<SystemTime>,
}

/// What the conditions of a request come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Send it.
    Send,
    /// The client has it: 304.
    NotModified,
    /// The client wanted another version: 412.
    Failed,
}

impl Validators {
    /// Those of a file of this length that was last changed then.
    pub(super) fn new(length: u64, modified: SystemTime, now: SystemTime) -> Self {
        let since_epoch = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
        let whole = UNIX_EPOCH + Duration::from_secs(since_epoch.as_secs());
        Self {
            etag: format!("\"{:x}-{length:x}\"", since_epoch.as_nanos()),
            modified: Some(whole).filter(|_| modified >= UNIX_EPOCH && modified <= now),
        }
    }

    /// Tells the client.
    pub(super) fn write(&self, headers: &mut HeaderMap) {
        let modified = self.modified.map(httpdate::fmt_http_date);
        for (name, value) in [(ETAG, Some(&self.etag)), (LAST_MODIFIED, modified.as_ref())] {
            if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
                headers.insert(name, value);
            }
        }
    }

    /// Judges the conditions, in the order of section 13.2.2.
    pub(super) fn judge(&self, headers: &HeaderMap) -> Verdict {
        let is_wanted = match self.any(headers, IF_MATCH, |tag| tag == self.etag) {
            Some(matches) => matches,
            None => self
                .compared(headers, IF_UNMODIFIED_SINCE)
                .is_none_or(|(modified, date)| modified <= date),
        };
        if !is_wanted {
            return Verdict::Failed;
        }
        let weakly = |tag: &str| tag.strip_prefix("W/").unwrap_or(tag) == self.etag;
        let is_there = match self.any(headers, IF_NONE_MATCH, weakly) {
            Some(matches) => matches,
            None => self
                .compared(headers, IF_MODIFIED_SINCE)
                .is_some_and(|(modified, date)| modified <= date),
        };
        if is_there {
            Verdict::NotModified
        } else {
            Verdict::Send
        }
    }

    /// Whether a range may be sent: `If-Range` names this version, or is not there.
    pub(super) fn is_in_range(&self, headers: &HeaderMap) -> bool {
        let Some(value) = headers.get(IF_RANGE) else {
            return true;
        };
        let is_tag = value.as_bytes() == self.etag.as_bytes();
        let is_date = || {
            let both = self.compared(headers, IF_RANGE);
            both.is_some_and(|(modified, date)| modified == date)
        };
        is_tag || is_date()
    }

    /// Whether a list of entity tags has one that `is_it`; `*` always has. `None` without the header.
    fn any(
        &self,
        headers: &HeaderMap,
        name: HeaderName,
        is_it: impl Fn(&str) -> bool,
    ) -> Option<bool> {
        let mut values = headers.get_all(name).iter().peekable();
        values.peek()?;
        Some(values.any(|value| {
            let list = value.to_str().unwrap_or("").trim();
            list == "*" || tags(list).any(&is_it)
        }))
    }

    fn compared(&self, headers: &HeaderMap, name: HeaderName) -> Option<(SystemTime, SystemTime)> {
        let date = headers.get(name)?.to_str().ok()?;
        Some((self.modified?, httpdate::parse_http_date(date).ok()?))
    }
}

/// The entity tags of a list, up to the first thing that is none. A tag may have commas in it.
fn tags(list: &str) -> impl Iterator<Item = &str> {
    let mut rest = list;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches([',', ' ', '\t']);
        let open = if rest.starts_with("W/") { 2 } else { 0 };
        let inside = rest[open..].strip_prefix('"')?;
        let end = open + 1 + inside.find('"')? + 1;
        let tag = &rest[..end];
        rest = &rest[end..];
        Some(tag)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const DAY_AFTER: &str = "Mon, 07 Nov 1994 08:49:37 GMT";
    const DAY_BEFORE: &str = "Sat, 05 Nov 1994 08:49:37 GMT";

    fn validators() -> Validators {
        let modified = httpdate::parse_http_date(DATE).unwrap() + Duration::from_millis(250);
        Validators::new(16, modified, SystemTime::now())
    }

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        let pairs = pairs.iter().cloned();
        pairs
            .map(|(name, value)| (name, HeaderValue::from_str(value).unwrap()))
            .collect()
    }

    fn judge(pairs: &[(HeaderName, &str)]) -> Verdict {
        validators().judge(&headers(pairs))
    }

    #[test]
    fn a_version_has_a_tag_and_a_date() {
        let mut told = HeaderMap::new();
        validators().write(&mut told);
        assert_eq!(told[LAST_MODIFIED], DATE);
        let tag = told[ETAG].to_str().unwrap();
        assert!(tag.starts_with('"') && tag.ends_with("-10\""), "{tag}");
        let now = SystemTime::now();
        let later = Validators::new(16, now, now);
        assert_ne!(later.etag, validators().etag);
    }

    #[test]
    fn a_date_that_is_to_come_or_before_the_epoch_is_not_told() {
        let now = SystemTime::now();
        for modified in [
            now + Duration::from_secs(60),
            UNIX_EPOCH - Duration::from_secs(60),
        ] {
            let mut told = HeaderMap::new();
            Validators::new(1, modified, now).write(&mut told);
            assert!(told.contains_key(ETAG) && !told.contains_key(LAST_MODIFIED));
        }
    }

    #[test]
    fn a_client_that_has_it_need_not_get_it() {
        let tag = validators().etag;
        for list in [
            tag.clone(),
            format!("W/{tag}"),
            format!("\"a,b\", {tag}"),
            "*".to_owned(),
        ] {
            assert_eq!(
                judge(&[(IF_NONE_MATCH, &list)]),
                Verdict::NotModified,
                "{list}"
            );
        }
        for list in [
            "\"other\"",
            "",
            "unquoted",
            "\"",
            "W/",
            "W",
            "\"a\" junk \"b",
        ] {
            assert_eq!(judge(&[(IF_NONE_MATCH, list)]), Verdict::Send, "{list}");
        }
        assert_eq!(judge(&[(IF_MODIFIED_SINCE, DATE)]), Verdict::NotModified);
        assert_eq!(
            judge(&[(IF_MODIFIED_SINCE, DAY_AFTER)]),
            Verdict::NotModified
        );
        assert_eq!(judge(&[(IF_MODIFIED_SINCE, DAY_BEFORE)]), Verdict::Send);
        assert_eq!(judge(&[(IF_MODIFIED_SINCE, "yesterday")]), Verdict::Send);
        // The tag says more than the date.
        let both = [(IF_NONE_MATCH, "\"other\""), (IF_MODIFIED_SINCE, DATE)];
        assert_eq!(judge(&both), Verdict::Send);
    }

    #[test]
    fn a_client_that_wants_another_version_gets_none() {
        let tag = validators().etag;
        assert_eq!(judge(&[(IF_MATCH, &tag)]), Verdict::Send);
        assert_eq!(judge(&[(IF_MATCH, "*")]), Verdict::Send);
        assert_eq!(judge(&[(IF_MATCH, &format!("W/{tag}"))]), Verdict::Failed);
        assert_eq!(judge(&[(IF_MATCH, "\"other\"")]), Verdict::Failed);
        assert_eq!(judge(&[(IF_UNMODIFIED_SINCE, DAY_BEFORE)]), Verdict::Failed);
        assert_eq!(judge(&[(IF_UNMODIFIED_SINCE, DATE)]), Verdict::Send);
    }

    #[test]
    fn a_range_is_of_the_version_that_the_client_has() {
        let is_in_range = |value: &str| validators().is_in_range(&headers(&[(IF_RANGE, value)]));
        let tag = validators().etag;
        assert!(is_in_range(&tag));
        assert!(is_in_range(DATE));
        for value in [DAY_AFTER, DAY_BEFORE, "\"other\"", &format!("W/{tag}")] {
            assert!(!is_in_range(value), "{value}");
        }
        assert!(validators().is_in_range(&HeaderMap::new()));
    }
}
