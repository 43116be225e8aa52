//! Which tasks a command means: the same options for `list`, `retry` and `terminate`.

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use longshore_queue::{Filter, ResultStatus, Session, Status, Within, find_in_tree, find_tasks};
use uuid::Uuid;

use crate::cli::database::ask;
use crate::cli::values::uuid;

#[derive(Debug, Clone, Args)]
#[group(id = "filter", multiple = true)]
pub(super) struct Filters {
    /// Of this queue
    #[arg(long)]
    queue: Option<String>,
    /// Of this action
    #[arg(long)]
    action: Option<String>,
    /// In this state; several with commas
    #[arg(long, value_delimiter = ',', value_parser = statuses())]
    status: Vec<Status>,
    /// With this result; several with commas
    #[arg(long, value_delimiter = ',', value_parser = results())]
    result: Vec<ResultStatus>,
    /// Subtasks of this task, without theirs
    #[arg(long, value_name = "TASK", conflicts_with = "root", value_parser = uuid)]
    parent: Option<Uuid>,
    /// This task and all below it
    #[arg(long, value_name = "TASK", value_parser = uuid)]
    root: Option<Uuid>,
    /// Inserted by this schedule
    #[arg(long, value_name = "NAME")]
    schedule: Option<String>,
}

fn statuses() -> impl TypedValueParser<Value = Status> {
    PossibleValuesParser::new(Status::ALL.map(Status::as_str))
        .map(|name| Status::parse(&name).expect("a possible value is the name of a state"))
}

fn results() -> impl TypedValueParser<Value = ResultStatus> {
    PossibleValuesParser::new(ResultStatus::ALL.map(ResultStatus::as_str))
        .map(|name| ResultStatus::parse(&name).expect("a possible value is the name of a result"))
}

impl Filters {
    /// Whether anything is asked for.
    pub(super) fn is_empty(&self) -> bool {
        self.filter() == Filter::default() && self.parent.is_none() && self.root.is_none()
    }

    /// Those of the states and results meant that `of` has as well; false when that leaves none.
    pub(super) fn narrow(&mut self, statuses: &[Status], results: &[ResultStatus]) -> bool {
        narrow(&mut self.status, statuses) && narrow(&mut self.result, results)
    }

    fn filter(&self) -> Filter {
        Filter {
            queue: self.queue.clone(),
            action: self.action.clone(),
            statuses: self.status.clone(),
            results: self.result.clone(),
            schedule: self.schedule.clone(),
        }
    }

    /// The newest `limit` tasks before an id, by bounded statements.
    pub(super) async fn find(&self, session: &mut Session, mut before: Uuid, limit: i32) -> anyhow::Result<Vec<Uuid>> {
        let filter = self.filter();
        let within = self.parent.map(Within::Subtasks).or(self.root.map(Within::Tree));
        if let Some(within) = within {
            return Ok(ask!(session, db => find_in_tree(db, &filter, within, before, limit)));
        }
        let mut found = Vec::new();
        loop {
            let left = limit - found.len() as i32;
            let page = ask!(session, db => find_tasks(db, &filter, before, left));
            found.extend(page.task_ids);
            match page.walked_to {
                Some(walked_to) if (found.len() as i32) < limit => before = walked_to,
                _ => return Ok(found),
            }
        }
    }
}

/// What both lists have; an empty `meant` means all.
fn narrow<T: Copy + PartialEq>(meant: &mut Vec<T>, to: &[T]) -> bool {
    if meant.is_empty() {
        meant.extend(to);
    }
    meant.retain(|one| to.contains(one));
    !meant.is_empty()
}
