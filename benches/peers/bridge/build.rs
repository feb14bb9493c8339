//! Compiles the libuv peer, a C program of its own, where libuv's headers are found. Where they are
//! not the peer is left out, and the report says so.

use std::env;
use std::path::Path;
use std::process::Command;

const SOURCE: &str = "libuv/peer.c";

fn main() {
    println!("cargo::rerun-if-changed={SOURCE}");
    println!("cargo::rerun-if-env-changed=CC");
    let Some(flags) = libuv_flags() else {
        println!("cargo::warning=no libuv headers: the libuv peer is left out (libuv1-dev)");
        return;
    };
    let folder = env::var("OUT_DIR").expect("cargo sets it");
    let program = Path::new(&folder).join("libuv-peer");
    let compiler = env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let compiled = Command::new(&compiler)
        .args(["-std=gnu11", "-O2", "-Wall", "-Wextra", SOURCE, "-o"])
        .arg(&program)
        .args(flags)
        .status();
    match compiled {
        Ok(status) if status.success() => {
            println!("cargo::rustc-env=LIBUV_PEER={}", program.display());
        }
        Ok(status) => panic!("{compiler} {SOURCE}: {status}"),
        Err(error) => panic!("the libuv peer needs a C compiler; {compiler}: {error}"),
    }
}

/// How to compile and link with libuv, if it is there.
fn libuv_flags() -> Option<Vec<String>> {
    let found = Command::new("pkg-config")
        .args(["--cflags", "--libs", "libuv"])
        .output();
    if let Ok(output) = found
        && output.status.success()
    {
        let flags = String::from_utf8(output.stdout).ok()?;
        return Some(flags.split_whitespace().map(str::to_owned).collect());
    }
    Path::new("/usr/include/uv.h")
        .exists()
        .then(|| vec!["-luv".to_owned(), "-lpthread".to_owned()])
}
