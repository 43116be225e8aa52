//! Rows for people on a terminal, and the same with tabs for programs.

use std::io::{self, IsTerminal};

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::say::printable;

/// Rows for whoever reads stdout: on a terminal in columns below a head, else with tabs between their entries.
pub(crate) fn table<const N: usize>(head: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let rows: Vec<[String; N]> = rows.map(|row| row.map(|entry| printable(&entry))).collect();
    if io::stdout().is_terminal() { columns(head, &rows) } else { tabs(&rows) }
}

/// Columns as wide as their widest entry; nothing but the head where there are no rows.
pub(crate) fn columns<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    drawn(&lines(head, rows), [true; N], usize::MAX)
}

/// The same in so much room: columns of `spare` go, in its order, until the rest fits, and then the end of each line.
pub(crate) fn fitted<const N: usize>(head: [&str; N], rows: &[[String; N]], room: usize, spare: &[usize]) -> String {
    let lines = lines(head, rows);
    let widths = widths(&lines);
    let mut shown = [true; N];
    let mut takes = widths.iter().map(|width| width + 2).sum::<usize>().saturating_sub(2);
    for column in spare {
        if takes <= room {
            break;
        }
        shown[*column] = false;
        takes -= widths[*column] + 2;
    }
    drawn(&lines, shown, room)
}

fn lines<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> Vec<[String; N]> {
    std::iter::once(head.map(str::to_owned)).chain(rows.iter().cloned()).collect()
}

fn widths<const N: usize>(lines: &[[String; N]]) -> [usize; N] {
    std::array::from_fn(|column| lines.iter().map(|line| line[column].width()).max().unwrap_or(0))
}

fn drawn<const N: usize>(lines: &[[String; N]], shown: [bool; N], room: usize) -> String {
    let widths = widths(lines);
    let line = |line: &[String; N]| {
        let entries = line.iter().zip(widths).zip(shown).filter(|(_, shown)| *shown);
        let padded: Vec<String> = entries
            .map(|((entry, width), _)| format!("{entry}{}", " ".repeat(width.saturating_sub(entry.width()))))
            .collect();
        cut(padded.join("  ").trim_end(), room) + "\n"
    };
    lines.iter().map(line).collect()
}

/// A line in at most so many columns of a terminal: what is longer ends with a sign for that.
pub(crate) fn cut(line: &str, room: usize) -> String {
    if line.width() <= room {
        return line.to_owned();
    }
    let mut left = room.saturating_sub(1);
    let fits = |letter: &char| {
        let width = letter.width().unwrap_or(0);
        let fits = width <= left;
        left = if fits { left - width } else { 0 };
        fits
    };
    line.chars().take_while(fits).collect::<String>() + if room > 0 { "…" } else { "" }
}

fn tabs<const N: usize>(rows: &[[String; N]]) -> String {
    rows.iter().map(|row| row.join("\t") + "\n").collect()
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

    #[test]
    fn what_takes_two_columns_of_a_terminal_is_counted_as_two() {
        let rows = [["队列".to_owned(), "1".to_owned()], ["abcde".to_owned(), "2".to_owned()]];
        assert_eq!(columns(["X", "Y"], &rows), "X      Y\n队列   1\nabcde  2\n");
        assert_eq!(["abc", "队列", "队列"].map(|text| cut(text, 3)), ["abc", "队…", "队…"]);
        assert_eq!(["abc", "队列"].map(|text| cut(text, 2)), ["a…", "…"]);
        assert_eq!(cut("abc", 0), "");
    }

    #[test]
    fn a_table_that_is_too_wide_loses_its_spare_columns_first() {
        let rows = [["name".to_owned(), "12".to_owned(), "x".to_owned()]];
        let fitted = |room| fitted(["A", "B", "C"], &rows, room, &[1]);
        assert_eq!(fitted(11), "A     B   C\nname  12  x\n");
        assert_eq!(fitted(10), "A     C\nname  x\n");
        assert_eq!(fitted(6), "A    …\nname …\n");
    }
}
