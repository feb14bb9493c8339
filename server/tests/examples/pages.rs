//! The pages in `docs/` name things that are there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn page(name: &str) -> String {
    fs::read_to_string(root().join("docs").join(name)).unwrap()
}

/// The targets of a page's relative links, without their anchors.
fn links(page: &str) -> BTreeSet<&str> {
    page.split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', '#']).next())
        .filter(|target| !target.is_empty() && !target.contains("://"))
        .collect()
}

#[test]
fn every_relative_link_leads_somewhere() {
    for name in [
        "nginx-event-api.md",
        "ARCHITECTURE.md",
        "writing-an-adapter.md",
    ] {
        let page = page(name);
        let links = links(&page);
        assert!(!links.is_empty(), "{name} links nothing");
        for link in links {
            assert!(root().join("docs").join(link).exists(), "{name}: {link}");
        }
    }
}

#[test]
fn every_file_that_the_code_map_names_is_there() {
    let architecture = page("ARCHITECTURE.md");
    let mut named = 0;
    for word in architecture.split('`') {
        let is_path = [
            "bridge/",
            "adapters/",
            "server/",
            "tests/",
            "benches/",
            "examples/",
        ]
        .iter()
        .any(|top| word.starts_with(top));
        if is_path && !word.contains(['{', '*', ' ']) {
            assert!(root().join(word).exists(), "ARCHITECTURE.md: {word}");
            named += 1;
        }
    }
    assert!(named > 20, "the code map names {named} files only");
}

#[test]
fn the_nginx_page_shows_an_example_for_each_entry() {
    let page = page("nginx-event-api.md");
    let (_table, entries) = page.split_once("\n## ").expect("a table, then entries");
    for entry in entries.split("\n### ").skip(1) {
        let title = entry.lines().next().unwrap_or_default();
        assert!(entry.contains("](../examples/"), "no example: {title}");
    }
}

/// So that whatever the page says is compiled and run.
#[test]
fn the_code_of_the_page_on_adapters_is_that_of_the_examples() {
    let examples: String = fs::read_dir(root().join("examples"))
        .unwrap()
        .map(|file| fs::read_to_string(file.unwrap().path()).unwrap())
        .collect();
    let page = page("writing-an-adapter.md");
    let mut blocks = 0;
    for block in page.split("```rust\n").skip(1) {
        let (code, _) = block.split_once("```").expect("a block that ends");
        assert!(examples.contains(code.trim_end()), "in no example:\n{code}");
        blocks += 1;
    }
    assert!(blocks > 5, "only {blocks} blocks");
}
