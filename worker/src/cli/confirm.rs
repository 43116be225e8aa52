//! Asking before much is done, and showing how far it is.

use std::io::{self, BufRead, IsTerminal, Write};
use std::time::{Duration, Instant};

use super::exit::BadInput;

/// Asks, and takes nothing but a yes for one.
///
/// # Errors
/// [`BadInput`] when nobody is there to be asked.
pub(crate) fn confirmed(verb: &str, count: usize) -> anyhow::Result<bool> {
    let them = if count == 1 { "it" } else { "them" };
    if !io::stdin().is_terminal() {
        return Err(BadInput(format!("there is no terminal to ask at: say --yes to {verb} {them}")).into());
    }
    draw(&format!("{verb} {them}? [y/N] "));
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// The columns of a bar.
const WIDTH: usize = 30;

/// A bar on stderr is drawn again no more often.
const DRAWN_EVERY: Duration = Duration::from_millis(100);

/// How far many steps are: a bar on stderr where that is a terminal, and nothing elsewhere.
pub(crate) struct Bar {
    total: usize,
    done: usize,
    began: Instant,
    drawn: Option<Instant>,
    is_shown: bool,
}

impl Bar {
    /// Of few steps nothing is drawn.
    pub(crate) fn new(total: usize) -> Self {
        Self { total, done: 0, began: Instant::now(), drawn: None, is_shown: total >= 10 && io::stderr().is_terminal() }
    }

    /// One more step is done.
    pub(crate) fn step(&mut self) {
        self.done += 1;
        if self.is_shown && self.drawn.is_none_or(|drawn| drawn.elapsed() > DRAWN_EVERY) {
            self.drawn = Some(Instant::now());
            draw(&format!("\r{}\x1b[K", drawn(self.done, self.total, self.began.elapsed())));
        }
    }

    /// Wipes the bar, for what is printed next.
    pub(crate) fn wipe(&mut self) {
        if self.is_shown && self.drawn.take().is_some() {
            draw("\r\x1b[K");
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.wipe();
    }
}

/// On stderr, without the end of a line; a terminal that is gone is no reason to stop.
fn draw(text: &str) {
    io::stderr().write_all(text.as_bytes()).ok();
}

fn drawn(done: usize, total: usize, took: Duration) -> String {
    let filled = done * WIDTH / total.max(1);
    let left = took.mul_f64((total.saturating_sub(done)) as f64 / done.max(1) as f64);
    let left = humantime::format_duration(Duration::from_secs(left.as_secs()));
    format!("[{}{}] {done} of {total}, {left} left", "#".repeat(filled), "-".repeat(WIDTH - filled))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_says_how_much_is_done_and_how_long_the_rest_takes() {
        assert_eq!(drawn(5, 20, Duration::from_secs(4)), "[#######-----------------------] 5 of 20, 12s left");
        assert_eq!(drawn(20, 20, Duration::from_secs(4)), "[##############################] 20 of 20, 0s left");
    }
}
