//! The whole text an operator sees, to the last caret.

use super::errors;

fn assert_shown(text: &str, expected: &str) {
    let shown = errors(text);
    assert_eq!(shown, expected.trim_start(), "\n--- shown ---\n{shown}\n");
}

#[test]
fn several_errors_are_shown_at_once_in_the_order_of_the_lines() {
    assert_shown(
        r#"listen = "127.0.0.1:8080"
max_connection = 100

[pool.db]
threads = "many"
session_idle = 60

[[location]]
path = "/users/{id}"
adapter = "store"
pool = "bd"
database = "users.db"
deadline = "quick"
"#,
        r#"
error: unknown key `max_connection`
 --> pontoon.toml:2:1
  |
2 | max_connection = 100
  | ^^^^^^^^^^^^^^
  |
  = help: did you mean `max_connections`?

error: `threads` must be "auto" or an integer from 1 to 4096, not `many`
 --> pontoon.toml:5:11
  |
5 | threads = "many"
  |           ^^^^^^

error: `session_idle` is a duration and needs a unit, 60 has none
 --> pontoon.toml:6:16
  |
6 | session_idle = 60
  |                ^^
  |
  = help: write "60s" for seconds or "60ms" for milliseconds

error: missing key `query`
 --> pontoon.toml:8:1
  |
8 | [[location]]
  | ^^^^^^^^^^^^
  |
  = help: `query` (text): the SQL to run

error: unknown pool `bd`
  --> pontoon.toml:11:8
   |
11 | pool = "bd"
   |        ^^^^
   |
   = help: did you mean `db`?

error: `deadline` is not a duration: `quick`
  --> pontoon.toml:13:12
   |
13 | deadline = "quick"
   |            ^^^^^^^
   |
   = help: write a number and its unit: "250ms", "30s", "5m", "1h", "1day"

pontoon.toml: 6 errors"#,
    );
}

#[test]
fn a_spin_that_is_none_is_shown_with_what_may_be() {
    assert_shown(
        r#"listen = "127.0.0.1:8080"
spin = "aut"

[pool.db]
spin = 50

[[location]]
path = "/"
adapter = "echo"
"#,
        r#"
error: `spin` must be "auto", "off" or a duration from 1us to 10ms, not `aut`
 --> pontoon.toml:2:8
  |
2 | spin = "aut"
  |        ^^^^^
  |
  = help: did you mean `auto`?

error: `spin` must be "auto", "off" or a duration from 1us to 10ms, not 50
 --> pontoon.toml:5:8
  |
5 | spin = 50
  |        ^^
  |
  = help: a duration is a number and its unit, such as "50us" or "1ms"

pontoon.toml: 2 errors"#,
    );
}

#[test]
fn an_admin_listener_in_the_wrong_place_is_shown() {
    let location = "[[location]]\npath = \"/\"\nadapter = \"echo\"\n";
    assert_shown(
        &format!("listen = \"127.0.0.1:8080\"\nadmin = \"127.0.0.1:8080\"\n{location}"),
        r#"
error: `admin` is the address that the public comes to
 --> pontoon.toml:2:9
  |
2 | admin = "127.0.0.1:8080"
  |         ^^^^^^^^^^^^^^^^
  |
  = help: give it a port of its own, as in "127.0.0.1:9090": it is for the operator only

pontoon.toml: 1 error"#,
    );
    assert_shown(
        &format!("listen = \"127.0.0.1:8080\"\nadmn = \":9090\"\nadmin = \":9090\"\n{location}"),
        r#"
error: unknown key `admn`
 --> pontoon.toml:2:1
  |
2 | admn = ":9090"
  | ^^^^
  |
  = help: did you mean `admin`?

error: cannot listen on `:9090`: the IP address is missing: 127.0.0.1 for this machine only, 0.0.0.0 for all its networks
 --> pontoon.toml:3:9
  |
3 | admin = ":9090"
  |         ^^^^^^^

pontoon.toml: 2 errors"#,
    );
}

