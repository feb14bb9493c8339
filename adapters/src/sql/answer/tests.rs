//! What rows become in each format.

use super::*;
use crate::ErrorKind;

type Rows<'r> = &'r [&'r [Cell<'r>]];

fn columns(names: &[&str]) -> Columns {
    Columns::new(names.iter().map(|name| (*name).to_owned())).unwrap()
}

fn output(format: Format) -> Output {
    Output {
        format,
        ..Output::default()
    }
}

fn add(answer: &mut Answer<'_>, names: &[&str], rows: Rows<'_>) -> Result<(), Error> {
    let columns = columns(names);
    answer.begin(Some(&columns))?;
    for row in rows {
        if answer.row(&columns, |index| Ok(row[index]))? == Wants::Enough {
            break;
        }
    }
    answer.end(Done::default())
}

fn answered(output: &Output, names: &[&str], rows: Rows<'_>) -> Result<Response, Error> {
    let mut answer = Answer::new(output);
    add(&mut answer, names, rows)?;
    answer.finish()
}

fn body(format: Format, names: &[&str], rows: Rows<'_>) -> String {
    let response = answered(&output(format), names, rows).unwrap();
    String::from_utf8(response.body().to_vec()).unwrap()
}

const TWO: Rows<'_> = &[
    &[Cell::Integer(1), Cell::Text(b"Ada")],
    &[Cell::Integer(2), Cell::Null],
];

#[test]
fn each_format_has_its_shape_and_its_media_type() {
    for (format, expected, media_type) in [
        (
            Format::Array,
            r#"[{"id":1,"name":"Ada"},{"id":2,"name":null}]"#,
            "application/json",
        ),
        (
            Format::Object,
            r#"{"id":1,"name":"Ada"}"#,
            "application/json",
        ),
        (
            Format::Lines,
            "{\"id\":1,\"name\":\"Ada\"}\n{\"id\":2,\"name\":null}\n",
            "application/x-ndjson",
        ),
        (
            Format::Csv,
            "id,name\r\n1,Ada\r\n2,\r\n",
            "text/csv; charset=utf-8; header=present",
        ),
        (Format::Value, "1", "text/plain; charset=utf-8"),
        (Format::Raw, "1", "application/octet-stream"),
    ] {
        let response = answered(&output(format), &["id", "name"], TWO).unwrap();
        assert_eq!(response.body(), expected);
        assert_eq!(response.headers()["content-type"], media_type);
    }
    let none = answered(&output(Format::None), &["id", "name"], TWO).unwrap();
    assert_eq!(
        (none.status(), none.body().len()),
        (StatusCode::NO_CONTENT, 0)
    );
}

