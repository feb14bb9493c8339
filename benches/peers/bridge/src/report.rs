//! The tables.

use crate::bars;
use crate::case::{Best, Case, Figure};
use crate::peers::{LIBUV_PEER, Peer};
use crate::runs::Counter;
use crate::work::Kind;
use std::process::Command;

/// What all ratios are to.
pub(crate) const BASE: Peer = Peer::Tokio;

/// What holds for all cases.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    pub(crate) cpus: usize,
    pub(crate) spin_iterations: u64,
    pub(crate) counter: Option<Counter>,
}

/// All that was measured, as Markdown.
pub(crate) fn markdown(cases: &[Case], setting: Setting) -> String {
    let cpus = setting.cpus;
    let mut text = notes(setting);
    for (kind, title) in [
        (Kind::Noop, "Calls that do nothing"),
        (Kind::Cpu, "Calls of 5 µs of CPU"),
        (Kind::Sleep, "Calls that sleep for 1 ms"),
    ] {
        let of_kind: Vec<_> = cases.iter().filter(|case| case.cell.kind == kind).collect();
        if !of_kind.is_empty() {
            text += &format!("\n## {title}\n\n");
            text += &table(&of_kind, kind, cpus);
        }
    }
    text += "\n## Bars\n\n";
    text += &bars::table(&bars::judge(cases, cpus));
    text
}

/// What a reader must know of this run.
fn notes(setting: Setting) -> String {
    let mut text = match setting.counter {
        Some(counter) => format!("- eventfd writes: counted with {}\n", counter.name()),
        None => "- eventfd writes: not counted, neither perf nor strace works here\n".to_owned(),
    };
    text += &format!("- 5 µs of CPU: {} steps\n", setting.spin_iterations);
    for peer in Peer::ALL {
        if let Some(why) = peer.missing() {
            text += &format!("- {}: left out, {why}\n", peer.name());
        }
    }
    if let Some(version) = libuv_version() {
        text += &format!("- libuv {version}\n");
    }
    text
}

fn libuv_version() -> Option<String> {
    let output = Command::new(LIBUV_PEER?).arg("--version").output().ok()?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

fn table(cases: &[&Case], kind: Kind, cpus: usize) -> String {
    let mut titles = vec!["K", "W", "peer"];
    titles.extend(Figure::ALL.map(Figure::title));
    if kind == Kind::Cpu {
        titles.push("% of ideal");
    }
    let mut text = row(&titles);
    text += &format!("| --: | --: | --- |{}\n", " --: |".repeat(titles.len() - 3));
    for case in cases {
        let (in_flight, workers) = (
            case.cell.in_flight.to_string(),
            case.cell.workers.to_string(),
        );
        for peer in case.peers() {
            let mut cells = vec![in_flight.clone(), workers.clone(), peer.name().to_owned()];
            cells.extend(Figure::ALL.map(|figure| with_ratio(case, peer, figure)));
            if kind == Kind::Cpu {
                let share = case.share_of_ideal(peer, cpus);
                cells.push(or_dash(share.map(|share| format!("{:.0}", share * 100.0))));
            }
            text += &row(&cells);
        }
        if kind == Kind::Sleep
            && let Some((peer, us)) = case.best_other(Figure::CpuUs, Best::Least)
        {
            let mut cells = vec![in_flight, workers, format!("best peer: {}", peer.name())];
            cells.extend(Figure::ALL.map(|figure| match figure {
                Figure::CpuUs => show(figure, us),
                _ => String::new(),
            }));
            text += &row(&cells);
        }
    }
    text
}

/// One line of a table.
pub(crate) fn row(cells: &[impl AsRef<str>]) -> String {
    let cells: Vec<_> = cells.iter().map(AsRef::as_ref).collect();
    format!("| {} |\n", cells.join(" | "))
}

fn with_ratio(case: &Case, peer: Peer, figure: Figure) -> String {
    or_dash(case.median(peer, figure).map(|value| {
        let ratio = case.ratio(peer, BASE, figure);
        match ratio.filter(|ratio| ratio.is_finite()) {
            Some(ratio) => format!("{} (×{})", show(figure, value), short(ratio)),
            None => show(figure, value),
        }
    }))
}

pub(crate) fn or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "–".to_owned())
}

/// A value as people read it.
pub(crate) fn show(figure: Figure, value: f64) -> String {
    match figure {
        Figure::CallsPerSecond if value >= 1e6 => format!("{:.2}M", value / 1e6),
        Figure::CallsPerSecond if value >= 1e4 => format!("{:.0}k", value / 1e3),
        Figure::CallsPerSecond => format!("{value:.0}"),
        Figure::Allocations => format!("{value:.2}"),
        Figure::Switches | Figure::Writes if value < 0.0005 => "0".to_owned(),
        Figure::Switches | Figure::Writes => format!("{value:.3}"),
        Figure::P50 | Figure::P99 | Figure::P999 | Figure::CpuUs => short(value),
    }
}

/// About three digits.
pub(crate) fn short(value: f64) -> String {
    match value {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::tests::case;

    #[test]
    fn a_table_shows_each_peer_beside_tokio_and_a_dash_for_what_was_not_counted() {
        let case = case(
            Kind::Noop,
            1,
            4,
            &[(Peer::Tokio, 10_000), (Peer::Smol, 20_000)],
        );
        let text = table(&[&case], Kind::Noop, 2);
        assert!(text.contains("| 1 | 4 | smol | 20k (×2.00) |"), "{text}");
        assert!(text.contains("– |\n"), "{text}");
        assert!(!text.contains("% of ideal"), "{text}");
    }

    #[test]
    fn calls_of_cpu_time_are_shown_beside_the_ideal() {
        let case = case(Kind::Cpu, 256, 4, &[(Peer::Tokio, 100_000)]);
        let text = table(&[&case], Kind::Cpu, 2);
        assert!(text.ends_with("| 25 |\n"), "{text}");
    }

    #[test]
    fn the_best_peer_of_sleeping_calls_has_a_row() {
        let peers = [
            (Peer::Pontoon, 4_000),
            (Peer::Tokio, 2_000),
            (Peer::Smol, 3_000),
        ];
        let text = table(&[&case(Kind::Sleep, 1, 4, &peers)], Kind::Sleep, 2);
        assert!(text.contains("| best peer: smol |"), "{text}");
    }

    #[test]
    fn values_have_about_three_digits() {
        assert_eq!(show(Figure::CallsPerSecond, 3_456_789.0), "3.46M");
        assert_eq!(show(Figure::CallsPerSecond, 27_123.0), "27k");
        assert_eq!(show(Figure::P50, 12.345), "12.3");
        assert_eq!(show(Figure::Writes, 0.0001), "0");
    }
}
