//! Lines of text in a few colours, cut to the width of a terminal.

use crate::util::is_invisible;

/// How a text is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Strong,
    Dim,
    Good,
    Warn,
    Bad,
}

impl Style {
    /// The number of the ANSI sequence; `None` for none.
    fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Strong => Some("1"),
            Self::Dim => Some("2"),
            Self::Good => Some("32"),
            Self::Warn => Some("33"),
            Self::Bad => Some("1;31"),
        }
    }
}

/// One line.
#[derive(Clone, Debug, Default)]
pub(super) struct Line(Vec<(Style, String)>);

impl Line {
    /// Adds a text.
    pub(super) fn with(mut self, style: Style, text: impl Into<String>) -> Self {
        self.0.push((style, text.into()));
        self
    }

    /// The line as it is written: in colours or not, and with this many characters at most. No character steers the terminal
    /// but the colours, and none turns the direction of writing.
    pub(super) fn render(&self, colours: bool, width: usize) -> String {
        let mut out = String::new();
        let mut room = width;
        let last = self.0.len().saturating_sub(1);
        for (index, (style, text)) in self.0.iter().enumerate() {
            let text = if index == last { text.trim_end() } else { text };
            let clean = text.chars().map(|c| if is_invisible(c) { ' ' } else { c });
            let shown: String = clean.take(room).collect();
            room -= shown.chars().count();
            match style.code().filter(|_| colours && !shown.is_empty()) {
                Some(code) => out.extend(["\x1b[", code, "m", &shown, "\x1b[0m"]),
                None => out.push_str(&shown),
            }
        }
        out
    }
}

/// Rows of cells as lines, each column as wide as its widest cell. `right`: the first column that is aligned to the right.
pub(super) fn table(rows: &[Vec<(Style, String)>], right: usize) -> Vec<Line> {
    let mut widths = Vec::new();
    for row in rows {
        widths.resize(widths.len().max(row.len()), 0);
        for (width, (_, cell)) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |row: &Vec<(Style, String)>| {
        let cells = row.iter().zip(&widths).enumerate();
        cells.fold(Line::default(), |line, (column, ((style, cell), width))| {
            let width = *width;
            let text = match column < right {
                true => format!("{cell:<width$}  "),
                false => format!("{cell:>width$}  "),
            };
            line.with(*style, text)
        })
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_and_nothing_in_it_steers_the_terminal() {
        let line = Line::default()
            .with(Style::Bad, "bäd\x1b[2J\u{202e}")
            .with(Style::Plain, " and more  ");
        assert_eq!(line.render(false, 100), "bäd [2J  and more");
        assert_eq!(line.render(false, 9), "bäd [2J  ");
        assert_eq!(line.render(true, 3), "\x1b[1;31mbäd\x1b[0m");
        assert_eq!(line.render(true, 0), "");
    }

    #[test]
    fn columns_are_aligned_to_the_left_and_then_to_the_right() {
        let row = |cells: [&str; 2]| cells.map(|cell| (Style::Plain, cell.to_owned())).to_vec();
        let lines = table(&[row(["ROUTE", "N"]), row(["ä", "12"])], 1);
        let lines: Vec<_> = lines.iter().map(|line| line.render(false, 80)).collect();
        assert_eq!(lines, ["ROUTE   N", "ä      12"]);
    }
}