#[test]
fn types_survive_in_json() {
    let row: &[Cell<'_>] = &[
        Cell::Bool(true),
        Cell::Integer(i64::MIN),
        Cell::Unsigned(u64::MAX),
        Cell::Real(0.1),
        Cell::Real(f64::NAN),
        Cell::Decimal("12345678901234567890.10"),
        Cell::Decimal("NaN"),
        Cell::Json(br#"{"a": [1]}"#),
        Cell::Bytes(&[0, 255]),
        Cell::Text(b"\xff\""),
    ];
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
    let expected = "{\"a\":true,\"b\":-9223372036854775808,\"c\":18446744073709551615,\"d\":0.1,\"e\":null,\
                    \"f\":12345678901234567890.10,\"g\":null,\"h\":{\"a\": [1]},\"i\":\"AP8=\",\"j\":\"\u{fffd}\\\"\"}";
    assert_eq!(body(Format::Object, &names, &[row]), expected);
    let zero_filled: &[Cell<'_>] = &[Cell::Decimal("000012.50"), Cell::Decimal("0.50")];
    let expected = r#"{"a":12.50,"b":0.50}"#;
    assert_eq!(body(Format::Object, &["a", "b"], &[zero_filled]), expected);
    let texts = Output {
        decimals_are_texts: true,
        ..output(Format::Object)
    };
    let response = answered(&texts, &["n"], &[&[Cell::Decimal("1.10")]]).unwrap();
    assert_eq!(response.body(), r#"{"n":"1.10"}"#);
}

#[test]
fn csv_quotes_what_needs_it() {
    let row: &[Cell<'_>] = &[
        Cell::Text(b"a,b"),
        Cell::Text(b"say \"hi\""),
        Cell::Text(b"two\r\nlines"),
        Cell::Text(b""),
        Cell::Null,
        Cell::Text(b" x"),
        Cell::Bytes(&[0, 255]),
    ];
    let expected = "a,\"b,\"\"\",c,d,e,f,g\r\n\"a,b\",\"say \"\"hi\"\"\",\"two\r\nlines\",\"\",,\" x\",AP8=\r\n";
    assert_eq!(
        body(Format::Csv, &["a", "b,\"", "c", "d", "e", "f", "g"], &[row]),
        expected
    );
}

#[test]
fn no_rows_are_nothing_or_a_404() {
    assert_eq!(body(Format::Array, &["a"], &[]), "[]");
    assert_eq!(body(Format::Lines, &["a"], &[]), "");
    assert_eq!(body(Format::Csv, &["a"], &[]), "a\r\n");
    for format in [Format::Object, Format::Value, Format::Raw] {
        let error = answered(&output(format), &["a"], &[]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
    let gone = Output {
        no_rows: Some(StatusCode::GONE),
        ..output(Format::Array)
    };
    let response = answered(&gone, &["a"], &[]).unwrap();
    assert_eq!(
        (response.status(), &response.body()[..]),
        (StatusCode::GONE, &b"[]"[..])
    );
    let fine = Output {
        no_rows: Some(StatusCode::OK),
        ..output(Format::Object)
    };
    assert_eq!(answered(&fine, &["a"], &[]).unwrap().body(), "null");
}

#[test]
fn null_as_the_one_value_is_no_content() {
    let response = answered(&output(Format::Value), &["a"], &[&[Cell::Null]]).unwrap();
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
}

#[test]
fn raw_bytes_have_the_media_type_of_a_column() {
    let image = Output {
        content_type_column: Some("type".to_owned()),
        ..output(Format::Raw)
    };
    let row: &[Cell<'_>] = &[Cell::Text(b"image/png"), Cell::Bytes(&[0, 255])];
    let response = answered(&image, &["type", "data"], &[row]).unwrap();
    assert_eq!(response.headers()["content-type"], "image/png");
    assert_eq!(response.headers()["x-content-type-options"], "nosniff");
    assert_eq!(&response.body()[..], [0, 255]);
    let error = answered(&image, &["data"], &[&[Cell::Bytes(&[0])]]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal);
    let split: &[Cell<'_>] = &[Cell::Text(b"a\r\nb: c"), Cell::Null];
    assert!(answered(&image, &["type", "data"], &[split]).is_err());
}

#[test]
fn a_statement_without_rows_tells_what_it_changed() {
    let changed = |output: &Output, done| {
        let mut answer = Answer::new(output);
        answer.begin(None)?;
        answer.end(done)?;
        answer.finish()
    };
    let three = Done {
        changes: 3,
        last_insert_id: Some(7),
    };
    let created = Output {
        changes: StatusCode::CREATED,
        no_changes: Some(StatusCode::CONFLICT),
        ..Output::default()
    };
    let response = changed(&created, three).unwrap();
    assert_eq!(response.status(), StatusCode::CREATED);
    assert_eq!(response.body(), r#"{"changes":3,"last_insert_id":7}"#);
    let error = changed(&created, Done::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let response = changed(&Output::default(), Done::default()).unwrap();
    assert_eq!(response.body(), r#"{"changes":0}"#);
    let quiet = Output {
        changes: StatusCode::NO_CONTENT,
        ..Output::default()
    };
    assert!(changed(&quiet, three).unwrap().body().is_empty());
}

#[test]
fn of_several_results_the_last_with_rows_is_answered_or_all() {
    let run = |output: &Output| {
        let mut answer = Answer::new(output);
        add(&mut answer, &["a"], &[&[Cell::Integer(1)]])?;
        add(&mut answer, &["b"], &[&[Cell::Integer(2)]])?;
        answer.begin(None)?;
        answer.end(Done {
            changes: 4,
            last_insert_id: None,
        })?;
        answer.finish()
    };
    assert_eq!(run(&Output::default()).unwrap().body(), r#"[{"b":2}]"#);
    let all = Output {
        results: Results::All,
        ..Output::default()
    };
    let response = run(&all).unwrap();
    assert_eq!(response.body(), r#"[[{"a":1}],[{"b":2}],{"changes":4}]"#);
    assert_eq!(response.headers()["content-type"], "application/json");
}

#[test]
fn an_answer_that_is_too_large_is_an_error() {
    let small = Output {
        max_bytes: 16,
        ..Output::default()
    };
    let text = "x".repeat(17);
    let error = answered(&small, &["a"], &[&[Cell::Text(text.as_bytes())]]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal);
    assert!(error.detail().contains("16 bytes"), "{error}");
    assert!(answered(&small, &["a"], &[&[Cell::Text(b"123456")]]).is_ok());
}

#[test]
fn two_columns_of_one_name_are_refused() {
    let error = Columns::new(["a", "b", "a"].map(str::to_owned)).unwrap_err();
    assert_eq!(error.0, "a");
}

#[test]
fn a_json_document_of_several_lines_is_one_line_of_ndjson() {
    let document = Cell::Json(b"{\"a\":\r\n  1}");
    let lines = body(Format::Lines, &["doc"], &[&[document]]);
    assert_eq!(lines, "{\"doc\":{\"a\":    1}}\n");
}
