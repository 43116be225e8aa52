//! The terminal, while something is drawn on it in place. Whatever ends or suspends that, it is put back as it was.

use std::io::{self, Read, Write};
use std::pin::pin;
use std::sync::Arc;
use std::thread;

use rustix::process::{Signal as Number, getpid, kill_process};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use unicode_width::UnicodeWidthStr;

use super::view::Shown;
use crate::cli::table::cut;

/// The other screen, without a cursor and without lines that go on below; and back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l";
const LEAVE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";

/// Of a terminal that does not say its size.
const ROWS: usize = 24;
const COLUMNS: usize = 80;

pub(super) struct Screen {
    /// As it was; `None`: stdin is no terminal, and says nothing.
    before: Option<Termios>,
    is_entered: bool,
    shown: Shown,
    quit: Arc<Notify>,
    signals: Signals,
}

/// What the terminal, and whoever looks at it, have to say.
enum Event {
    End,
    Suspend,
    Continue,
    Resize,
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
    quit: Signal,
    suspend: Signal,
    resume: Signal,
    resize: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        let of = |number: Number| signal(SignalKind::from_raw(number.as_raw()));
        Ok(Self {
            interrupt: of(Number::INT)?,
            terminate: of(Number::TERM)?,
            hang_up: of(Number::HUP)?,
            quit: of(Number::QUIT)?,
            suspend: of(Number::TSTP)?,
            resume: of(Number::CONT)?,
            resize: of(Number::WINCH)?,
        })
    }

    async fn next(&mut self) -> Event {
        tokio::select! {
            _ = self.interrupt.recv() => Event::End,
            _ = self.terminate.recv() => Event::End,
            _ = self.hang_up.recv() => Event::End,
            _ = self.quit.recv() => Event::End,
            _ = self.suspend.recv() => Event::Suspend,
            _ = self.resume.recv() => Event::Continue,
            _ = self.resize.recv() => Event::Resize,
        }
    }
}

impl Screen {
    /// Turns to the other screen, and takes keys one by one.
    pub(super) fn open() -> io::Result<Self> {
        let signals = Signals::new()?;
        let quit = Arc::new(Notify::new());
        let before = tcgetattr(io::stdin()).ok();
        if before.is_some() {
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
        let mut screen = Self { before, is_entered: false, shown: Shown::Said("looking\n".to_owned()), quit, signals };
        screen.enter()?;
        screen.draw()?;
        Ok(screen)
    }

    /// Does something while whoever looks at the terminal is heard; `None` when it is to end.
    ///
    /// # Errors
    /// The terminal is gone.
    pub(super) async fn attend<T>(&mut self, work: impl Future<Output = T>) -> io::Result<Option<T>> {
        let mut work = pin!(work);
        loop {
            let event = tokio::select! {
                done = &mut work => return Ok(Some(done)),
                () = self.quit.notified() => Event::End,
                event = self.signals.next() => event,
            };
            match event {
                Event::End => return Ok(None),
                Event::Suspend => {
                    self.leave();
                    kill_process(getpid(), Number::STOP)?;
                }
                // a shell has changed the keys meanwhile, even where it was not we who stopped
                Event::Continue => {
                    self.enter()?;
                    self.draw()?;
                }
                Event::Resize => self.draw()?,
            }
        }
    }

    /// Draws it over what was drawn before, as much of it as there is room for.
    pub(super) fn show(&mut self, shown: Shown) -> io::Result<()> {
        self.shown = shown;
        self.draw()
    }

    fn enter(&mut self) -> io::Result<()> {
        if let Some(before) = &self.before {
            let mut keys = before.clone();
            // Ctrl-C is a signal still
            keys.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
            tcsetattr(io::stdin(), OptionalActions::Now, &keys)?;
        }
        self.is_entered = true;
        let mut stdout = io::stdout();
        stdout.write_all(ENTER.as_bytes())?;
        stdout.flush()
    }

    fn draw(&self) -> io::Result<()> {
        if !self.is_entered {
            return Ok(());
        }
        let size = tcgetwinsize(io::stdout())?;
        let or = |size: u16, default: usize| if size == 0 { default } else { usize::from(size) };
        let (rows, columns) = (or(size.ws_row, ROWS), or(size.ws_col, COLUMNS));
        let mut stdout = io::stdout();
        stdout.write_all(framed(&self.shown.text(rows, columns), rows, columns).as_bytes())?;
        stdout.flush()
    }

    fn leave(&mut self) {
        if !std::mem::take(&mut self.is_entered) {
            return;
        }
        let mut stdout = io::stdout();
        stdout.write_all(LEAVE.as_bytes()).and_then(|()| stdout.flush()).ok();
        if let Some(before) = &self.before {
            tcsetattr(io::stdin(), OptionalActions::Now, before).ok();
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.leave();
    }
}

/// The text from the top left corner on, and nothing of what was there.
fn framed(text: &str, rows: usize, columns: usize) -> String {
    let mut framed = "\x1b[H".to_owned();
    for (number, line) in text.lines().take(rows).enumerate() {
        if number > 0 {
            framed.push_str("\r\n");
        }
        let line = cut(line, columns);
        framed.push_str(&line);
        // behind the last column it would wipe what stands there
        if line.width() < columns {
            framed.push_str("\x1b[K");
        }
    }
    framed + "\x1b[J"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_left_out() {
        assert_eq!(framed("abc\nd\ne\n", 2, 2), "\x1b[Ha\u{2026}\r\nd\x1b[K\x1b[J");
    }
}
