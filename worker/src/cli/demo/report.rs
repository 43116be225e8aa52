//! What happened in the demo: a table, a few figures, and each expectation on a line of its own.

use longshore_queue::{Pace, Tally};

use super::checks::{Check, checks};
use super::plan::Plan;
use crate::cli::say::say;

/// What the demo found when all was over.
#[derive(Debug)]
pub(super) struct Findings {
    pub(super) tallies: Vec<Tally>,
    pub(super) pace: Pace,
    /// The name of the worker that was killed.
    pub(super) killed: String,
    /// What the programs of the task that it was killed in have said.
    pub(super) hostage: Vec<String>,
    /// The metrics of the workers that lived to the end, one text each.
    pub(super) metrics: Vec<String>,
    /// How these workers exited; `None` by a signal.
    pub(super) exit_codes: Vec<Option<i32>>,
}

impl Findings {
    /// Tasks taken back from dead workers, as the others have counted.
    pub(super) fn rescued(&self) -> u64 {
        counted(&self.metrics, "longshore_tasks_rescued_total", "")
    }

    fn retried(&self) -> u64 {
        counted(&self.metrics, "longshore_tasks_finished_total", r#"outcome="retried""#)
    }
}

/// Prints it all; true when everything is as it should be.
pub(super) fn print(plan: &Plan, findings: &Findings) -> anyhow::Result<bool> {
    say!("\n{}", table(&findings.tallies))?;
    say!("{}", figures(&findings.pace))?;
    say!("retried:     {} attempts, by the metrics of the workers that lived", findings.retried())?;
    say!("rescued:     {} tasks of {}, by the same", findings.rescued(), findings.killed)?;
    say!("")?;
    let checks = checks(plan, findings);
    for Check { expected, found, holds } in &checks {
        say!("{}  {expected}: found {found}", if *holds { "ok    " } else { "FAILED" })?;
    }
    let failed = checks.iter().filter(|check| !check.holds).count();
    match failed {
        0 => say!("\nevery task ended as it should")?,
        _ => say!("\n{failed} of {} expectations are not met", checks.len())?,
    }
    Ok(failed == 0)
}

/// One line an action and outcome; numbers to the right.
fn table(tallies: &[Tally]) -> String {
    let head = ["action", "outcome", "tasks", "attempts", "tried again"].map(str::to_owned);
    let rows = tallies.iter().map(|tally| {
        let outcome = format!("{}/{}", tally.status, tally.result_status);
        let numbers = [tally.tasks, tally.attempts, tally.repeated].map(|number| number.to_string());
        let [tasks, attempts, repeated] = numbers;
        [tally.action.clone(), outcome, tasks, attempts, repeated]
    });
    let rows: Vec<[String; 5]> = std::iter::once(head).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: [usize; 5] = std::array::from_fn(width);
    rows.iter().fold(String::new(), |mut table, [action, outcome, numbers @ ..]| {
        table.push_str(&format!("{action:<0$}  {outcome:<1$}", widths[0], widths[1]));
        for (number, width) in numbers.iter().zip(&widths[2..]) {
            table.push_str(&format!("  {number:>width$}"));
        }
        table.push('\n');
        table
    })
}

fn figures(pace: &Pace) -> String {
    let ended = pace.ended as f64;
    let rate = |share: f64, seconds: Option<f64>| match seconds {
        Some(seconds) if seconds > 0.0 => format!("{seconds:.2} s ({:.0} a second)", ended * share / seconds),
        _ => "no time".to_owned(),
    };
    let wait = |seconds: Option<f64>| seconds.map_or("none".to_owned(), |seconds| format!("{:.0} ms", seconds * 1e3));
    format!(
        "throughput:  {} tasks in {}, 95% of them in {}\n\
         queue wait:  p50 {}, p95 {}, p99 {} from due to claimed, all but a few inserted at once",
        pace.ended,
        rate(1.0, pace.last_seconds),
        rate(0.95, pace.p95_seconds),
        wait(pace.wait_p50_seconds),
        wait(pace.wait_p95_seconds),
        wait(pace.wait_p99_seconds),
    )
}

/// The sum of a counter over all texts, of those series whose labels hold `label`.
fn counted(texts: &[String], counter: &str, label: &str) -> u64 {
    let series = texts.iter().flat_map(|text| text.lines()).filter(|line| {
        let labels = line.strip_prefix(counter).filter(|rest| rest.starts_with(['{', ' ']));
        labels.is_some_and(|labels| labels.contains(label))
    });
    series.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_summed_over_workers_and_series() {
        let texts = [
            "# TYPE a_total counter\na_total{queue=\"x\",outcome=\"retried\"} 3\na_total{outcome=\"success\"} 40\n",
            "a_total{outcome=\"retried\"} 2\na_total_more{outcome=\"retried\"} 500\n",
        ]
        .map(str::to_owned);
        assert_eq!(counted(&texts, "a_total", "outcome=\"retried\""), 5);
        assert_eq!(counted(&texts, "a_total", ""), 45);
        assert_eq!(counted(&texts, "b_total", ""), 0);
    }

    #[test]
    fn a_table_is_aligned() {
        let tally = |action: &str, tasks| Tally {
            action: action.to_owned(),
            status: "complete".to_owned(),
            result_status: "success".to_owned(),
            tasks,
            attempts: tasks,
            repeated: 0,
        };
        let lines = [
            "action  outcome           tasks  attempts  tried again",
            "http    complete/success      7         7            0",
            "noop    complete/success  12345     12345            0\n",
        ];
        assert_eq!(table(&[tally("http", 7), tally("noop", 12345)]), lines.join("\n"));
    }
}
