//! Disks that change under the adapter's feet, calls that nobody waits for, and nothing left behind.

use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::*;
use crate::test_support::Stoppable;

fn open_descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn a_root_that_is_replaced_is_seen_at_once() {
    let disk = Disk::new();
    let link = disk.path("current");
    std::os::unix::fs::symlink(disk.site(), &link).unwrap();
    let files = Files::new(&link);
    let mut session = files.open().unwrap();
    let call = context(&[("path", "a.txt")]);
    let before = files.call(&mut session, get("/"), &call);
    assert_eq!(text(before), "0123456789");
    fs::create_dir(disk.path("next")).unwrap();
    fs::write(disk.path("next/a.txt"), "next").unwrap();
    std::os::unix::fs::symlink(disk.path("next"), disk.path("link")).unwrap();
    fs::rename(disk.path("link"), &link).unwrap();
    assert_eq!(text(files.call(&mut session, get("/"), &call)), "next");
}

#[test]
fn a_root_that_is_gone_is_a_502_and_back_again_it_works() {
    let disk = Disk::new();
    let files = disk.files();
    let mut session = files.open().unwrap();
    let call = context(&[("path", "a.txt")]);
    fs::rename(disk.site(), disk.path("away")).unwrap();
    let gone = files.call(&mut session, get("/"), &call).unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::BadGateway);
    assert!(!gone.detail().contains("site"), "{gone}");
    let source = std::error::Error::source(&gone).unwrap().to_string();
    assert!(source.contains("site"), "{source}");
    assert_eq!(
        kind(files.open().map(|_| Response::default())),
        ErrorKind::BadGateway
    );
    fs::rename(disk.path("away"), disk.site()).unwrap();
    assert!(files.call(&mut session, get("/"), &call).is_ok());
}

#[test]
fn what_may_not_be_read_is_forbidden() {
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        // Past the harness, which would keep it to itself.
        let _ = writeln!(
            std::io::stderr(),
            "a test of `file` is skipped: root may read every file"
        );
        return;
    }
    let disk = Disk::new();
    let locked = fs::Permissions::from_mode(0o000);
    fs::set_permissions(disk.site().join("a.txt"), locked).unwrap();
    assert_eq!(kind(fetch(&disk.files(), "a.txt")), ErrorKind::Forbidden);
}

#[test]
fn a_call_that_nobody_waits_for_reads_nothing() {
    let disk = Disk::new();
    let files = disk.files();
    let stoppable = Stoppable::new(None);
    let call = stoppable.call([("path", "a.txt")].into_iter().collect());
    stoppable.stop();
    let mut session = files.open().unwrap();
    let outcome = files.call(&mut session, get("/"), &call);
    assert_eq!(kind(outcome), ErrorKind::Unavailable);
}

#[test]
fn a_hole_of_many_gigabytes_is_not_put_into_memory() {
    let disk = Disk::new();
    disk.write("hole", "");
    let file = fs::File::options()
        .write(true)
        .open(disk.site().join("hole"));
    file.unwrap().set_len(1 << 40).unwrap();
    assert_eq!(kind(fetch(&disk.files(), "hole")), ErrorKind::Internal);
    let range = format!("bytes={}-", (1_u64 << 40) - 3);
    let request = with_header(Method::GET, http::header::RANGE, &range);
    assert_eq!(text(ask(&disk.files(), request, "hole")), "\0\0\0");
}

#[test]
fn many_calls_good_and_bad_leave_no_descriptor_open() {
    let disk = Disk::new();
    disk.link("/dev/zero", "zero");
    let files = disk.files().index("index.html").follow_symlinks(true);
    let names = [
        "a.txt",
        "docs/",
        "docs",
        "docs/deep/",
        "zero",
        "none",
        "../secret.txt",
    ];
    let mut sessions = [files.open().unwrap(), Session::without_openat2()];
    let calls = names.map(|name| context(&[("path", name)]));
    let mut rounds = |count: usize| {
        for round in 0..count {
            for call in &calls {
                drop(files.call(&mut sessions[round % 2], get("/"), call));
            }
        }
    };
    rounds(10);
    // Other tests of this process open and close files meanwhile: a leak would be of thousands.
    let before = open_descriptors();
    rounds(2000);
    let after = open_descriptors();
    assert!(after < before + 500, "{before} descriptors, then {after}");
}
