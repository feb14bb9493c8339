//! MySQL, as MariaDB is.

use pontoon_tests::backends::MariaDb;

use crate::subject::Subject;

struct MySql {
    server: MariaDb,
    database: String,
}

impl MySql {
    fn location(&self, query: &str) -> String {
        format!(
            "adapter = 'mysql'\nserver = '{}'\nuser = '{}'\npassword = '{}'\ndatabase = '{}'\nquery = \"{query}\"",
            self.server.address(),
            MariaDb::USER,
            MariaDb::PASSWORD,
            self.database
        )
    }
}

impl Subject for MySql {
    fn start() -> Option<Self> {
        let server = MariaDb::start()?;
        let database = server.database();
        server.run(
            &database,
            "CREATE TABLE stored (value LONGTEXT COLLATE utf8mb4_bin)",
        );
        Some(Self { server, database })
    }

    fn echo(&self) -> String {
        self.location("SELECT :value AS value")
    }

    fn store(&self) -> String {
        self.location("INSERT INTO stored VALUES (:value) RETURNING value")
    }

    fn slow(&self) -> Option<String> {
        Some(self.location("SELECT SLEEP(:seconds::float8) AS value"))
    }

    fn is_at_work(&self) -> bool {
        self.server.running("SELECT SLEEP(%") > 0
    }

    fn sessions(&self) -> usize {
        self.server.sessions()
    }

    fn kill(&self) {
        self.server.kill();
    }

    fn restart(&self) {
        self.server.restart();
    }

    fn pause(&self) {
        self.server.pause();
    }

    fn resume(&self) {
        self.server.resume();
    }
}

crate::contract!(MySql);
