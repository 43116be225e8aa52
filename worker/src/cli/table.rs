//! Rows for people on a terminal, and the same with tabs for programs.

use std::io::{self, IsTerminal};

/// Rows for whoever reads stdout: on a terminal in columns below a head, else with tabs between their entries.
pub(crate) fn table<const N: usize>(head: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let rows: Vec<[String; N]> = rows.map(|row| row.map(|entry| printable(&entry))).collect();
    if io::stdout().is_terminal() { columns(head, &rows) } else { tabs(&rows) }
}

/// Columns as wide as their widest entry; nothing but the head where there are no rows.
pub(crate) fn columns<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let head = [head.map(str::to_owned)];
    let lines = || head.iter().chain(rows);
    let widths: [usize; N] =
        std::array::from_fn(|column| lines().map(|line| line[column].chars().count()).max().unwrap_or(0));
    let line = |line: &[String; N]| {
        let padded: Vec<String> = line.iter().zip(widths).map(|(entry, width)| format!("{entry:width$}")).collect();
        padded.join("  ").trim_end().to_owned() + "\n"
    };
    lines().map(line).collect()
}

fn tabs<const N: usize>(rows: &[[String; N]]) -> String {
    rows.iter().map(|row| row.join("\t") + "\n").collect()
}

/// Without what would end an entry, or speak to the terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_entry_and_no_entry_breaks_a_row() {
        let rows = [["a".to_owned(), "bbb".to_owned()], ["ccc".to_owned(), printable("d\te\n\u{1b}[2J")]];
        assert_eq!(columns(["X", "Y"], &rows), "X    Y\na    bbb\nccc  d e  [2J\n");
        assert_eq!(tabs(&rows), "a\tbbb\nccc\td e  [2J\n");
        assert_eq!(columns(["X", "Y"], &[]), "X  Y\n");
    }
}
