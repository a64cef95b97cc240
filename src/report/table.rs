//! Aligned columns, the one place that knows comfy-table.

use std::io::Write;

use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, Table, presets};

use crate::error::Result;
use crate::report::text::{Style, Tone};

/// A grid of cells in columns, without borders.
#[derive(Debug)]
pub struct Grid {
    table: Table,
    style: Style,
    right: Vec<bool>,
    indent: usize,
}

impl Grid {
    /// A grid whose columns are aligned as `columns` says: `<` left, `>` right.
    pub fn new(style: Style, columns: &str) -> Self {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        if style.color {
            // Padding stays plain, so that it can be trimmed.
            table.enforce_styling().style_text_only();
        } else {
            table.force_no_tty();
        }
        Self { table, style, right: columns.chars().map(|c| c == '>').collect(), indent: 0 }
    }

    /// Indents every line by so many columns.
    #[must_use]
    pub fn indent(mut self, columns: usize) -> Self {
        self.indent = columns;
        self
    }

    /// Draws a line under the header, for tables of data.
    #[must_use]
    pub fn ruled(mut self) -> Self {
        self.table.set_style(comfy_table::TableComponent::HeaderLines, '─');
        self.table.set_style(comfy_table::TableComponent::MiddleHeaderIntersections, ' ');
        self
    }

    /// The header.
    pub fn header<S: AsRef<str>>(&mut self, titles: impl IntoIterator<Item = S>) {
        let cells: Vec<Cell> = titles
            .into_iter()
            .enumerate()
            .map(|(i, title)| self.cell(i, title.as_ref(), Tone::Dim))
            .collect();
        self.table.set_header(cells);
    }

    /// A row of texts, each in a tone. The texts must be escaped already.
    pub fn row<S: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = (S, Tone)>) {
        let cells: Vec<Cell> = cells
            .into_iter()
            .enumerate()
            .map(|(i, (text, tone))| self.cell(i, text.as_ref(), tone))
            .collect();
        self.table.add_row(cells);
    }

    /// A row in one tone.
    pub fn plain_row<S: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.row(cells.into_iter().map(|text| (text, Tone::Plain)));
    }

    fn cell(&self, column: usize, text: &str, tone: Tone) -> Cell {
        let mut cell = Cell::new(text);
        if self.right.get(column).copied().unwrap_or(false) {
            cell = cell.set_alignment(CellAlignment::Right);
        }
        if !self.style.color {
            return cell;
        }
        match tone {
            Tone::Plain => cell,
            Tone::Strong => cell.add_attribute(Attribute::Bold),
            Tone::Dim => cell.add_attribute(Attribute::Dim),
            Tone::Missing => cell.fg(Color::DarkRed),
            Tone::Changed => cell.fg(Color::DarkYellow),
            Tone::Extra => cell.fg(Color::DarkGreen),
        }
    }

    /// Writes the grid, a line a row, without trailing spaces.
    pub fn write(self, out: &mut dyn Write) -> Result<()> {
        for line in self.lines() {
            writeln!(out, "{line}")?;
        }
        Ok(())
    }

    /// The grid's lines, the header's first.
    pub fn lines(mut self) -> Vec<String> {
        for column in self.table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        let indent = " ".repeat(self.indent);
        self.table.lines().map(|line| format!("{indent}{}", line.trim_end())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(style: Style) -> String {
        let mut grid = Grid::new(style, "<>").indent(2);
        grid.header(["table", "rows"]);
        grid.row([("日本", Tone::Strong), ("2,509", Tone::Missing)]);
        grid.plain_row(["b", ""]);
        let mut out = Vec::new();
        grid.write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn columns_are_aligned_by_width() {
        assert_eq!(shown(Style::plain()), "  table   rows\n  日本   2,509\n  b\n");
    }

    #[test]
    fn colours_are_there_only_when_asked_for() {
        assert!(!shown(Style::plain()).contains('\x1b'));
        let colored = shown(Style { color: true, width: 80 });
        assert!(colored.contains('\x1b'));
        assert!(colored.lines().all(|l| !l.ends_with(' ')), "{colored:?}");
    }
}
