//! The adapter against real files, in each of the ways to open them.

mod escapes;
mod oddities;
mod serving;

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::test_support::{get, request};
use crate::{ErrorKind, PathParams};

/// A folder with a `site` in it and secrets beside that, which goes with the test.
pub(super) struct Disk {
    folder: TempDir,
}

impl Disk {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let disk = Self { folder };
        fs::write(disk.path("secret.txt"), "secret").unwrap();
        disk.write("a.txt", "0123456789");
        disk.write("docs/index.html", "<p>docs");
        disk.write("docs/deep/page.html", "<p>page");
        disk
    }

    /// A path beside the site.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn site(&self) -> PathBuf {
        self.path("site")
    }

    pub(super) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.site().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(super) fn link(&self, target: impl AsRef<Path>, name: &str) {
        std::os::unix::fs::symlink(target, self.site().join(name)).unwrap();
    }

    pub(super) fn files(&self) -> Files {
        Files::new(self.site())
    }
}

/// What a GET of this name is answered, whichever way files are opened.
pub(super) fn fetch(files: &Files, name: &str) -> Result<Response, Error> {
    ask(files, get("/"), name)
}

/// What this request for this name is answered, whichever way files are opened.
pub(super) fn ask(files: &Files, request: Request, name: &str) -> Result<Response, Error> {
    let call = context(&[("path", name)]);
    let answer = |mut session: Session| files.call(&mut session, request.clone(), &call);
    let (one, other) = (answer(files.open()?), answer(Session::without_openat2()));
    match (&one, &other) {
        (Ok(one), Ok(other)) => {
            assert_eq!(one.status(), other.status(), "{name}");
            assert_eq!(one.body(), other.body(), "{name}");
        }
        (Err(one), Err(other)) => assert_eq!(one.kind(), other.kind(), "{name}"),
        _ => panic!("{name}: openat2 {one:?}, without it {other:?}"),
    }
    one
}

pub(super) fn context(path: &[(&str, &str)]) -> CallContext {
    let params: PathParams = path.iter().copied().collect();
    CallContext::new(params, pontoon_bridge::CallContext::detached(), 1)
}

/// A request for the file with one header.
pub(super) fn with_header(method: Method, name: http::HeaderName, value: &str) -> Request {
    let mut request = request(method, "/", None, "");
    let value = HeaderValue::from_str(value).unwrap();
    request.headers_mut().insert(name, value);
    request
}

pub(super) fn text(outcome: Result<Response, Error>) -> String {
    String::from_utf8(outcome.unwrap().body().to_vec()).unwrap()
}

pub(super) fn kind(outcome: Result<Response, Error>) -> ErrorKind {
    outcome.unwrap_err().kind()
}
