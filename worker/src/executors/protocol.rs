//! What a program prints and an endpoint answers: objects with a message, a result, or both. Pure.
//!
//! Whoever says something must be heard as said: an object with an unknown or wrong key is no object of ours and
//! becomes an error message, and if it held a result, the attempt does not pass as a success.

mod build_data;
mod subtasks;

use std::collections::BTreeMap;
use std::time::Duration;

use longshore_queue::{Bubble, NewBuildData, NewTask, Outcome, ResultMessage, ResultStatus, Task, TaskResult, Wait};
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use super::json;
use crate::Context;

/// The longest `retry_after`: a year, as run_at has to stay below the year 2200.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// How much of a wrong value an error message shows.
const SHOWN_CHARS: usize = 60;

/// What one line or one body says.
#[derive(Debug, Default)]
pub(crate) struct Said {
    /// In the order in which they belong in the task's log.
    pub(crate) messages: Vec<ResultMessage>,
    /// How the attempt ends, if that was said.
    pub(crate) verdict: Option<Verdict>,
    /// Lists of tasks to insert below this one.
    pub(crate) subtasks: Vec<Vec<NewTask>>,
    /// Why there were subtasks that could not be read.
    pub(crate) bad_subtasks: Option<String>,
    /// Entries of build data; the task is the running one.
    pub(crate) build_data: Vec<NewBuildData>,
}

impl Said {
    /// Passes on what is to be written besides messages and the outcome. What is wrong with subtasks keeps the attempt
    /// from passing; what is wrong with build data is said in the log.
    pub(crate) fn ask(&mut self, context: &Context) {
        if let Some(problem) = self.bad_subtasks.take() {
            context.refuse_subtasks(problem);
        }
        for tasks in self.subtasks.drain(..) {
            if let Err(refused) = context.insert_later(tasks) {
                context.message(ResultMessage::error(refused.to_string()));
                context.refuse_subtasks(refused.0);
            }
        }
        for data in self.build_data.drain(..) {
            if let Err(refused) = context.build_data_later(data.clone()) {
                context.message(ResultMessage::error(refused.about(&data)));
            }
        }
    }
}

/// How an attempt ends, in its own words.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Final.
    Ended(TaskResult),
    /// Again, after this long.
    Retry(Duration, TaskResult),
    /// Not yet: it waits for its subtasks, or does once more what they failed to do.
    Unfinished(Outcome),
    /// There was a result, and it could not be read, for this reason.
    Unreadable(String),
}

impl Verdict {
    /// The same, but on the task's last attempt: what asks for another one then is its end, a failure with all that it
    /// names.
    pub(crate) fn on_attempt_of(self, task: &Task) -> Self {
        match self {
            Self::Retry(_, result) if task.attempt >= task.max_attempts => {
                let reason = result.reason.or_else(|| Some("retry_after".to_owned()));
                Self::Ended(TaskResult { status: ResultStatus::Failure, reason, ..result })
            }
            verdict => verdict,
        }
    }

    /// What the verdict makes of the attempt when nothing speaks against it; and, for the task's log, what of the
    /// result the outcome has no place for.
    pub(crate) fn settle(self) -> (Outcome, Option<ResultMessage>) {
        match self {
            Self::Ended(result) => (Outcome::Ended(result), None),
            Self::Retry(after, result) => {
                let message = match (&result.reason, &result.message) {
                    (Some(reason), Some(message)) => format!("{reason}: {message}"),
                    (Some(said), None) | (None, Some(said)) => said.clone(),
                    (None, None) => "retry asked for".to_owned(),
                };
                let has_more = !result.successes.is_empty()
                    || !result.failures.is_empty()
                    || result.links.is_some()
                    || result.output.is_some();
                let kept = has_more.then(|| kept("the attempt asked for a retry; its result", &result));
                (Outcome::Retry { after: Some(after), message, reason: "retry_after" }, kept)
            }
            Self::Unfinished(outcome) => (outcome, None),
            Self::Unreadable(why) => (Outcome::retry("output", why), None),
        }
    }
}

/// A log entry that keeps a result which does not become the task's.
pub(crate) fn kept(why: &str, result: &TaskResult) -> ResultMessage {
    ResultMessage { extra: serde_json::to_value(result).ok(), ..ResultMessage::note(why) }
}

/// A log entry of this text; `None` for a blank one. Postgres has no NUL in a text.
pub(crate) fn note(text: &str) -> Option<ResultMessage> {
    (!text.trim().is_empty()).then(|| ResultMessage::note(without_nul(text)))
}

