//! The terminal, while something is drawn on it in place. Whatever ends that, it is put back as it was.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::thread;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::sync::Notify;

/// The other screen, without a cursor; and back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// Of a terminal that does not say its size.
const ROWS: usize = 24;
const COLUMNS: usize = 80;

pub(super) struct Screen {
    /// As it was; `None`: stdin is no terminal, and says nothing.
    before: Option<Termios>,
    quit: Arc<Notify>,
}

impl Screen {
    /// Turns to the other screen, and takes keys one by one.
    pub(super) fn open() -> io::Result<Self> {
        let quit = Arc::new(Notify::new());
        let before = tcgetattr(io::stdin()).ok();
        if let Some(before) = &before {
            let mut keys = before.clone();
            // Ctrl-C is a signal still
            keys.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
            tcsetattr(io::stdin(), OptionalActions::Now, &keys)?;
            let told = Arc::clone(&quit);
            // ends with the process: nobody waits for a key
            thread::Builder::new().name("keys".to_owned()).spawn(move || {
                for key in io::stdin().lock().bytes().map_while(Result::ok) {
                    if matches!(key, b'q' | b'Q') {
                        told.notify_one();
                    }
                }
            })?;
        }
        let screen = Self { before, quit };
        let mut stdout = io::stdout();
        stdout.write_all(ENTER.as_bytes())?;
        stdout.flush()?;
        Ok(screen)
    }

    /// Waits for a q.
    pub(super) async fn quit(&self) {
        self.quit.notified().await;
    }

    /// Draws lines over what was drawn before, as many and as much of each as there is room for.
    pub(super) fn draw(&mut self, text: &str) -> io::Result<()> {
        let size = tcgetwinsize(io::stdout())?;
        let or = |size: u16, default: usize| if size == 0 { default } else { usize::from(size) };
        let (rows, columns) = (or(size.ws_row, ROWS), or(size.ws_col, COLUMNS));
        let mut stdout = io::stdout();
        stdout.write_all(framed(text, rows, columns).as_bytes())?;
        stdout.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let mut stdout = io::stdout();
        stdout.write_all(LEAVE.as_bytes()).and_then(|()| stdout.flush()).ok();
        if let Some(before) = &self.before {
            tcsetattr(io::stdin(), OptionalActions::Now, before).ok();
        }
    }
}

/// The text from the top left corner on, and nothing of what was there.
fn framed(text: &str, rows: usize, columns: usize) -> String {
    let mut framed = "\x1b[H".to_owned();
    for (number, line) in text.lines().take(rows).enumerate() {
        if number > 0 {
            framed.push_str("\r\n");
        }
        framed.extend(line.chars().take(columns));
        framed.push_str("\x1b[K");
    }
    framed + "\x1b[J"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_left_out() {
        assert_eq!(framed("abc\nd\ne\n", 2, 2), "\x1b[Hab\x1b[K\r\nd\x1b[K\x1b[J");
    }
}
