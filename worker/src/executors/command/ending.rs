//! What the end of a program means. Pure.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use longshore_queue::{Outcome, ResultMessage, ResultStatus};

use super::super::protocol::{Verdict, kept};
use crate::Stop;

/// The exit code that says "not now": EX_TEMPFAIL of sysexits.h.
const SNOOZE_CODE: i32 = 75;

/// How long a program that says "not now" is left alone. One that knows better says `retry_after`.
const SNOOZE_AFTER: Duration = Duration::from_secs(60);

/// Why a program was no longer waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It exited of itself.
    Exited,
    /// It ran for as long as an attempt may.
    TimedOut(Duration),
    /// Its attempt was asked to stop.
    Stopped(Stop),
}

/// How a program exited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    Code(i32),
    Signal(i32),
    /// It did not even end at KILL, or somebody else waited for it.
    Unknown,
}

impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Code(code),
            (None, Some(signal)) => Self::Signal(signal),
            (None, None) => Self::Unknown,
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "killed by signal {signal}"),
            Self::Unknown => f.write_str("exit unknown"),
        }
    }
}

/// What comes of an attempt; and, for the task's log, a result that did not become the task's.
///
/// `last_error` is the last line on stderr, empty if there was none.
pub(super) fn outcome(
    end: End,
    exit: Exit,
    verdict: Option<Verdict>,
    last_error: &str,
) -> (Outcome, Option<ResultMessage>) {
    let went_well = exit == Exit::Code(0);
    match (end, verdict) {
        (End::Stopped(Stop::Terminated), Some(Verdict::Ended(result))) => (Outcome::Ended(result), None),
        (End::Stopped(Stop::Terminated), _) => {
            (Outcome::failure("terminated", told("terminated", exit, last_error)), None)
        }
        // A program that finished its work in its grace has finished it. A failure then is most likely TERM's doing.
        (End::Stopped(_), Some(Verdict::Ended(result))) if went_well && is_some_success(result.status) => {
            (Outcome::Ended(result), None)
        }
        (End::Stopped(_), Some(Verdict::Ended(result) | Verdict::Retry(_, result))) => {
            (Outcome::Release, Some(kept("the attempt was given back; its result", &result)))
        }
        // given back instead, it would ask for its subtasks once more
        (End::Stopped(_), Some(verdict @ Verdict::Unfinished(_))) if went_well => verdict.settle(),
        (End::Stopped(_), _) => (Outcome::Release, None),
        (_, Some(verdict @ Verdict::Retry(..))) => verdict.settle(),
        (End::Exited, Some(verdict)) if went_well => verdict.settle(),
        (_, Some(Verdict::Ended(result))) => match result.status {
            ResultStatus::Failure | ResultStatus::PartialSuccess => (Outcome::Ended(result), None),
            ResultStatus::Success | ResultStatus::Incomplete => {
                let kept = kept("the program did not exit well, which overrides its result", &result);
                (without_verdict(end, exit, last_error), Some(kept))
            }
        },
        (_, Some(Verdict::Unreadable(_) | Verdict::Unfinished(_)) | None) => {
            (without_verdict(end, exit, last_error), None)
        }
    }
}

fn is_some_success(status: ResultStatus) -> bool {
    matches!(status, ResultStatus::Success | ResultStatus::PartialSuccess)
}

fn without_verdict(end: End, exit: Exit, last_error: &str) -> Outcome {
    if let End::TimedOut(timeout) = end {
        let what = format!("timed out after {}", humantime::format_duration(timeout));
        return Outcome::retry("timeout", told(&what, exit, last_error));
    }
    let message = if last_error.is_empty() { exit.to_string() } else { format!("{exit}: {last_error}") };
    match exit {
        Exit::Code(0) => Outcome::success(),
        Exit::Code(SNOOZE_CODE) => Outcome::Snooze { after: SNOOZE_AFTER },
        Exit::Code(_) => Outcome::retry("exit", message),
        Exit::Signal(_) => Outcome::retry("signal", message),
        Exit::Unknown => Outcome::retry("exit", message),
    }
}

fn told(what: &str, exit: Exit, last_error: &str) -> String {
    if last_error.is_empty() { format!("{what} ({exit})") } else { format!("{what} ({exit}): {last_error}") }
}

#[cfg(test)]
mod tests {
    use longshore_queue::TaskResult;

    use super::*;

    fn said(status: ResultStatus) -> Option<Verdict> {
        Some(Verdict::Ended(TaskResult { status, ..TaskResult::default() }))
    }

    fn retry() -> Option<Verdict> {
        Some(Verdict::Retry(Duration::from_secs(30), TaskResult::default()))
    }

    fn suspended() -> Option<Verdict> {
        Some(Verdict::Unfinished(Outcome::Suspend { wait: longshore_queue::Wait::All, timeout: None, seen: None }))
    }

    fn unreadable() -> Option<Verdict> {
        Some(Verdict::Unreadable("unknown key `x`".to_owned()))
    }

