//! PostgreSQL, on its port.

use pontoon_tests::backends::Postgres as Server;

use crate::subject::Subject;

struct Postgres {
    server: Server,
    database: String,
}

impl Postgres {
    fn location(&self, query: &str) -> String {
        let url = self.server.url(&self.database);
        format!("adapter = 'postgres'\nurl = '{url}'\nquery = '{query}'")
    }
}

impl Subject for Postgres {
    fn start() -> Option<Self> {
        let server = Server::start()?;
        let database = server.database();
        let schema = format!(
            "SET ROLE {}; CREATE TABLE stored (value text)",
            Server::USER
        );
        server.run(&database, &schema);
        Some(Self { server, database })
    }

    fn echo(&self) -> String {
        self.location("SELECT :value::text AS value")
    }

    fn store(&self) -> String {
        self.location("INSERT INTO stored VALUES (:value::text) RETURNING value")
    }

    fn slow(&self) -> Option<String> {
        Some(self.location("SELECT pg_sleep(:seconds::float8)"))
    }

    fn is_at_work(&self) -> bool {
        self.server.running("%pg_sleep%") > 0
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

crate::contract!(Postgres);
