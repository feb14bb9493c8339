//! While a call fails for good, nothing tries it again without a pause.

use crate::client::{Client, Outcome};
use crate::quiet::{Limit, nothing_panicked};
use crate::server::start;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use pontoon_bridge::faults::{Faults, Lasts, Point};
use pontoon_tests::eventually;
use std::path::Path;
use std::thread;
use std::time::Duration;

/// What can fail once a server runs.
const POINTS: [Point; 6] = [
    Point::WakeWrite,
    Point::PollAdd,
    Point::Accept,
    Point::Read,
    Point::Write,
    Point::SessionOpen,
];

/// How long nothing happens but what the server does by itself.
const WINDOW: Duration = Duration::from_millis(500);
/// What spins uses all of the window on one CPU. A wake each few milliseconds is not a hundredth.
const CPU_MAX: Duration = Duration::from_millis(200);
/// Nor does a try that is repeated after a pause come this often.
const CALLS_MAX: u64 = 200;

pub fn nothing_spins_while_faults_last(database: &Path) {
    for point in POINTS {
        does_not_spin(point, database);
    }
}

fn does_not_spin(point: Point, database: &Path) {
    let _limit = Limit::for_case(format!("spinning {point:?}"));
    let running = start(database).unwrap();
    let address = running.local_addr().unwrap();
    let mut before = Client::connect(address);
    let answered = before.ask("GET", "/loop", "");
    assert!(
        matches!(answered, Outcome::Answered { status: 200, .. }),
        "{answered:?}"
    );

    let faults = Faults::inject(Some(point), 1, Lasts::ForGood);
    before.send("GET", "/db/1", "");
    let mut since = Vec::new();
    eventually(&format!("{point:?} is met"), || {
        // More than once: a loop that is awake needs no write to its wake fd.
        let mut client = Client::connect(address);
        client.send("POST", "/pool", "since");
        since.push(client);
        faults.report().injected > 0
    });
    // What was under way has met its fault, or is soon over.
    thread::sleep(WINDOW / 10);

    let (calls, used) = (faults.report().calls, cpu_used());
    thread::sleep(WINDOW);
    let (calls, used) = (faults.report().calls - calls, cpu_used() - used);
    assert!(calls < CALLS_MAX, "{point:?}: {calls} calls in {WINDOW:?}");
    assert!(used < CPU_MAX, "{point:?}: {used:?} of CPU in {WINDOW:?}");
    let report = running.stop();
    assert_eq!(report.loops_stuck, 0, "{point:?}: {report:?}");
    nothing_panicked();
}

/// CPU time of this process so far.
fn cpu_used() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    let micros = (usage.user_time() + usage.system_time()).num_microseconds();
    Duration::from_micros(micros.try_into().unwrap())
}
