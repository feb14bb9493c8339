//! Which colons are parameters, and what the database gets.

use proptest::prelude::*;

use super::*;

fn parsed(sql: &str, dialect: Dialect) -> Statement {
    Statement::parse(sql, dialect).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

fn names(statement: &Statement) -> Vec<&str> {
    let parameters = statement.parameters().iter();
    parameters
        .map(|parameter| parameter.name.as_str())
        .collect()
}

fn refusal(sql: &str, dialect: Dialect) -> String {
    Statement::parse(sql, dialect).unwrap_err().message
}

#[test]
fn a_parameter_used_twice_is_sent_once_where_they_have_numbers() {
    let sql = "SELECT * FROM t WHERE a = :a OR b = :a OR c = :b";
    let postgres = parsed(sql, Dialect::POSTGRES);
    assert_eq!(
        postgres.text(),
        "SELECT * FROM t WHERE a = $1 OR b = $1 OR c = $2"
    );
    assert_eq!(
        (names(&postgres), postgres.placeholders()),
        (vec!["a", "b"], &[0, 1][..])
    );
    let sqlite = parsed(sql, Dialect::SQLITE);
    assert_eq!(
        sqlite.text(),
        "SELECT * FROM t WHERE a = ?1 OR b = ?1 OR c = ?2"
    );
    let mysql = parsed(sql, Dialect::MYSQL);
    assert_eq!(
        mysql.text(),
        "SELECT * FROM t WHERE a = ? OR b = ? OR c = ?"
    );
    assert_eq!(
        (names(&mysql), mysql.placeholders()),
        (vec!["a", "b"], &[0, 0, 1][..])
    );
}

#[test]
fn what_is_quoted_or_a_comment_has_no_parameters() {
    for sql in [
        "SELECT ':a'",
        "SELECT 'it''s :a'",
        r#"SELECT ":a""#,
        "SELECT 1 -- :a",
        "SELECT 1 /* :a */",
        "SELECT `:a`",
        "SELECT '12:30'",
    ] {
        for dialect in [
            Dialect::POSTGRES,
            Dialect::SQLITE,
            Dialect::MYSQL,
            Dialect::ODBC,
        ] {
            let statement = parsed(sql, dialect);
            assert_eq!((statement.text(), names(&statement)), (sql, vec![]));
        }
    }
}

#[test]
fn each_dialect_has_quotes_of_its_own() {
    for (sql, dialect) in [
        (r"SELECT E'\':a'", Dialect::POSTGRES),
        ("SELECT $$ :a $$, $x$ $$ :b $x$", Dialect::POSTGRES),
        ("SELECT /* /* */ :a */ 1", Dialect::POSTGRES),
        (r"SELECT '\':a'", Dialect::MYSQL),
        ("SELECT 1 # :a", Dialect::MYSQL),
    ] {
        assert_eq!(names(&parsed(sql, dialect)), [""; 0], "{sql}");
    }
    // The same texts end earlier elsewhere.
    assert_eq!(
        names(&parsed(r"SELECT '\', :a, ' '", Dialect::POSTGRES)),
        ["a"]
    );
    assert_eq!(names(&parsed("SELECT /* /* */ :a", Dialect::MYSQL)), ["a"]);
}

#[test]
fn casts_slices_and_assignments_are_no_parameters() {
    let statement = parsed("SELECT a::text, b[1:2], c[:n] FROM t", Dialect::POSTGRES);
    assert_eq!(statement.text(), "SELECT a::text, b[1:2], c[$1] FROM t");
    assert_eq!(names(&statement), ["n"]);
    assert_eq!(
        parsed("SELECT @x := 1", Dialect::MYSQL).text(),
        "SELECT @x := 1"
    );
}

#[test]
fn a_type_stays_where_the_database_knows_it_and_goes_elsewhere() {
    let sql = "SELECT :id::int8 + :n, :t::timestamptz";
    let postgres = parsed(sql, Dialect::POSTGRES);
    assert_eq!(postgres.text(), "SELECT $1::int8 + $2, $3::timestamptz");
    let mysql = parsed(sql, Dialect::MYSQL);
    assert_eq!(mysql.text(), "SELECT ? + ?, ?");
    for statement in [postgres, mysql] {
        let kinds: Vec<_> = statement.parameters().iter().map(|one| one.kind).collect();
        let integer = ValueKind::named("bigint").unwrap();
        assert_eq!(kinds, [integer, ValueKind::Any, ValueKind::Text]);
    }
    // Types that only PostgreSQL knows.
    assert_eq!(
        parsed("SELECT :b::box[]", Dialect::POSTGRES).text(),
        "SELECT $1::box[]"
    );
    let message = refusal("SELECT :b::box", Dialect::SQLITE);
    assert_eq!(
        message,
        "the type `box` of the parameter `b` is not known here"
    );
}

#[test]
fn one_use_may_name_the_type_for_all() {
    let statement = parsed("SELECT :n, :n::int", Dialect::MYSQL);
    assert_eq!(
        statement.parameters()[0].kind,
        ValueKind::named("int").unwrap()
    );
    let message = refusal("SELECT :n::int, :n::text", Dialect::POSTGRES);
    assert_eq!(message, "the parameter `n` has two types; give it one");
}

#[test]
fn dots_lead_into_objects() {
    let statement = parsed("SELECT :user.name.first, :a.", Dialect::ODBC);
    assert_eq!(statement.text(), "SELECT ?, ?.");
    assert_eq!(names(&statement), ["user.name.first", "a"]);
}

#[test]
fn one_statement_may_end_with_a_semicolon_and_no_more() {
    assert_eq!(
        parsed("SELECT 1; -- done\n", Dialect::SQLITE).text(),
        "SELECT 1"
    );
    let message = refusal("SELECT 1; SELECT 2", Dialect::POSTGRES);
    assert!(message.contains("more than one statement"), "{message}");
    for nothing in ["", " ", ";", "-- nothing", "/* */"] {
        assert!(
            refusal(nothing, Dialect::POSTGRES).contains("empty"),
            "{nothing}"
        );
    }
}

#[test]
fn what_does_not_end_is_named() {
    for (sql, what) in [
        ("SELECT 'a", "text"),
        ("SELECT \"a", "quoted name"),
        ("SELECT 1 /* a", "comment"),
        ("SELECT $a$ b", "$a$"),
    ] {
        assert!(refusal(sql, Dialect::POSTGRES).contains(what), "{sql}");
    }
}

#[test]
fn parameters_without_a_name_are_refused() {
    assert!(refusal("SELECT ?", Dialect::MYSQL).contains("`:name`"));
    for sql in ["SELECT ?1", "SELECT @a", "SELECT $a"] {
        assert!(refusal(sql, Dialect::SQLITE).contains("`:name`"), "{sql}");
    }
    assert_eq!(parsed("SELECT @a", Dialect::MYSQL).parameters(), []);
    assert!(refusal("SELECT $1", Dialect::POSTGRES).contains("`:name`"));
    // An operator of PostgreSQL's.
    assert_eq!(
        parsed("SELECT a ? 'b' FROM t", Dialect::POSTGRES).parameters(),
        []
    );
}

#[test]
fn what_a_database_reads_otherwise_is_read_as_it_does() {
    assert_eq!(names(&parsed("SELECT 5--1, :a", Dialect::MYSQL)), ["a"]);
    assert_eq!(names(&parsed("SELECT 5 -- 1, :a", Dialect::MYSQL)), [""; 0]);
    assert_eq!(
        names(&parsed("SELECT 5--1, :a", Dialect::POSTGRES)),
        [""; 0]
    );
    for code in ["SELECT 1 /*! INTO OUTFILE 'x' */", "SELECT 1 /*M! , 2 */"] {
        assert!(refusal(code, Dialect::MYSQL).contains("/*!"), "{code}");
        assert_eq!(parsed(code, Dialect::SQLITE).text(), code);
    }
    let sql = "SELECT a$b$ + :x + c$b$";
    assert_eq!(names(&parsed(sql, Dialect::POSTGRES)), ["x"]);
    assert_eq!(
        names(&parsed("SELECT 1 -- x\r, :a", Dialect::POSTGRES)),
        ["a"]
    );
}

#[test]
fn a_procedure_is_not_run_again_by_itself() {
    for sql in ["CALL p(:a)", "DO $$ $$", "call p()"] {
        assert!(parsed(sql, Dialect::POSTGRES).is_procedure(), "{sql}");
    }
    assert!(!parsed("SELECT f()", Dialect::POSTGRES).is_procedure());
}

#[test]
fn its_words_tell_whether_it_reads() {
    for reads in [
        "SELECT 1",
        "select * FROM t FOR UPDATE",
        "SELECT * FROM t FOR NO KEY UPDATE",
        "WITH x AS (SELECT 1) SELECT * FROM x",
        "VALUES (1)",
        "SELECT 'DELETE' -- INSERT",
        "SELECT \"update\" FROM t",
        "(SELECT 1)",
    ] {
        assert!(parsed(reads, Dialect::POSTGRES).reads(), "{reads}");
    }
    for writes in [
        "INSERT INTO t VALUES (1)",
        "WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x",
        "SELECT 1 INTO t",
        "CALL p()",
        "TRUNCATE t",
        "REPLACE t VALUES (1) RETURNING a",
        "/* SELECT */ UPDATE t SET a = 1",
    ] {
        assert!(!parsed(writes, Dialect::POSTGRES).reads(), "{writes}");
    }
}

proptest! {
    /// Whatever the text is: no panic, and what is not a parameter stays as it is.
    #[test]
    fn any_text_is_read_or_refused(sql in ".{0,60}") {
        for dialect in [Dialect::POSTGRES, Dialect::SQLITE, Dialect::MYSQL, Dialect::ODBC] {
            if let Ok(statement) = Statement::parse(&sql, dialect)
                && statement.parameters().is_empty()
                && !sql.contains(';')
            {
                prop_assert_eq!(statement.text(), sql.trim());
            }
        }
    }

    /// A value within quotes never becomes a parameter.
    #[test]
    fn a_quoted_text_hides_what_it_holds(text in "[^'\\\\]{0,40}") {
        let sql = format!("SELECT '{text}', :a");
        for dialect in [Dialect::POSTGRES, Dialect::SQLITE, Dialect::MYSQL, Dialect::ODBC] {
            let statement = Statement::parse(&sql, dialect).unwrap();
            prop_assert_eq!(statement.parameters().len(), 1);
        }
    }
}

#[test]
fn its_words_tell_whether_it_gives_back_what_it_changed() {
    for gives in [
        "INSERT INTO t VALUES (1) RETURNING id",
        "delete from t returning *",
        "WITH gone AS (DELETE FROM t RETURNING id) SELECT count(*) FROM gone",
    ] {
        assert!(parsed(gives, Dialect::POSTGRES).gives_changes(), "{gives}");
    }
    for gives_none in [
        "INSERT INTO t VALUES ('RETURNING')",
        "SELECT 1",
        "VACUUM",
        "CALL work()",
    ] {
        let statement = parsed(gives_none, Dialect::POSTGRES);
        assert!(!statement.gives_changes(), "{gives_none}");
    }
}

#[test]
fn a_parameter_may_be_an_array_where_the_database_has_them() {
    let statement = parsed("SELECT :ids::int8[]", Dialect::POSTGRES);
    assert_eq!(statement.text(), "SELECT $1::int8[]");
    assert_eq!(statement.parameters()[0].kind, ValueKind::Array);
    assert!(Statement::parse("SELECT :ids::int8[]", Dialect::SQLITE).is_err());
}