/// The text with U+FFFD for each NUL.
pub(crate) fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{FFFD}")
}

/// Reads a body: one object, or a line each.
pub(crate) fn read_body(body: &str) -> Said {
    if serde_json::from_str::<&RawValue>(body).is_ok() {
        return read(body);
    }
    let mut all = Said::default();
    for said in body.lines().map(read) {
        all.messages.extend(said.messages);
        all.subtasks.extend(said.subtasks);
        all.build_data.extend(said.build_data);
        all.bad_subtasks = said.bad_subtasks.or(all.bad_subtasks);
        if said.verdict.is_some() {
            all.messages.extend(all.verdict.take().and_then(replaced));
            all.verdict = said.verdict;
        }
    }
    all
}

/// A log entry about a verdict after which another came.
pub(crate) fn replaced(verdict: Verdict) -> Option<ResultMessage> {
    match verdict {
        Verdict::Ended(result) | Verdict::Retry(_, result) => {
            Some(ResultMessage { error: true, ..kept("a second result replaces this one", &result) })
        }
        Verdict::Unfinished(_) => Some(ResultMessage::error("a second result replaces one that waits for subtasks")),
        // has its message already
        Verdict::Unreadable(_) => None,
    }
}

/// Reads a line. What is not a JSON object is text.
pub(crate) fn read(line: &str) -> Said {
    let Ok(object) = serde_json::from_str::<Object>(line) else {
        return Said { messages: note(line).into_iter().collect(), ..Said::default() };
    };
    let has_result = object.0.contains_key("result");
    let has_subtasks = object.0.contains_key("subtasks");
    read_object(object).unwrap_or_else(|problem| Said {
        messages: vec![ResultMessage::error(without_nul(&format!("{problem}: {}", line.trim())))],
        bad_subtasks: has_subtasks.then(|| problem.clone()),
        verdict: has_result.then_some(Verdict::Unreadable(problem)),
        ..Said::default()
    })
}

/// The values by key, not yet looked into.
#[derive(serde::Deserialize)]
struct Object(BTreeMap<String, Box<RawValue>>);

impl Object {
    /// Takes a value out; null is as good as none.
    fn take<T: DeserializeOwned>(&mut self, key: &str, expected: &str) -> Result<Option<T>, String> {
        let Some(raw) = self.0.remove(key) else { return Ok(None) };
        let clean = json::clean(raw.get()).map_err(|problem| format!("`{key}` {problem}"))?;
        serde_json::from_str(&clean).map_err(|_| format!("`{key}` must be {expected}, got {}", shown(&clean)))
    }

    /// Takes a whole number out. As JSON knows no integers, 1.0 is one.
    fn take_integer<T: TryFrom<i64>>(&mut self, key: &str, min: i64, max: i64) -> Result<Option<T>, String> {
        let expected = format!("a whole number from {min} to {max}");
        let Some(number) = self.take::<f64>(key, &expected)? else { return Ok(None) };
        let is_whole = number.fract() == 0.0 && (min as f64..=max as f64).contains(&number);
        let number = is_whole.then_some(number as i64).and_then(|number| T::try_from(number).ok());
        number.map(Some).ok_or_else(|| format!("`{key}` must be {expected}"))
    }

    /// Complains of a key that nobody took.
    fn end(self) -> Result<(), String> {
        self.0.into_keys().next().map_or(Ok(()), |key| Err(format!("unknown key `{}`", shown(&key))))
    }
}

fn shown(value: &str) -> String {
    let mut chars = value.chars();
    let mut shown: String = chars.by_ref().take(SHOWN_CHARS).collect();
    if chars.next().is_some() {
        shown.push('…');
    }
    shown
}

fn read_object(mut object: Object) -> Result<Said, String> {
    let mut said = Said::default();
    let message = object.take("message", "a string")?;
    let error = object.take("error", "true or false")?;
    let context: Option<String> = object.take("context", "a string")?;
    let context_type: Option<String> = object.take("context_type", "a string")?;
    let extra: Option<Value> = object.take("extra", "JSON")?;
    if let Some(message) = message {
        said.messages.push(ResultMessage { message, error: error.unwrap_or(false), context, context_type, extra });
    } else if error.is_some() || context.is_some() || context_type.is_some() || extra.is_some() {
        return Err("`error`, `context`, `context_type` and `extra` need `message`".to_owned());
    }
    if let Some(subtasks) = object.take::<Vec<Object>>("subtasks", "a list of tasks")? {
        said.subtasks.push(subtasks::read(subtasks)?);
    }
    if let Some(raw) = object.0.remove("build_data") {
        // what is wrong with one entry takes nothing else away
        for entry in build_data::read(&raw) {
            match entry {
                Ok(data) => said.build_data.push(data),
                Err(problem) => said.messages.push(ResultMessage::error(without_nul(&problem))),
            }
        }
    }
    if let Some(result) = object.take::<Object>("result", "an object")? {
        said.verdict = Some(read_result(result).map_err(|problem| format!("result: {problem}"))?);
    }
    object.end()?;
    Ok(said)
}