#[test]
fn limits_of_a_location_are_shown_with_what_may_be() {
    assert_shown(
        r#"listen = "127.0.0.1:8080"
[pool.db]
threads = 2
max_queue = 6

[[location]]
path = "/a"
adapter = "store"
pool = "db"
database = "a.db"
query = "SELECT 1"
share = 9
client_key = "adress"
max_per_client = 0

[[location]]
path = "/b"
adapter = "store"
pool = "db"
database = "a.db"
query = "SELECT 1"
share = "150%"
max_per_clients = 4

[[location]]
path = "/c"
adapter = "echo"
share = "50%"
client_key = "address"
client_deadline = "no"
"#,
        r#"
error: `share` is 9, and the whole pool `db` has 8 places
  --> pontoon.toml:12:9
   |
12 | share = 9
   |         ^
   |
   = help: a pool has `threads` and `max_queue` together; for a part of it write "50%"

error: `adress` does not tell clients apart: write "address", or "header:NAME"
  --> pontoon.toml:13:14
   |
13 | client_key = "adress"
   |              ^^^^^^^^

error: `max_per_client` must be an integer from 1 to 1000000, not 0
  --> pontoon.toml:14:18
   |
14 | max_per_client = 0
   |                  ^

error: `share` must be an integer from 1 to 1004096, or "1%" to "100%", not `150%`
  --> pontoon.toml:22:9
   |
22 | share = "150%"
   |         ^^^^^^

error: unknown key `max_per_clients`
  --> pontoon.toml:23:1
   |
23 | max_per_clients = 4
   | ^^^^^^^^^^^^^^^
   |
   = help: did you mean `max_per_client`?

error: `share` is for adapters with a pool
  --> pontoon.toml:28:9
   |
28 | share = "50%"
   |         ^^^^^
   |
   = help: remove it; `max_running` bounds the calls of this location

error: `client_key` does nothing without `max_per_client`
  --> pontoon.toml:29:14
   |
29 | client_key = "address"
   |              ^^^^^^^^^
   |
   = help: add `max_per_client`, the calls that one client may have running or waiting

error: `client_deadline` must be true or false, not text
  --> pontoon.toml:30:19
   |
30 | client_deadline = "no"
   |                   ^^^^

pontoon.toml: 8 errors"#,
    );
}

#[test]
fn an_unknown_adapter_comes_with_the_nearest() {
    assert_shown(
        r#"listen = "127.0.0.1:8080"
[[location]]
path = "/"
adapter = "ehco"
"#,
        r#"
error: unknown adapter `ehco`
 --> pontoon.toml:4:11
  |
4 | adapter = "ehco"
  |           ^^^^^^
  |
  = help: did you mean `echo`?

pontoon.toml: 1 error"#,
    );
}

#[test]
fn conflicting_paths_are_both_shown() {
    assert_shown(
        r#"listen = "127.0.0.1:8080"
[[location]]
path = "/users/{id}"
adapter = "echo"
[[location]]
path = "/users/{name}"
adapter = "echo"
[[location]]
path = "/users/{id}"
adapter = "remote"
"#,
        r#"
error: the path `/users/{name}` conflicts with `/users/{id}`
 --> pontoon.toml:6:8
  |
3 | path = "/users/{id}"
  |        ------------- the other location
...
6 | path = "/users/{name}"
  |        ^^^^^^^^^^^^^^^
  |
  = help: the same requests would match both, and neither is more specific

error: two locations answer every method on the path `/users/{id}`
 --> pontoon.toml:9:8
  |
3 | path = "/users/{id}"
  |        ------------- the other location
...
9 | path = "/users/{id}"
  |        ^^^^^^^^^^^^^
  |
  = help: a path may have several locations, each with `methods` of its own

pontoon.toml: 2 errors"#,
    );
}

#[test]
fn what_is_not_toml_is_shown_the_same_way() {
    assert_shown(
        r#"listen = "127.0.0.1:8080"
[pool.db
threads = 4
[[location]]
deadline = 30s
"#,
        r#"
error: not valid TOML: unclosed table, expected `]`
 --> pontoon.toml:2:9
  |
2 | [pool.db
  |         ^

error: not valid TOML: string values must be quoted, expected literal string
 --> pontoon.toml:5:12
  |
5 | deadline = 30s
  |            ^^^

pontoon.toml: 2 errors"#,
    );
}

#[test]
fn an_empty_file_says_what_a_file_needs() {
    assert_shown(
        r#""#,
        r#"
error: missing key `listen`
--> pontoon.toml
 = help: add `listen = "127.0.0.1:8080"` at the top of the file, before the first [table], or give --listen

error: there is no location: nothing could be answered
--> pontoon.toml
 = help: add a `[[location]]` with a `path` and an `adapter`

pontoon.toml: 2 errors"#,
    );
}

#[test]
fn a_single_bracket_location_is_explained() {
    assert_shown(
        r#"listen = "127.0.0.1:8080"
[location]
path = "/"
adapter = "echo"
"#,
        r#"
error: `location` is a list, and this is a single table
 --> pontoon.toml:2:1
  |
2 | [location]
  | ^^^^^^^^^^
  |
  = help: write `[[location]]` with two brackets, once for each

pontoon.toml: 1 error"#,
    );
}
