//! What browsers and caches get.

use http::StatusCode;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_MATCH,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, LOCATION, RANGE,
};

use super::*;

#[test]
fn a_file_comes_with_its_type_and_its_version() {
    let disk = Disk::new();
    let files = disk
        .files()
        .cache_control(HeaderValue::from_static("no-cache"));
    let response = fetch(&files, "docs/deep/page.html").unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.body(), "<p>page");
    let headers = response.headers();
    assert_eq!(headers[CONTENT_TYPE], "text/html; charset=utf-8");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert_eq!(headers[ACCEPT_RANGES], "bytes");
    assert_eq!(headers[CACHE_CONTROL], "no-cache");
    assert!(headers.contains_key(ETAG) && headers.contains_key(LAST_MODIFIED));
}

#[test]
fn any_bytes_come_as_they_are_also_none() {
    let disk = Disk::new();
    let bytes: Vec<u8> = (0..1_000_000_u32).map(|at| (at * 7 % 251) as u8).collect();
    disk.write("large.bin", &bytes);
    disk.write("empty", "");
    let large = fetch(&disk.files(), "large.bin").unwrap();
    assert_eq!(large.body()[..], bytes[..]);
    let empty = fetch(&disk.files(), "empty").unwrap();
    assert_eq!((empty.status(), empty.body().len()), (StatusCode::OK, 0));
}

#[test]
fn what_a_client_has_is_not_sent_again() {
    let disk = Disk::new();
    let files = disk.files();
    let first = fetch(&files, "a.txt").unwrap();
    for (name, held) in [
        (IF_NONE_MATCH, &first.headers()[ETAG]),
        (IF_MODIFIED_SINCE, &first.headers()[LAST_MODIFIED]),
    ] {
        let request = with_header(Method::GET, name, held.to_str().unwrap());
        let response = ask(&files, request, "a.txt").unwrap();
        assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
        assert!(response.body().is_empty());
        assert_eq!(response.headers()[ETAG], first.headers()[ETAG]);
    }
    let tag = first.headers()[ETAG].to_str().unwrap();
    disk.write("a.txt", "something new");
    let request = with_header(Method::GET, IF_NONE_MATCH, tag);
    assert_eq!(text(ask(&files, request, "a.txt")), "something new");
    let request = with_header(Method::GET, IF_MATCH, tag);
    let refused = ask(&files, request, "a.txt").unwrap();
    assert_eq!(refused.status(), StatusCode::PRECONDITION_FAILED);
}

#[test]
fn a_part_is_sent_with_its_place() {
    let disk = Disk::new();
    let part = |range: &str| {
        let request = with_header(Method::GET, RANGE, range);
        let response = ask(&disk.files(), request, "a.txt").unwrap();
        let place = response.headers().get(CONTENT_RANGE).cloned();
        let place = place.map(|place| place.to_str().unwrap().to_owned());
        let body = String::from_utf8(response.body().to_vec()).unwrap();
        (response.status().as_u16(), place.unwrap_or_default(), body)
    };
    let is = |status, place: &str, body: &str| (status, place.to_owned(), body.to_owned());
    assert_eq!(part("bytes=2-4"), is(206, "bytes 2-4/10", "234"));
    assert_eq!(part("bytes=8-"), is(206, "bytes 8-9/10", "89"));
    assert_eq!(part("bytes=-1"), is(206, "bytes 9-9/10", "9"));
    assert_eq!(part("bytes=10-"), is(416, "bytes */10", ""));
    assert_eq!(part("bytes=0-1,3-4"), is(200, "", "0123456789"));
    assert_eq!(part("nonsense"), is(200, "", "0123456789"));
}

#[test]
fn a_part_of_another_version_is_not_sent() {
    let disk = Disk::new();
    let mut request = with_header(Method::GET, RANGE, "bytes=2-4");
    let other = HeaderValue::from_static("\"other\"");
    request.headers_mut().insert(IF_RANGE, other);
    assert_eq!(text(ask(&disk.files(), request, "a.txt")), "0123456789");
}

#[test]
fn head_tells_the_length_and_reads_nothing() {
    let disk = Disk::new();
    let files = disk.files().max_response_bytes(3);
    let request = with_header(Method::HEAD, RANGE, "bytes=2-4");
    let response = ask(&files, request, "a.txt").unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.body().is_empty());
    assert_eq!(response.headers()[CONTENT_LENGTH], "10");
    assert_eq!(
        response.headers()[CONTENT_TYPE],
        "text/plain; charset=utf-8"
    );
}

#[test]
fn other_methods_are_refused() {
    let disk = Disk::new();
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
        let outcome = ask(&disk.files(), request(method, "/", None, ""), "a.txt");
        assert!(matches!(kind(outcome), ErrorKind::MethodNotAllowed(_)));
    }
}

#[test]
fn of_a_file_that_is_too_large_parts_can_be_had() {
    let disk = Disk::new();
    let files = disk.files().max_response_bytes(4);
    let error = fetch(&files, "a.txt").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal);
    assert!(error.detail().contains("4 bytes at most"), "{error}");
    let request = with_header(Method::GET, RANGE, "bytes=3-6");
    assert_eq!(text(ask(&files, request, "a.txt")), "3456");
    let request = with_header(Method::GET, RANGE, "bytes=3-7");
    assert_eq!(kind(ask(&files, request, "a.txt")), ErrorKind::Internal);
}

#[test]
fn a_folder_is_its_index_or_nothing() {
    let disk = Disk::new();
    for name in ["docs", "docs/", ""] {
        assert_eq!(
            kind(fetch(&disk.files(), name)),
            ErrorKind::NotFound,
            "{name}"
        );
    }
    let files = disk.files().index("index.html");
    assert_eq!(text(fetch(&files, "docs/")), "<p>docs");
    assert_eq!(kind(fetch(&files, "docs/deep/")), ErrorKind::NotFound);
    assert_eq!(kind(fetch(&files, "a.txt/")), ErrorKind::NotFound);
    disk.write("index.html", "<p>home");
    assert_eq!(text(fetch(&files, "")), "<p>home");
    let mut session = files.open().unwrap();
    let home = files.call(&mut session, get("/"), &context(&[]));
    assert_eq!(text(home), "<p>home");
}

#[test]
fn a_folder_without_its_slash_is_a_redirect_that_no_host_name_can_hide_in() {
    let disk = Disk::new();
    let files = disk.files().index("index.html");
    for (target, location) in [
        ("/s/docs?a=b", "./docs/?a=b"),
        ("//evil.example/docs", "./docs/"),
    ] {
        let response = ask(&files, get(target), "docs").unwrap();
        assert_eq!(response.status(), StatusCode::MOVED_PERMANENTLY);
        assert_eq!(response.headers()[LOCATION], location);
    }
    // Named elsewhere than at the end of the path, there is no such other place.
    assert_eq!(text(ask(&files, get("/get"), "docs")), "<p>docs");
}

#[test]
fn the_name_may_come_from_the_query_string() {
    let disk = Disk::new();
    let files = disk.files().param("name");
    let mut session = files.open().unwrap();
    let mut call = |target: &str| files.call(&mut session, get(target), &context(&[]));
    assert_eq!(text(call("/get?name=docs%2Findex.html")), "<p>docs");
    assert_eq!(kind(call("/get?name=..%2Fsecret.txt")), ErrorKind::NotFound);
    assert_eq!(kind(call("/get?name=a.txt%00")), ErrorKind::NotFound);
    let missing = call("/get").unwrap_err();
    assert_eq!(missing.detail(), "the parameter `name` is missing");
}
