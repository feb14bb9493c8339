//! `mysql://user:password@host:3306/database`: all of a login in one text.

use percent_encoding::percent_decode_str;

/// What a URL says. Nothing of it is checked beyond its form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Url {
    pub(super) servers: Vec<String>,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) database: Option<String>,
}

const FORM: &str = "write `mysql://user:password@host:3306/database`";

impl Url {
    /// Reads one. Several hosts have commas between them; `%2F` in a host makes it a Unix socket.
    ///
    /// # Errors
    ///
    /// What is wrong with it. The URL itself is not repeated: it may hold a password.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let rest = ["mysql://", "mariadb://"]
            .iter()
            .find_map(|scheme| text.strip_prefix(scheme))
            .ok_or_else(|| format!("it does not begin with `mysql://`; {FORM}"))?;
        if rest.contains(['?', '#']) {
            return Err(
                "it has a `?` or `#`: what else there is to say has keys of its own, and within a password \
                 these are written %3F and %23"
                    .to_owned(),
            );
        }
        let (authority, database) = match rest.split_once('/') {
            Some((authority, database)) => (authority, Some(database)),
            None => (rest, None),
        };
        if database.is_some_and(|database| database.contains('/')) {
            return Err(format!(
                "its database has a `/`, which is written %2F, also within a password; {FORM}"
            ));
        }
        let (login, hosts) = match authority.rsplit_once('@') {
            Some((login, hosts)) => (Some(login), hosts),
            None => (None, authority),
        };
        let (user, password) = match login.map(|login| login.split_once(':').ok_or(login)) {
            Some(Ok((user, password))) => (Some(user), Some(password)),
            Some(Err(user)) => (Some(user), None),
            None => (None, None),
        };
        let decoded = |text: Option<&str>| match text.filter(|text| !text.is_empty()) {
            Some(text) => match percent_decode_str(text).decode_utf8() {
                Ok(text) => Ok(Some(text.into_owned())),
                Err(_) => Err("what its %XX stand for is not UTF-8".to_owned()),
            },
            None => Ok(None),
        };
        let servers: Result<Vec<_>, _> = hosts.split(',').map(|host| decoded(Some(host))).collect();
        let servers: Vec<String> = servers?.into_iter().flatten().collect();
        if servers.is_empty() {
            return Err(format!("it has no host; {FORM}"));
        }
        Ok(Self {
            servers,
            user: decoded(user)?,
            password: decoded(password)?,
            database: decoded(database)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_parts_are_found_and_decoded() {
        let url = Url::parse("mysql://us%65r:p%40ss:w@a:1,[::1]:2,%2Frun%2Fs/data").unwrap();
        assert_eq!(url.servers, ["a:1", "[::1]:2", "/run/s"]);
        assert_eq!(url.user.as_deref(), Some("user"));
        assert_eq!(url.password.as_deref(), Some("p@ss:w"));
        assert_eq!(url.database.as_deref(), Some("data"));
        let url = Url::parse("mariadb://db").unwrap();
        assert_eq!(url.servers, ["db"]);
        assert_eq!((url.user, url.password, url.database), (None, None, None));
    }

    #[test]
    fn what_is_wrong_is_said_without_the_password() {
        for wrong in [
            "postgres://u:hunter2@h/d",
            "mysql://u:hunter2@/d",
            "mysql://u:hunter2@h/d?tls=off",
            "mysql://u:hunter2%ff@h/d",
            "mysql://u:hun/ter2@h/d",
        ] {
            let message = Url::parse(wrong).unwrap_err();
            assert!(!message.contains("hun"), "{message}");
        }
    }
}
