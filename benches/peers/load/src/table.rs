//! A scenario's figures: medians of the rounds, as a table, and the bars that they are held to.

use std::fmt::Write;

/// What one run of one server gave, in the order of the columns; `None` is not measured, infinity is
/// never.
pub type Figures = Vec<Option<f64>>;

/// A column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// What stands above it.
    pub title: &'static str,
    /// Decimals.
    pub decimals: usize,
}

/// A column with so many decimals.
pub const fn column(title: &'static str, decimals: usize) -> Column {
    Column { title, decimals }
}

/// What a figure of a row must be.
#[derive(Clone, Copy, Debug)]
pub struct Bar {
    /// Whose figure.
    pub row: &'static str,
    /// Which figure of the row, by its index.
    pub column: usize,
    /// What it must be.
    pub must_be: MustBe,
}

/// What a figure must be.
#[derive(Clone, Copy, Debug)]
pub enum MustBe {
    /// This or more.
    AtLeast(f64),
    /// This or less.
    AtMost(f64),
}

/// A scenario's figures, round by round.
#[derive(Debug)]
pub struct Table {
    title: String,
    about: String,
    columns: &'static [Column],
    bars: &'static [Bar],
    rows: Vec<(String, Vec<Figures>)>,
}

impl Table {
    /// One without figures.
    pub fn new(
        title: impl Into<String>,
        about: impl Into<String>,
        columns: &'static [Column],
        bars: &'static [Bar],
    ) -> Self {
        Self {
            title: title.into(),
            about: about.into(),
            columns,
            bars,
            rows: Vec::new(),
        }
    }

    /// Notes one more run of the server of this row.
    pub fn add(&mut self, row: impl Into<String>, figures: Figures) {
        assert_eq!(
            figures.len(),
            self.columns.len(),
            "a figure for each column"
        );
        let row = row.into();
        match self.rows.iter_mut().find(|(name, _)| *name == row) {
            Some((_, runs)) => runs.push(figures),
            None => self.rows.push((row, vec![figures])),
        }
    }

    /// The table, with a line for each bar.
    pub fn render(&self) -> String {
        let mut text = format!("## {}\n\n{}\n\n| |", self.title, self.about);
        let titles = self.columns.iter().map(|column| column.title);
        titles.for_each(|title| put(&mut text, format_args!(" {title} |")));
        text.push_str("\n| --- |");
        text.push_str(&" --: |".repeat(self.columns.len()));
        text.push('\n');
        for (name, runs) in &self.rows {
            put(&mut text, format_args!("| {name} |"));
            for (index, column) in self.columns.iter().enumerate() {
                let figure = shown(median_of(runs, index), column.decimals);
                put(&mut text, format_args!(" {figure} |"));
            }
            text.push('\n');
        }
        if !self.bars.is_empty() {
            text.push('\n');
        }
        self.bars
            .iter()
            .for_each(|bar| text.push_str(&self.judged(*bar)));
        text
    }

    fn judged(&self, bar: Bar) -> String {
        let Column { title, decimals } = self.columns[bar.column];
        let runs = self.rows.iter().find(|(name, _)| name == bar.row);
        let figure = runs.and_then(|(_, runs)| median_of(runs, bar.column));
        let (sign, limit, is_met) = match bar.must_be {
            MustBe::AtLeast(limit) => ("≥", limit, figure.map(|figure| figure >= limit)),
            MustBe::AtMost(limit) => ("≤", limit, figure.map(|figure| figure <= limit)),
        };
        let verdict = match is_met {
            Some(true) => "met",
            Some(false) => "**missed**",
            None => "not measured",
        };
        let (limit, figure) = (shown(Some(limit), decimals), shown(figure, decimals));
        format!(
            "- {}: {title} {sign} {limit}: {verdict} ({figure})\n",
            bar.row
        )
    }
}

fn put(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = text.write_fmt(arguments);
}

fn median_of(runs: &[Figures], column: usize) -> Option<f64> {
    let median = median(runs.iter().filter_map(|figures| figures[column]));
    Some(median).filter(|median| !median.is_nan())
}

/// The middle one, or the lower of the two in the middle; no number where there is none.
pub fn median(all: impl Iterator<Item = f64>) -> f64 {
    let mut all: Vec<f64> = all.collect();
    all.sort_by(f64::total_cmp);
    let middle = all.get(all.len().saturating_sub(1) / 2);
    middle.copied().unwrap_or(f64::NAN)
}

fn shown(figure: Option<f64>, decimals: usize) -> String {
    match figure {
        None => "–".to_owned(),
        Some(figure) if figure.is_infinite() => "never".to_owned(),
        Some(figure) => format!("{figure:.decimals$}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[Column] = &[column("a", 0), column("b", 1)];
    const BARS: &[Bar] = &[
        Bar {
            row: "x",
            column: 0,
            must_be: MustBe::AtLeast(2.0),
        },
        Bar {
            row: "x",
            column: 1,
            must_be: MustBe::AtMost(2.0),
        },
        Bar {
            row: "y",
            column: 1,
            must_be: MustBe::AtMost(2.0),
        },
    ];

    #[test]
    fn medians_are_shown_and_judged() {
        let mut table = Table::new("t", "about", COLUMNS, BARS);
        for (a, b) in [(1.0, 9.0), (3.0, 0.5), (2.0, f64::INFINITY)] {
            table.add("x", vec![Some(a), Some(b)]);
        }
        table.add("y", vec![Some(1.0), None]);
        let text = table.render();
        assert!(text.contains("| x | 2 | 9.0 |\n| y | 1 | – |"), "{text}");
        assert!(text.contains("- x: a ≥ 2: met (2)"), "{text}");
        assert!(text.contains("- x: b ≤ 2.0: **missed** (9.0)"), "{text}");
        assert!(text.contains("- y: b ≤ 2.0: not measured"), "{text}");
    }
}
