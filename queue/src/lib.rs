//! Longshore's tables, and nothing about who runs them: a durable task queue on Postgres.
//!
//! A task is a row of `tasks`. Anybody may insert one; a worker [`claim`]s a batch, settles each task with [`complete`]
//! or [`requeue`], and says with a [`heartbeat`] that it is alive. Every write to a held task carries its claim token:
//! the fence that keeps a worker out whose lease has run out. Each function is one statement and takes a pool, a
//! connection or a transaction.
//!
//! | step | file |
//! |---|---|
//! | nouns, and the table of legal steps | `task`, `subtask` |
//! | a producer's | `cell`, `insert`, `terminate`, `retry`, `read`, `list`, `document` |
//! | a worker's | `claim`, `record`, `build_data`, `complete`, `tree`, `changes`, `heartbeat`, `listen` |
//! | the leader's | `leader`, `rescue`, `prune`, `schedule` |
//! | an operator's | `pause`, `workers`, `standing`, `examine` |
//! | everybody's | `address`, `connect`, `migrate`, `roles`, `summary`, `error` |

mod address;
mod build_data;
mod cell;
mod changes;
mod claim;
mod complete;
mod connect;
mod document;
mod error;
pub mod examine;
mod heartbeat;
mod insert;
mod leader;
mod list;
mod listen;
mod migrate;
mod pause;
mod prune;
mod read;
mod record;
mod rescue;
mod retry;
mod roles;
mod schedule;
mod standing;
mod subtask;
mod summary;
mod task;
mod terminate;
mod tree;
mod workers;

pub use address::{Tls, wrong_address};
pub use build_data::{
    BuildData, BuildView, NewBuildData, PrunedBuildData, builds, builds_of_node, builds_of_task, insert_build_data,
    prune_build_data, record_build_data,
};
pub use cell::cell_of;
pub use changes::{Change, changes};
pub use claim::{ClaimRequest, Claimed, Key, Keys, PRIORITIES, claim, settle_unique};
pub use complete::{
    Completion, Fate, Forgotten, Held, LastOf, Locked, OUTPUT_IN_ROW_MAX_BYTES, Requeue, complete, fates, forgotten,
    requeue,
};
pub use connect::{ANSWER_TIMEOUT, Connect, Db, STATEMENT_TIMEOUT, Session, SessionStep, within};
pub use document::{
    Details, Layers, Link, Named, NodeFilter, NodeNames, StatusDocument, StatusMessageDocument, SubtaskErrors,
    TaskDocument, TreeDocument, documents, subtask_errors,
};
pub use error::{Error, Result};
pub use heartbeat::{Load, Served, heartbeat, idle, leave, register};
pub use insert::{NewTask, example_insert, insert, insert_many};
pub use leader::{Lead, Leadership, abdicate, lead};
pub use list::{Filter, Found, TaskLine, Within, find_in_tree, find_tasks, subtask_lines, task_lines};
pub use listen::{Listener, Wake, notify_arrives};
pub use migrate::{
    Migration, check_schema, create_database, migrate, migrations, newest_version, pending, pending_sql,
};
pub use pause::{Pause, PauseEnd, Paused, pause, pauses, resume};
pub use prune::{PartitionBytes, Retention, UpkeepAction, UpkeepStep, analyze_tables, table_bytes, upkeep_step};
pub use read::{
    Depth, Fleet, Holder, RecordedMessage, TableHealth, TaskState, TreeCursor, TreeMessage, depths, fleet, follow_log,
    holder, messages, oldest_snapshot, read, table_health, tree_messages,
};
pub use record::{LastMessage, NumberedMessage, last_messages, record, record_designs};
pub use rescue::{Rescued, orphaned_queues, rescue};
pub use retry::retry_task;
pub use roles::{grant_roles, roles_sql};
pub use schedule::{
    DueSchedule, Missed, Plan, Run, Schedule, Tick, due_schedules, pause_schedule, prune_ticks, refuse_schedule,
    run_schedule, schedules, tick,
};
pub use standing::{Standing, ahead, standing};
pub use subtask::{Subtask, SubtaskPolicy, Subtasks, Wait};
pub use summary::{Pace, Tally, pace, summary};
pub use task::{Bubble, Outcome, ResultMessage, ResultStatus, Status, Step, Task, TaskResult};
pub use terminate::terminate;
pub use tree::{
    Insertion, RetryFailed, SubtaskCounts, Suspension, TreeOutcome, insert_subtasks, rescue_trees, settle_tree,
    subtask_counts, subtasks,
};
pub use workers::{WorkerLine, WorkerQueue, drain_worker, inserted, queue_names, workers};
