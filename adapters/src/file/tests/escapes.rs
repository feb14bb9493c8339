//! Nothing outside the root is served, and nothing in it that is not a plain file.

use std::os::unix::net::UnixListener;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::*;

#[test]
fn no_name_leads_out_of_the_root() {
    let disk = Disk::new();
    let secret = disk.path("secret.txt");
    let names = [
        "../secret.txt",
        "docs/../../secret.txt",
        "docs/../a.txt",
        "./a.txt",
        "..",
        "../",
        "/etc/passwd",
        "//etc/passwd",
        secret.to_str().unwrap(),
        "a.txt\0.html",
        "\0",
        "..\\secret.txt",
        "%2e%2e/secret.txt",
        "docs//index.html",
    ];
    for name in names {
        assert_eq!(
            kind(fetch(&disk.files(), name)),
            ErrorKind::NotFound,
            "{name:?}"
        );
    }
    let long = "x/".repeat(3000);
    assert_eq!(kind(fetch(&disk.files(), &long)), ErrorKind::NotFound);
    let long = "x".repeat(100_000);
    assert_eq!(kind(fetch(&disk.files(), &long)), ErrorKind::NotFound);
}

#[test]
fn links_are_not_followed_unless_that_is_wanted() {
    let disk = Disk::new();
    disk.link("../secret.txt", "relative");
    disk.link(disk.path("secret.txt"), "absolute");
    disk.link("a.txt", "inside");
    disk.link("../site", "folder");
    disk.link("loop", "loop");
    let follows = disk.files().follow_symlinks(true);
    for (name, found) in [
        ("relative", "secret"),
        ("absolute", "secret"),
        ("inside", "0123456789"),
        ("folder/a.txt", "0123456789"),
        ("folder/folder/relative", "secret"),
    ] {
        assert_eq!(
            kind(fetch(&disk.files(), name)),
            ErrorKind::NotFound,
            "{name}"
        );
        assert_eq!(text(fetch(&follows, name)), found, "{name}");
    }
    for files in [disk.files(), follows] {
        assert_eq!(kind(fetch(&files, "loop")), ErrorKind::NotFound);
        assert_eq!(kind(fetch(&files, "../secret.txt")), ErrorKind::NotFound);
    }
}

#[test]
fn an_index_that_is_a_link_is_not_followed_either() {
    let disk = Disk::new();
    fs::create_dir(disk.site().join("linked")).unwrap();
    disk.link("../../secret.txt", "linked/index.html");
    let files = disk.files().index("index.html");
    assert_eq!(kind(fetch(&files, "linked/")), ErrorKind::NotFound);
    assert_eq!(kind(fetch(&files, "linked")), ErrorKind::NotFound);
}

#[test]
fn a_link_that_is_swapped_in_during_the_lookup_is_never_followed() {
    let disk = Disk::new();
    disk.write("swap/secret.txt", "public");
    disk.link("..", "link");
    let (folder, link) = (disk.site().join("swap"), disk.site().join("link"));
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let aside = disk.site().join("aside");
            // Relaxed: nothing else is told by it.
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                for (from, to) in [
                    (&folder, &aside),
                    (&link, &folder),
                    (&folder, &link),
                    (&aside, &folder),
                ] {
                    fs::rename(from, to).unwrap();
                }
            }
        });
        let call = context(&[("path", "swap/secret.txt")]);
        let files = disk.files();
        let mut sessions = [files.open().unwrap(), Session::without_openat2()];
        for round in 0..4000 {
            if let Ok(response) = files.call(&mut sessions[round % 2], get("/"), &call) {
                assert_eq!(response.body(), "public");
            }
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn a_fifo_a_socket_or_a_device_neither_answers_nor_hangs() {
    let disk = Disk::new();
    mkfifo(&disk.site().join("fifo"), Mode::S_IRWXU).unwrap();
    let _socket = UnixListener::bind(disk.site().join("socket")).unwrap();
    disk.link("/dev/zero", "zero");
    disk.link("/proc/self/fd/0", "magic");
    let follows = disk.files().follow_symlinks(true);
    for name in ["fifo", "socket", "zero"] {
        assert_eq!(
            kind(fetch(&disk.files(), name)),
            ErrorKind::NotFound,
            "{name}"
        );
        assert_eq!(kind(fetch(&follows, name)), ErrorKind::NotFound, "{name}");
    }
    assert_eq!(kind(fetch(&disk.files(), "magic")), ErrorKind::NotFound);
}

#[test]
fn hidden_files_are_there_for_who_asks_for_them() {
    let disk = Disk::new();
    disk.write(".git/config", "hidden");
    disk.write(".well-known/security.txt", "known");
    let path = ".git/config";
    assert_eq!(kind(fetch(&disk.files(), path)), ErrorKind::NotFound);
    assert_eq!(
        text(fetch(&disk.files().hidden_files(true), path)),
        "hidden"
    );
    let known = fetch(&disk.files(), ".well-known/security.txt");
    assert_eq!(text(known), "known");
}
