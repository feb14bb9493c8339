//! SQLite: a library and a file. A lock on the file is what makes it hang, and moving it away what ends it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Mutex;

use rusqlite::Connection;
use tempfile::TempDir;

use crate::subject::Subject;

struct Sqlite {
    folder: TempDir,
    /// Holds the lock while it is there.
    locker: Mutex<Option<Connection>>,
}

impl Sqlite {
    fn path(&self) -> PathBuf {
        self.folder.path().join("data.db")
    }

    fn away(&self) -> PathBuf {
        self.folder.path().join("away.db")
    }

    fn location(&self, query: &str) -> String {
        format!(
            "adapter = 'sqlite'\ndatabase = {:?}\nquery = \"{query}\"",
            self.path()
        )
    }
}

impl Subject for Sqlite {
    const IS_SERVER: bool = false;

    fn start() -> Option<Self> {
        let sqlite = Self {
            folder: tempfile::tempdir().unwrap(),
            locker: Mutex::default(),
        };
        let connection = Connection::open(sqlite.path()).unwrap();
        let schema =
            "CREATE TABLE one (id); INSERT INTO one VALUES (1); CREATE TABLE stored (value);";
        connection.execute_batch(schema).unwrap();
        Some(sqlite)
    }

    fn echo(&self) -> String {
        // From a table, so that it needs the lock.
        self.location("SELECT :value AS value FROM one")
    }

    fn store(&self) -> String {
        self.location("INSERT INTO stored VALUES (:value) RETURNING value")
    }

    fn slow(&self) -> Option<String> {
        Some(self.location(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :seconds * 10000000) \
             SELECT max(i) AS last, (SELECT id FROM one) AS one FROM n",
        ))
    }

    fn pool_keys(&self) -> &'static str {
        // A file that was moved is noticed by the check only.
        "session_check_after = '0s'"
    }

    /// A statement that reads has a lock on the file, which the system lists.
    fn is_at_work(&self) -> bool {
        let inode = fs::metadata(self.path()).unwrap().ino();
        let locks = fs::read_to_string("/proc/locks").unwrap();
        locks.contains(&format!(":{inode} "))
    }

    /// Each has the file open.
    fn sessions(&self) -> usize {
        let descriptors = fs::read_dir("/proc/self/fd").unwrap();
        let paths = descriptors.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        paths.filter(|path| *path == self.path()).count()
    }

    fn kill(&self) {
        fs::rename(self.path(), self.away()).unwrap();
    }

    fn restart(&self) {
        fs::rename(self.away(), self.path()).unwrap();
    }

    fn pause(&self) {
        let locker = Connection::open(self.path()).unwrap();
        locker.execute_batch("BEGIN EXCLUSIVE").unwrap();
        *self.locker.lock().unwrap() = Some(locker);
    }

    fn resume(&self) {
        *self.locker.lock().unwrap() = None;
    }
}

crate::contract!(Sqlite);
