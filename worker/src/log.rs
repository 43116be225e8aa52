//! The process's own log, on standard error: what is logged, in which form, and a thread that writes it, so that a pipe
//! which nobody reads holds no loop up.

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::counter;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::config::{ConfigError, LogFormat};

/// What is logged unless RUST_LOG says otherwise; the name is the beginning of all our targets' names.
pub const DEFAULT: &str = "warn,longshore=info";

/// Lines that wait to be written: some seconds of a busy worker. Beyond it further ones are dropped, and counted.
const WAITING_MAX_BYTES: usize = 4 * 1024 * 1024;

/// How long the end of the process waits for what is still to be written.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Logs to standard error from here on, as RUST_LOG says; what is logged last is written when the answer is dropped.
///
/// # Errors
/// RUST_LOG cannot be read, or the process logs elsewhere already.
pub fn start(format: LogFormat) -> Result<Log, ConfigError> {
    let wanted = std::env::var("RUST_LOG").ok().filter(|wanted| !wanted.is_empty());
    let filter = EnvFilter::try_new(wanted.as_deref().unwrap_or(DEFAULT))
        .map_err(|error| ConfigError::new("RUST_LOG", format!("must be directives such as {DEFAULT:?}: {error}")))?;
    let lines = Lines::write_to(io::stderr());
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(lines.clone());
    match format {
        LogFormat::Text => builder.with_ansi(is_coloured()).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_span_list(false).try_init(),
    }
    .map_err(|error| ConfigError::new("log", format!("cannot be started: {error}")))?;
    Ok(Log { lines })
}

/// People on a terminal see colours, unless they have asked for none.
fn is_coloured() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// A log that has been started.
#[derive(Debug)]
pub struct Log {
    lines: Lines,
}

impl Drop for Log {
    fn drop(&mut self) {
        self.lines.finish(LAST_WORDS);
    }
}

/// Lines on their way to a writer that may block.
#[derive(Debug, Clone)]
struct Lines(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Told when a first line waits.
    filled: Condvar,
    /// Told when all is written.
    emptied: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<u8>,
    dropped: u64,
    is_writing: bool,
}

impl Lines {
    fn write_to(writer: impl Write + Send + 'static) -> Self {
        let lines = Self(Arc::default());
        let from = lines.clone();
        // without a thread, lines are counted as dropped
        std::thread::Builder::new().name("log".to_owned()).spawn(move || from.write_all_to(writer)).ok();
        lines
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes for ever: all that waits with one call.
    fn write_all_to(&self, mut writer: impl Write) {
        let mut lines = Vec::new();
        loop {
            let mut state = self.state();
            while state.waiting.is_empty() && state.dropped == 0 {
                self.0.emptied.notify_all();
                state = self.0.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            std::mem::swap(&mut lines, &mut state.waiting);
            let dropped = std::mem::take(&mut state.dropped);
            state.is_writing = true;
            drop(state);
            // a standard error that was closed takes nothing any more, and nobody is left to tell
            writer.write_all(&lines).ok();
            lines.clear();
            if dropped > 0 {
                counter!("longshore_log_lines_dropped_total").increment(dropped);
                tracing::warn!(lines = dropped, "log lines were dropped: nobody reads them as fast as they come");
            }
            self.state().is_writing = false;
        }
    }

    /// Waits until all is written, but no longer than this.
    fn finish(&self, patience: Duration) {
        let is_busy = |state: &mut State| state.is_writing || !state.waiting.is_empty();
        drop(self.0.emptied.wait_timeout_while(self.state(), patience, is_busy));
    }
}

impl Write for &Lines {
    /// Takes a whole line, or drops it.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut state = self.state();
        if state.waiting.len() + line.len() > WAITING_MAX_BYTES {
            state.dropped += 1;
        } else {
            let is_first = state.waiting.is_empty();
            state.waiting.extend_from_slice(line);
            drop(state);
            if is_first {
                self.0.filled.notify_one();
            }
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Writes only as far as it is allowed.
    struct Pipe {
        allowed: Receiver<()>,
        into: Sender<Vec<u8>>,
    }

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.allowed.recv().map_err(io::Error::other)?;
            self.into.send(bytes.to_vec()).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_pipe_that_nobody_reads_holds_nobody_up_and_what_is_dropped_is_counted() {
        let (allow, allowed) = channel();
        let (into, written) = channel();
        let lines = Lines::write_to(Pipe { allowed, into });
        let line = [b'x'; 1024];
        (&lines).write_all(b"first").expect("never fails");
        // taken by the thread, which blocks with it
        while !lines.state().waiting.is_empty() {
            std::thread::yield_now();
        }
        for _ in 0..WAITING_MAX_BYTES / line.len() + 3 {
            (&lines).write_all(&line).expect("never fails");
        }
        assert_eq!(lines.state().dropped, 3);
        lines.finish(Duration::from_millis(10));
        allow.send(()).expect("the pipe waits");
        assert_eq!(written.recv().expect("a write"), b"first");
        allow.send(()).expect("the pipe waits");
        assert_eq!(written.recv().expect("a write").len(), WAITING_MAX_BYTES);
        lines.finish(Duration::from_secs(60));
        let state = lines.state();
        assert_eq!((state.waiting.len(), state.dropped, state.is_writing), (0, 0, false));
    }
}
