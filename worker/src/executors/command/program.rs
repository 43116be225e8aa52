//! The program of an action, as the configuration has it.

use std::env;
use std::ops::RangeInclusive;
use std::process::Stdio;
use std::time::Duration;

use tokio::process;

use crate::Context;
use crate::config::CommandSettings;

/// What a program inherits of the worker's environment. Nothing else, since that holds the database's password.
const INHERITED: [&str; 4] = ["PATH", "HOME", "LANG", "TZ"];

/// From a few lines to what the worker can hold for each of many attempts.
const MAX_OUTPUT_BYTES: RangeInclusive<usize> = 1024..=64 * 1024 * 1024;

/// The program's slot is taken, and a shutdown waits, for as long.
const KILL_AFTER_MAX: Duration = Duration::from_secs(10 * 60);

/// A setting that cannot be.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// No program.
    #[error("argv must name a program, got {0}")]
    NoProgram(&'static str),
    /// Unix strings end at a NUL.
    #[error("{0} must hold no NUL")]
    Nul(String),
    /// Not a variable that can be set.
    #[error("env must name variables without `=` that do not begin with LONGSHORE_, got `{0}`")]
    Variable(String),
    /// Too little or too much output.
    #[error("max_output_bytes must be from {} to {}, got {}", MAX_OUTPUT_BYTES.start(), MAX_OUTPUT_BYTES.end(), .0)]
    MaxOutputBytes(usize),
    /// Too long a grace.
    #[error("kill_after must be at most {}, got {}", humantime::format_duration(KILL_AFTER_MAX), humantime::format_duration(*.0))]
    KillAfter(Duration),
}

pub(super) fn check(settings: &CommandSettings) -> Result<(), Error> {
    match settings.argv.first() {
        None => return Err(Error::NoProgram("an empty list")),
        Some(program) if program.is_empty() => return Err(Error::NoProgram("an empty name")),
        Some(_) => {}
    }
    if let Some(at) = settings.argv.iter().position(|argument| argument.contains('\0')) {
        return Err(Error::Nul(format!("argv[{at}]")));
    }
    for (name, value) in &settings.env {
        if name.is_empty() || name.contains(['=', '\0']) || name.starts_with("LONGSHORE_") {
            return Err(Error::Variable(name.replace('\0', "\u{FFFD}")));
        }
        if value.expose().contains('\0') {
            return Err(Error::Nul(format!("env `{name}`")));
        }
    }
    if !MAX_OUTPUT_BYTES.contains(&settings.max_output_bytes) {
        return Err(Error::MaxOutputBytes(settings.max_output_bytes));
    }
    if settings.kill_after > KILL_AFTER_MAX {
        return Err(Error::KillAfter(settings.kill_after));
    }
    Ok(())
}

/// The program for this task, not yet started.
pub(super) fn program(settings: &CommandSettings, context: &Context) -> process::Command {
    let task = context.task();
    let trace = context.trace();
    let tracestate = trace.and_then(|trace| trace.tracestate.as_deref());
    let mut program = process::Command::new(&settings.argv[0]);
    program
        .args(&settings.argv[1..])
        .env_clear()
        .envs(INHERITED.iter().filter_map(|name| Some((name, env::var_os(name)?))))
        .envs(settings.env.iter().map(|(name, value)| (name, value.expose())))
        .env("LONGSHORE_TASK_ID", task.task_id.to_string())
        .env("LONGSHORE_ATTEMPT", task.attempt.to_string())
        .env("LONGSHORE_ACTION", &task.action)
        // as OpenTelemetry's convention for environment variables has it
        .envs(trace.map(|trace| ("TRACEPARENT", trace.traceparent.as_str())))
        .envs(tracestate.map(|tracestate| ("TRACESTATE", tracestate)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    program
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::Secret;
    use crate::config::Stdout;

    fn with(change: impl FnOnce(&mut CommandSettings)) -> Result<(), String> {
        let mut settings = CommandSettings {
            argv: vec!["true".to_owned()],
            stdout: Stdout::Text,
            env: BTreeMap::new(),
            max_output_bytes: 1024,
            kill_after: Duration::ZERO,
        };
        change(&mut settings);
        check(&settings).map_err(|error| error.to_string())
    }

    #[test]
    fn a_setting_out_of_bounds_is_named_with_its_bound() {
        let refused = |message: &str| Err(message.to_owned());
        let variable = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), Secret::new(value))]);
        assert_eq!(with(|_| ()), Ok(()));
        assert_eq!(with(|s| s.argv.clear()), refused("argv must name a program, got an empty list"));
        assert_eq!(with(|s| s.argv = vec![String::new()]), refused("argv must name a program, got an empty name"));
        assert_eq!(with(|s| s.argv.push("a\0".to_owned())), refused("argv[1] must hold no NUL"));
        assert_eq!(with(|s| s.env = variable("A", "secret\0")), refused("env `A` must hold no NUL"));
        for name in ["", "A=B", "LONGSHORE_TASK_ID"] {
            let message =
                format!("env must name variables without `=` that do not begin with LONGSHORE_, got `{name}`");
            assert_eq!(with(|s| s.env = variable(name, "")), Err(message));
        }
        let message = "max_output_bytes must be from 1024 to 67108864, got 1023";
        assert_eq!(with(|s| s.max_output_bytes = 1023), refused(message));
        let message = "kill_after must be at most 10m, got 10m 1s";
        assert_eq!(with(|s| s.kill_after = Duration::from_secs(601)), refused(message));
    }
}
