//! `longshore tasks tree`.

use std::collections::BTreeMap;

use clap::Args;
use longshore_queue::{Session, SubtaskCounts, TaskLine, subtask_counts, subtask_lines, task_lines};
use uuid::Uuid;

use super::{not_found, result, took};
use crate::cli::database::ask;
use crate::cli::exit::Exit;
use crate::cli::say::{print, printable};
use crate::cli::values::uuid;

/// The most tasks that are drawn: what is more is not read by people.
const DRAWN_MAX: usize = 5_000;

/// Draws a task with what is below it: state, result, action, and how long each took
///
/// For programs: tasks show --tree.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  longshore tasks tree TASK
  longshore tasks tree TASK --breadth 5 --layers 2")]
pub(super) struct Tree {
    /// Which task
    #[arg(value_parser = uuid)]
    task: Uuid,
    /// At most so many subtasks of a task, the first ones
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(i32).range(1..=1000))]
    breadth: i32,
    /// So many layers, the task itself is the first; else all
    #[arg(long, default_value_t = 64, hide_default_value = true, value_parser = clap::value_parser!(u8).range(1..))]
    layers: u8,
}

/// What is drawn of a tree: the tasks below each, and how many it has.
#[derive(Debug, Default)]
struct Drawing {
    below: BTreeMap<Uuid, Vec<TaskLine>>,
    counts: BTreeMap<Uuid, SubtaskCounts>,
}

impl Tree {
    pub(super) async fn run(self, session: &mut Session) -> anyhow::Result<Exit> {
        let Some(top) = ask!(session, db => task_lines(db, &[self.task])).pop() else {
            return Ok(not_found(self.task));
        };
        let mut drawing = Drawing::default();
        let mut level: Vec<Uuid> = top.has_subtasks.then_some(top.task_id).into_iter().collect();
        let mut room = DRAWN_MAX;
        for layer in 1..=self.layers {
            if level.is_empty() {
                break;
            }
            let counts = ask!(session, db => subtask_counts(db, &level));
            drawing.counts.extend(counts.into_iter().map(|count| (count.task_id, count)));
            level.truncate(if layer < self.layers { room.div_ceil(self.breadth as usize) } else { 0 });
            let lines = ask!(session, db => subtask_lines(db, &level, self.breadth));
            room = room.saturating_sub(lines.len());
            level = lines.iter().filter(|line| line.has_subtasks).map(|line| line.task_id).collect();
            for line in lines {
                drawing.below.entry(line.parent_task_id.unwrap_or_default()).or_default().push(line);
            }
        }
        let mut text = line(&top, "");
        drawing.draw(top.task_id, "", &mut text);
        print(&text)?;
        Ok(Exit::Done)
    }
}

impl Drawing {
    /// Draws what is below a task; `margin` is what stands before each line.
    fn draw(&self, parent: Uuid, margin: &str, text: &mut String) {
        let lines = self.below.get(&parent).map_or(&[][..], Vec::as_slice);
        let more = self.counts.get(&parent).and_then(|count| rest(count, lines));
        for (number, task) in lines.iter().enumerate() {
            let is_last = number + 1 == lines.len() && more.is_none();
            let (joint, below) = if is_last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            text.push_str(&line(task, &format!("{margin}{joint}")));
            self.draw(task.task_id, &format!("{margin}{below}"), text);
        }
        if let Some(more) = more {
            text.push_str(&format!("{margin}└─ {more}\n"));
        }
    }
}

/// What is said of the subtasks that are not drawn.
fn rest(count: &SubtaskCounts, drawn: &[TaskLine]) -> Option<String> {
    let more = (count.open + count.ended - drawn.len() as i64).max(0);
    let open = (count.open - drawn.iter().filter(|task| !task.has_ended()).count() as i64).max(0);
    (more > 0).then(|| format!("… and {more} more, {open} of them open"))
}

fn line(task: &TaskLine, margin: &str) -> String {
    let words = [task.task_id.to_string(), task.action.clone(), task.status.clone(), result(task), took(task)];
    let words: Vec<String> = words.into_iter().filter(|word| !word.is_empty()).collect();
    format!("{margin}{}\n", printable(&words.join(" ")))
}
