//! What commands print: on stdout what was asked for, on stderr what is to be known besides. Texts out of rows come
//! from anybody who may insert a task: what a terminal would obey is not among them.

use std::fmt::Arguments;
use std::io::{self, Write};

use anyhow::Context;
use serde::Serialize;

/// Prints a text for people, of whole lines.
///
/// # Errors
/// Stdout takes no more: see [`is_reader_gone`].
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    print_as_it_is(&harmless(text))
}

/// Prints a text of which nothing comes from others, or which whoever reads it wants to the byte.
///
/// # Errors
/// As [`print`].
pub(crate) fn print_as_it_is(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).context("stdout")
}

/// Prints a document for programs, over several lines.
///
/// # Errors
/// As [`print`].
pub(crate) fn print_json(document: &impl Serialize) -> anyhow::Result<()> {
    print_as_it_is(&(escaped(&serde_json::to_string_pretty(document)?) + "\n"))
}

/// Whether a command ended since nobody reads its output any more, as `longshore … | head` does it.
pub(crate) fn is_reader_gone(error: &anyhow::Error) -> bool {
    let kind = error.downcast_ref().map(io::Error::kind);
    let of_json = error.downcast_ref().and_then(serde_json::Error::io_error_kind);
    kind.or(of_json) == Some(io::ErrorKind::BrokenPipe)
}

/// Says something on stderr; nobody there to hear it is no reason to stop.
pub(crate) fn noted(said: Arguments<'_>) {
    let said = harmless(&format!("longshore: {said}\n")).into_bytes();
    io::stderr().write_all(&said).ok();
}

/// One line on stdout: `say!("{task}")?`.
macro_rules! say {
    ($($said:tt)*) => { $crate::cli::say::print(&(format!($($said)*) + "\n")) };
}
/// One line on stderr, after the program's name.
macro_rules! note {
    ($($said:tt)*) => { $crate::cli::say::noted(format_args!($($said)*)) };
}
pub(crate) use {note, say};

/// A count with the name of what is counted: `1 task`, `2 tasks`.
pub(crate) fn count(number: impl TryInto<u64> + Copy + std::fmt::Display, one: &str) -> String {
    let is_one = number.try_into().is_ok_and(|number| number == 1);
    format!("{number} {one}{}", if is_one { "" } else { "s" })
}

/// An entry of a line: without what would end it, or speak to the terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|letter| if speaks(letter) { ' ' } else { letter }).collect()
}

/// Lines without what would speak to the terminal.
pub(crate) fn harmless(text: &str) -> String {
    let stays = |letter: char| !speaks(letter) || letter == '\n' || letter == '\t';
    text.chars().map(|letter| if stays(letter) { letter } else { ' ' }).collect()
}

/// JSON that says the same with letters that a terminal shows.
pub(crate) fn escaped(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for letter in json.chars() {
        // outside of strings there is no other one
        if speaks(letter) && letter != '\n' {
            escaped.push_str(&format!("\\u{:04x}", u32::from(letter)));
        } else {
            escaped.push(letter);
        }
    }
    escaped
}

/// Whether it is one that a terminal obeys, or that changes where the others stand: it could make text out of a row
/// look like ours.
pub(crate) fn speaks(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A title of a window, a second line, a return, one character that is an escape of its own, and a change of
    /// direction.
    const HOSTILE: &str = "a\u{1b}]0;x\u{7}\nb\rc\u{9b}2J\td\u{202e}e";

    #[test]
    fn what_a_terminal_would_obey_is_not_printed() {
        assert_eq!(printable(HOSTILE), "a ]0;x  b c 2J d e");
        assert_eq!(harmless(HOSTILE), "a ]0;x \nb c 2J\td e");
        let json = escaped(&serde_json::to_string_pretty(&[HOSTILE]).expect("JSON"));
        assert_eq!(json, "[\n  \"a\\u001b]0;x\\u0007\\nb\\rc\\u009b2J\\td\\u202ee\"\n]");
        assert_eq!(serde_json::from_str::<[String; 1]>(&json).expect("JSON"), [HOSTILE]);
    }

    #[test]
    fn one_is_singular() {
        assert_eq!([0, 1, 2].map(|number| count(number, "task")), ["0 tasks", "1 task", "2 tasks"]);
        assert_eq!(count(1_usize, "slot"), "1 slot");
    }

    #[test]
    fn a_closed_pipe_is_no_failure_of_the_database() {
        let closed = || io::Error::from(io::ErrorKind::BrokenPipe);
        assert!(is_reader_gone(&closed().into()));
        assert!(is_reader_gone(&anyhow::Error::from(closed()).context("stdout")));
        assert!(is_reader_gone(&serde_json::Error::io(closed()).into()));
        assert!(!is_reader_gone(&longshore_queue::Error::Database(sqlx::Error::Io(closed())).into()));
    }
}
