//! `longshore top`.
//!
//! | file | holds |
//! |---|---|
//! | `view` | what was read, as text and as JSON |
//! | `screen` | the terminal: drawn in place, and put back as it was |

mod screen;
mod view;

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use longshore_queue::{Connect, Depth, Session, depths, inserted, pauses, queue_names, workers};

use self::screen::Screen;
use self::view::{Shown, View};
use super::database::{Database, ask, open};
use super::exit::{BadInput, Exit};
use super::say::{print, print_json};
use super::values::duration;
use super::{block_on, told};

/// Tasks counted a queue, priority and state at most.
const COUNT_MAX: i32 = 1_000;

/// Queues counted by one statement.
const QUEUES_A_STATEMENT: usize = 20;

/// Whether there are other queues is looked up so often.
const NAMES_EVERY: Duration = Duration::from_secs(15);

/// The shortest between two looks.
const INTERVAL_MIN: Duration = Duration::from_millis(500);

/// Looks take at most one part in so many of the time, however dear they are; one that fails is not dear.
const SHARE: u32 = 20;

/// Shows rates, depths, ages and workers, live; q or Ctrl-C ends it.
///
/// A terminal that is too small shows the queues whose tasks wait the longest, and the workers that do not work, first.
/// Depths are counted up to 1,000 a queue, priority and state, inserts among the newest 10,000 tasks; claims and ends a
/// second are those that the workers report with their heartbeats. It reads what a reader may read. Where stdout is no
/// terminal it prints once.
///
/// Exits 0 done, 1 failed, 2 wrong usage, 64 bad configuration.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  longshore top
  longshore top --once
  longshore top --json | jq '.queues[] | {queue, ready, oldest_ready_age_seconds}'")]
pub(crate) struct Top {
    /// Prints once, and ends
    #[arg(long)]
    once: bool,
    /// Prints once, as a JSON object: queues, workers, pauses
    #[arg(long)]
    json: bool,
    /// From one look to the next, such as 500ms or 5s
    #[arg(long, default_value = "2s", value_parser = duration)]
    interval: Duration,
    #[command(flatten)]
    database: Database,
}

impl Top {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        if self.interval < INTERVAL_MIN {
            return Err(
                BadInput(format!("--interval must be at least {INTERVAL_MIN:?}, got {:?}", self.interval)).into()
            );
        }
        block_on(async {
            let connect = self.database.connect()?;
            let mut look = Look::new(connect.address());
            let mut session = open(&connect).await?;
            if self.json || self.once || !io::stdout().is_terminal() {
                let view = look.at(&mut session).await?;
                if self.json {
                    print_json(&view.document())?
                } else {
                    print(&view.text())?
                }
                session.close().await;
            } else {
                self.live(look, &connect, session).await?;
            }
            Ok(Exit::Done.into())
        })
    }

    /// Looks again and again; a database that is away for a while is said to be.
    async fn live(&self, mut look: Look, connect: &Connect, session: Session) -> anyhow::Result<()> {
        let mut session = Some(session);
        let mut screen = Screen::open()?;
        loop {
            let began = Instant::now();
            let seen = async {
                let mut open = match session.take() {
                    Some(open) => open,
                    None => open(connect).await?,
                };
                let view = look.at(&mut open).await?;
                session = Some(open);
                anyhow::Ok(view)
            };
            let Some(seen) = screen.attend(seen).await? else { break };
            let dear = if seen.is_ok() { began.elapsed() * (SHARE - 1) } else { Duration::ZERO };
            screen.show(match seen {
                Ok(view) => Shown::View(view),
                Err(error) => Shown::Said(format!("{}; looking again\n", told(&error))),
            })?;
            let pause = self.interval.saturating_sub(began.elapsed()).max(dear);
            if screen.attend(tokio::time::sleep(pause)).await?.is_none() {
                break;
            }
        }
        Ok(())
    }
}

/// What is kept from one look to the next.
struct Look {
    address: String,
    names: Vec<String>,
    named: Option<Instant>,
}

impl Look {
    fn new(address: String) -> Self {
        Self { address, names: Vec::new(), named: None }
    }

    async fn at(&mut self, session: &mut Session) -> anyhow::Result<View> {
        if self.named.is_none_or(|named| named.elapsed() >= NAMES_EVERY) {
            self.names = ask!(session, db => queue_names(db));
            self.named = Some(Instant::now());
        }
        let mut counted: BTreeMap<String, Depth> = BTreeMap::new();
        for some in self.names.chunks(QUEUES_A_STATEMENT) {
            let depths = ask!(session, db => depths(db, some, COUNT_MAX));
            counted.extend(depths.into_iter().map(|depth| (depth.queue.clone(), depth)));
        }
        Ok(View {
            address: self.address.clone(),
            depths: counted.into_values().collect(),
            inserted: ask!(session, db => inserted(db)).into_iter().collect(),
            workers: ask!(session, db => workers(db)),
            pauses: ask!(session, db => pauses(db)),
        })
    }
}