fn read_result(mut object: Object) -> Result<Verdict, String> {
    let expected = "success, failure, partial_success or incomplete";
    let status = match object.take::<String>("status", expected)? {
        None => None,
        Some(name) => match ResultStatus::parse(&name) {
            None => return Err(format!("`status` must be {expected}, got {}", shown(&name))),
            status => status,
        },
    };
    let names = "a list of strings";
    let links = "an object of lists of strings";
    let result = TaskResult {
        status: status.unwrap_or_default(),
        message: object.take("message", "a string")?,
        reason: object.take("reason", "a string")?,
        successes: object.take("successes", names)?.unwrap_or_default(),
        failures: object.take("failures", names)?.unwrap_or_default(),
        links: match object.take::<BTreeMap<String, Vec<String>>>("links", links)? {
            None => None,
            Some(by_relation) => {
                Some(serde_json::value::to_raw_value(&by_relation).map_err(|_| format!("`links` must be {links}"))?)
            }
        },
        output: object.take("output", "JSON")?,
        bubble: object.take::<Object>("bubble", "an object")?.map(read_bubble).transpose()?,
    };
    let retry_after = object
        .take::<Value>("retry_after", "a duration")?
        .map(|value| read_duration("retry_after", &value))
        .transpose()?;
    let suspend = object.take::<Object>("suspend", "an object")?.map(read_suspend).transpose()?;
    let retry_failed = object.take::<Object>("retry_failed", "an object")?.map(read_retry_failed).transpose()?;
    object.end()?;
    let ways = [status.is_some() || result.bubble.is_some(), suspend.is_some(), retry_failed.is_some()];
    if ways.into_iter().filter(|way| *way).count() > 1 || retry_after.is_some() && (ways[1] || ways[2]) {
        return Err("an end, `suspend`, `retry_failed` and `retry_after` exclude each other".to_owned());
    }
    match (retry_after, suspend, retry_failed) {
        (Some(after), ..) => Ok(Verdict::Retry(after, result)),
        (_, Some(suspend), _) => Ok(Verdict::Unfinished(suspend)),
        (_, _, Some(max)) => Ok(Verdict::Unfinished(Outcome::RetryFailed { max, message: result.message })),
        _ if ways[0] => Ok(Verdict::Ended(result)),
        _ => Err("`status`, `bubble`, `retry_after`, `suspend` or `retry_failed` is missing".to_owned()),
    }
}

fn read_bubble(mut object: Object) -> Result<Bubble, String> {
    let bubble = Bubble { action: object.take("action", "a string")? };
    object.end().map(|()| bubble).map_err(|problem| format!("bubble: {problem}"))
}

fn read_suspend(mut object: Object) -> Result<Outcome, String> {
    let wait = object.take::<Wait>("until", "\"all\" or \"any\"")?.unwrap_or(Wait::All);
    let timeout =
        object.take::<Value>("timeout", "a duration")?.map(|value| read_duration("timeout", &value)).transpose()?;
    let outcome = Outcome::Suspend { wait, timeout, seen: None };
    object.end().map(|()| outcome).map_err(|problem| format!("suspend: {problem}"))
}

fn read_retry_failed(mut object: Object) -> Result<Option<u16>, String> {
    let max = object.take_integer("max", 1, 32_767)?;
    object.end().map(|()| max).map_err(|problem| format!("retry_failed: {problem}"))
}

fn read_duration(key: &str, value: &Value) -> Result<Duration, String> {
    match value {
        Value::Number(seconds) => seconds.as_f64().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
        Value::String(text) => humantime::parse_duration(text).ok(),
        _ => None,
    }
    .filter(|after| *after <= RETRY_AFTER_MAX)
    .ok_or_else(|| {
        let value = shown(&value.to_string());
        format!("`{key}` must be seconds or a text like \"30s\", from 0 to 366 days, got {value}")
    })
}

#[cfg(test)]
mod tests;