    /// The outcome on one line.
    fn story((outcome, kept): (Outcome, Option<ResultMessage>)) -> String {
        let kept = if kept.is_some() { ", result kept in the log" } else { "" };
        match outcome {
            Outcome::Ended(result) => {
                let words = [result.reason, result.message].into_iter().flatten().map(|word| format!(", {word}"));
                format!("ended {}{}{kept}", result.status, words.collect::<String>())
            }
            Outcome::Retry { after, message, reason } => {
                let after = after.map(|after| format!(" in {after:?}")).unwrap_or_default();
                format!("retry{after}, {reason}, {message}{kept}")
            }
            Outcome::Snooze { after } => format!("snooze {after:?}{kept}"),
            Outcome::Release => format!("release{kept}"),
            Outcome::Suspend { wait, timeout, .. } => format!("suspend {wait:?} {timeout:?}{kept}"),
            Outcome::RetryFailed { max, .. } => format!("retry failed {max:?}{kept}"),
        }
    }

    #[test]
    fn an_exit_means() {
        use ResultStatus::{Failure, Incomplete, PartialSuccess, Success};
        let timed_out = End::TimedOut(Duration::from_secs(90));
        let (ok, three, nine) = (Exit::Code(0), Exit::Code(3), Exit::Signal(9));
        let overridden = "retry, exit, exit code 3: boom, result kept in the log";
        for (end, exit, verdict, expected) in [
            (End::Exited, ok, None, "ended success"),
            (End::Exited, Exit::Code(75), None, "snooze 60s"),
            (End::Exited, three, None, "retry, exit, exit code 3: boom"),
            (End::Exited, nine, None, "retry, signal, killed by signal 9: boom"),
            (End::Exited, Exit::Unknown, None, "retry, exit, exit unknown: boom"),
            (End::Exited, ok, said(Success), "ended success"),
            (End::Exited, ok, said(Incomplete), "ended incomplete"),
            (End::Exited, ok, said(Failure), "ended failure"),
            (End::Exited, ok, retry(), "retry in 30s, retry_after, retry asked for"),
            (End::Exited, ok, suspended(), "suspend All None"),
            (End::Exited, three, suspended(), "retry, exit, exit code 3: boom"),
            (End::Exited, ok, unreadable(), "retry, output, unknown key `x`"),
            (End::Exited, three, said(Success), overridden),
            (End::Exited, three, said(Incomplete), overridden),
            (End::Exited, Exit::Code(75), said(Success), "snooze 60s, result kept in the log"),
            (End::Exited, three, said(Failure), "ended failure"),
            (End::Exited, three, said(PartialSuccess), "ended partial_success"),
            (End::Exited, three, retry(), "retry in 30s, retry_after, retry asked for"),
            (End::Exited, three, unreadable(), "retry, exit, exit code 3: boom"),
            (timed_out, ok, None, "retry, timeout, timed out after 1m 30s (exit code 0): boom"),
            (timed_out, nine, None, "retry, timeout, timed out after 1m 30s (killed by signal 9): boom"),
            (timed_out, ok, said(Failure), "ended failure"),
        ] {
            assert_eq!(story(outcome(end, exit, verdict, "boom")), expected, "{end:?} {exit:?}");
        }
        let overridden = "retry, timeout, timed out after 1m 30s (exit code 0), result kept in the log";
        assert_eq!(story(outcome(timed_out, ok, said(Success), "")), overridden);
        assert_eq!(story(outcome(End::Exited, three, None, "")), "retry, exit, exit code 3");
    }

    #[test]
    fn a_stop_means() {
        use ResultStatus::{Failure, Success};
        let term = Exit::Signal(15);
        for (stop, exit, verdict, expected) in [
            (Stop::Terminated, term, None, "ended failure, terminated, terminated (killed by signal 15): boom"),
            (Stop::Terminated, term, retry(), "ended failure, terminated, terminated (killed by signal 15): boom"),
            (Stop::Terminated, term, said(Success), "ended success"),
            (Stop::Shutdown, term, None, "release"),
            (Stop::Shutdown, Exit::Code(0), None, "release"),
            (Stop::Shutdown, Exit::Code(0), suspended(), "suspend All None"),
            (Stop::Shutdown, term, suspended(), "release"),
            (Stop::Terminated, Exit::Code(0), suspended(), "ended failure, terminated, terminated (exit code 0): boom"),
            (Stop::Shutdown, Exit::Code(0), said(Success), "ended success"),
            (Stop::Shutdown, term, said(Success), "release, result kept in the log"),
            (Stop::Shutdown, Exit::Code(0), said(Failure), "release, result kept in the log"),
            (Stop::Lost, Exit::Code(1), None, "release"),
        ] {
            assert_eq!(story(outcome(End::Stopped(stop), exit, verdict, "boom")), expected, "{stop:?} {exit:?}");
        }
    }
}
