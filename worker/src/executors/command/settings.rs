//! How a program is run: what the configuration says of it.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::process::Stdio;
use std::time::Duration;
use std::{env, fmt};

use longshore_queue::Task;
use tokio::process;

/// What a program inherits of the worker's environment. Nothing else, since that holds the database's password.
const INHERITED: [&str; 4] = ["PATH", "HOME", "LANG", "TZ"];

/// From a line to what the worker can hold for one attempt.
const MAX_OUTPUT_BYTES: RangeInclusive<usize> = 1024..=16 * 1024 * 1024;

/// A shutdown waits for it, and orchestrators rarely wait longer.
const KILL_AFTER_MAX: Duration = Duration::from_secs(5 * 60);

/// How a program is run.
#[derive(Clone)]
pub struct Settings {
    /// The program and its arguments. No shell reads them, and nothing of a task gets into them.
    pub argv: Vec<String>,
    /// How its stdout is read.
    pub stdout: Stdout,
    /// Variables of its environment, besides PATH, HOME, LANG, TZ and the LONGSHORE_ ones. Their values are not shown.
    pub env: BTreeMap<String, String>,
    /// How much of what one attempt prints, stdout and stderr together, becomes messages. The rest is read and counted.
    pub max_output_bytes: usize,
    /// How long after TERM the program gets KILL.
    pub kill_after: Duration,
}

/// How stdout is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Stdout {
    /// Every line is a message, so that data which a program echoes can do nothing else.
    #[default]
    Text,
    /// A line may be an object that says a message or the result.
    Jsonl,
}

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

impl Default for Settings {
    fn default() -> Self {
        Self {
            argv: Vec::new(),
            stdout: Stdout::Text,
            env: BTreeMap::new(),
            max_output_bytes: 1024 * 1024,
            kill_after: Duration::from_secs(5),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("argv", &self.argv)
            .field("stdout", &self.stdout)
            .field("env", &self.env.keys())
            .field("max_output_bytes", &self.max_output_bytes)
            .field("kill_after", &self.kill_after)
            .finish()
    }
}

impl Settings {
    pub(super) fn check(&self) -> Result<(), Error> {
        match self.argv.first() {
            None => return Err(Error::NoProgram("an empty list")),
            Some(program) if program.is_empty() => return Err(Error::NoProgram("an empty name")),
            Some(_) => {}
        }
        if let Some(at) = self.argv.iter().position(|argument| argument.contains('\0')) {
            return Err(Error::Nul(format!("argv[{at}]")));
        }
        for (name, value) in &self.env {
            if name.is_empty() || name.contains(['=', '\0']) || name.starts_with("LONGSHORE_") {
                return Err(Error::Variable(name.replace('\0', "\u{FFFD}")));
            }
            if value.contains('\0') {
                return Err(Error::Nul(format!("env `{name}`")));
            }
        }
        if !MAX_OUTPUT_BYTES.contains(&self.max_output_bytes) {
            return Err(Error::MaxOutputBytes(self.max_output_bytes));
        }
        if self.kill_after > KILL_AFTER_MAX {
            return Err(Error::KillAfter(self.kill_after));
        }
        Ok(())
    }

    /// The program for this task, not yet started.
    pub(super) fn program(&self, task: &Task) -> process::Command {
        let mut program = process::Command::new(&self.argv[0]);
        program
            .args(&self.argv[1..])
            .env_clear()
            .envs(INHERITED.iter().filter_map(|name| Some((name, env::var_os(name)?))))
            .envs(&self.env)
            .env("LONGSHORE_TASK_ID", task.task_id.to_string())
            .env("LONGSHORE_ATTEMPT", task.attempt.to_string())
            .env("LONGSHORE_ACTION", &task.action)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        program
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(change: impl FnOnce(&mut Settings)) -> Result<(), String> {
        let mut settings = Settings { argv: vec!["true".to_owned()], ..Settings::default() };
        change(&mut settings);
        settings.check().map_err(|error| error.to_string())
    }

    #[test]
    fn a_setting_out_of_bounds_is_named_with_its_bound() {
        let refused = |message: &str| Err(message.to_owned());
        let variable = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
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
        let message = "max_output_bytes must be from 1024 to 16777216, got 1023";
        assert_eq!(with(|s| s.max_output_bytes = 1023), refused(message));
        let message = "kill_after must be at most 5m, got 5m 1s";
        assert_eq!(with(|s| s.kill_after = Duration::from_secs(301)), refused(message));
    }

    #[test]
    fn values_of_the_environment_are_not_shown() {
        let env = BTreeMap::from([("TOKEN".to_owned(), "hunter2".to_owned())]);
        let shown = format!("{:?}", Settings { env, ..Settings::default() });
        assert!(shown.contains("TOKEN") && !shown.contains("hunter2"), "{shown}");
    }
}
