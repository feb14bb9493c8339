//! `file`: files below a folder, with all that browsers and caches ask of a file server.
//!
//! Mounted by the config name `file`. A disk can hang like any library, so reading runs on a pool's
//! workers. For a whole site, take two locations, because a `{*path}` is never empty:
//!
//! ```toml
//! listen = "127.0.0.1:8080"
//!
//! [pool.disk]
//! threads = 4
//!
//! [[location]]
//! path    = "/{*path}"          # /docs/intro.html is site/docs/intro.html
//! adapter = "file"
//! pool    = "disk"
//! root    = "site"
//! index   = "index.html"        # what a folder answers with; without the key it is a 404
//!
//! [[location]]
//! path    = "/"
//! adapter = "file"
//! pool    = "disk"
//! root    = "site"
//! index   = "index.html"
//! ```
//!
//! What it promises:
//!
//! - **Nothing outside the root is served.** A name with a `.`, a `..` or an empty part, with NUL or with
//!   a leading `/` is no file. On the way down no symbolic link is followed, which the kernel checks
//!   (`openat2`; without it, before Linux 5.6, part by part), so nothing can be swapped in between.
//!   `follow_symlinks = true` follows links, wherever they lead. The root itself may be a link, and
//!   is looked up for each request: a new release is a link that is replaced.
//! - **Hidden files stay hidden**: names that begin with a dot, but for `.well-known` in the root.
//! - **Only plain files.** A FIFO, a socket or a device is a 404, and never keeps a worker waiting.
//! - **GET and HEAD**, with `ETag` (from size and time of the last change), `Last-Modified`, the
//!   conditions of RFC 9110 (304 and 412), and one range (206 and 416); a request for several ranges is
//!   answered with the whole file.
//! - **Bounded.** What is sent is at most `max_response`. Of a larger file a client can get ranges, and HEAD.
//!
//! | the disk says | status |
//! | --- | --- |
//! | no such file, a link, no plain file | 404 |
//! | permission denied | 403 |
//! | no descriptor or memory left, a lease on the file | 503 |
//! | I/O error, stale handle, or the root is gone | 502 |
//! | anything else | 500; the reason is in the log only |

mod conditions;
mod keys;
mod media_type;
mod name;
mod open;
mod range;
mod send;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use http::{HeaderValue, Method};

pub use keys::spec;
pub use open::Session;

use crate::{Adapter, CallContext, Error, Request, Response, params};
use media_type::MediaTypes;
use name::Name;
use open::Found;

static METHODS: [Method; 2] = [Method::GET, Method::HEAD];

/// What is sent at most, unless configured otherwise.
const MAX_RESPONSE_BYTES: u64 = 64 << 20;

/// The files below one folder.
///
/// ```
/// use pontoon_adapters::file::Files;
///
/// let site = Files::new("site").index("index.html").max_response_bytes(8 << 20);
/// assert!(site.validate().unwrap_err().contains("does not exist"));
/// ```
#[derive(Clone, Debug)]
pub struct Files {
    root: PathBuf,
    param: String,
    index: Option<String>,
    follow_symlinks: bool,
    hidden_files: bool,
    max_response_bytes: u64,
    cache_control: Option<HeaderValue>,
    media_types: MediaTypes,
}

impl Files {
    /// The files below this folder, named by the parameter `path`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            param: "path".to_owned(),
            index: None,
            follow_symlinks: false,
            hidden_files: false,
            max_response_bytes: MAX_RESPONSE_BYTES,
            cache_control: None,
            media_types: MediaTypes::default(),
        }
    }

    /// Which parameter has the file's name: one of the path, or else of the query string.
    #[must_use]
    pub fn param(mut self, param: impl Into<String>) -> Self {
        self.param = param.into();
        self
    }

    /// The file that a folder is answered with, for instance `index.html`; unless set, a folder is a 404.
    #[must_use]
    pub fn index(mut self, index: impl Into<String>) -> Self {
        self.index = Some(index.into());
        self
    }

    /// Follows symbolic links below the root, also those that lead out of it.
    #[must_use]
    pub fn follow_symlinks(mut self, follow: bool) -> Self {
        self.follow_symlinks = follow;
        self
    }

    /// Serves files and folders whose names begin with a dot.
    #[must_use]
    pub fn hidden_files(mut self, serve: bool) -> Self {
        self.hidden_files = serve;
        self
    }

    /// The most that is sent in one response, in bytes.
    #[must_use]
    pub fn max_response_bytes(mut self, max: u64) -> Self {
        self.max_response_bytes = max;
        self
    }

    /// What caches are told, for instance `public, max-age=3600`.
    #[must_use]
    pub fn cache_control(mut self, value: HeaderValue) -> Self {
        self.cache_control = Some(value);
        self
    }

    /// Sends files whose names end in `.extension` with this media type, instead of the usual one.
    #[must_use]
    pub fn media_type(mut self, extension: &str, media_type: HeaderValue) -> Self {
        self.media_types.set(extension, media_type);
        self
    }

    /// Looks whether the root is a folder.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and what to do.
    pub fn validate(&self) -> Result<(), String> {
        let root = self.root.display();
        match std::fs::metadata(&self.root) {
            Ok(metadata) if metadata.is_dir() => Ok(()),
            Ok(_) => Err(format!(
                "`{root}` is no folder; give the folder of the files"
            )),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(format!(
                "the folder `{root}` does not exist; create it first, or correct the path"
            )),
            Err(error) => Err(format!("the folder `{root}` cannot be reached: {error}")),
        }
    }

    /// What the request names; the root where it has no parameter and folders are answered.
    fn name<'a>(&self, request: &'a Request, call: &'a CallContext) -> Result<Name<'a>, Error> {
        match params::path_or_query(request, call, &self.param)? {
            Some(value) => Name::parse(value, self.hidden_files).ok_or_else(open::no_such_file),
            None if self.index.is_some() => Ok(Name::root()),
            None => {
                let detail = format!("the parameter `{}` is missing", self.param);
                Err(Error::bad_request(detail))
            }
        }
    }

    /// The answer for a folder: its index, or the way to the same place with a `/` at the end, without
    /// which the relative links of the index would lead elsewhere.
    fn folder(
        &self,
        session: &Session,
        folder: &open::Folder,
        name: &Name<'_>,
        request: &Request,
        call: &CallContext,
    ) -> Result<Response, Error> {
        let index = self.index.as_deref().ok_or_else(open::no_such_file)?;
        let in_folder = Name::parse(index.into(), true).ok_or_else(open::no_such_file)?;
        let Found::File(file) = session.open_in(folder, &in_folder, self.follow_symlinks)? else {
            return Err(open::no_such_file());
        };
        if let Some(target) = name.with_slash(request.uri()) {
            return send::moved(&target);
        }
        send::file(self, file, index, request, call)
    }
}

impl Adapter for Files {
    type Session = Session;

    fn open(&self) -> Result<Session, Error> {
        Session::open(&self.root)
    }

    fn call(
        &self,
        session: &mut Session,
        request: Request,
        call: &CallContext,
    ) -> Result<Response, Error> {
        if !METHODS.contains(request.method()) {
            return Err(Error::method_not_allowed(&METHODS));
        }
        let name = self.name(&request, call)?;
        let root = open::root(&self.root)?;
        match session.open_in(&root, &name, self.follow_symlinks)? {
            Found::Folder(folder) => self.folder(session, &folder, &name, &request, call),
            // `/a.txt/` is not `/a.txt`.
            Found::File(_) if name.is_folder() => Err(open::no_such_file()),
            Found::File(file) => send::file(self, file, name.last(), &request, call),
        }
    }
}
