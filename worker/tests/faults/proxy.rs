//! Stands between a worker and Postgres, and breaks connections at a statement of choice.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncWriteExt, BufReader, BufWriter};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::support::Database;
use crate::wire::{Message, read_startup};

/// The statements that can be struck, by their text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Statement {
    Claim,
    Complete,
    Record,
    Requeue,
    SettleTree,
    InsertSubtasks,
    Tick,
}

impl Statement {
    pub(crate) const ALL: [Self; 7] =
        [Self::Claim, Self::Complete, Self::Record, Self::Requeue, Self::SettleTree, Self::InsertSubtasks, Self::Tick];

    const TEXTS: [(Self, &'static str); 7] = [
        (Self::Claim, include_str!("../../../queue/src/sql/claim.sql")),
        (Self::Complete, include_str!("../../../queue/src/sql/complete.sql")),
        (Self::Record, include_str!("../../../queue/src/sql/record.sql")),
        (Self::Requeue, include_str!("../../../queue/src/sql/requeue.sql")),
        (Self::SettleTree, include_str!("../../../queue/src/sql/settle_tree.sql")),
        (Self::InsertSubtasks, include_str!("../../../queue/src/sql/insert_subtasks.sql")),
        (Self::Tick, include_str!("../../../queue/src/sql/tick.sql")),
    ];

    fn of(text: &str) -> Option<Self> {
        Self::TEXTS.iter().find(|(_, known)| *known == text).map(|(statement, _)| *statement)
    }
}

/// Where a connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Cut {
    /// Before the server sees the statement.
    Before,
    /// After the server has executed it, before it commits.
    Uncommitted,
    /// After the commit, before its answer.
    Unanswered,
    /// After the answer.
    Answered,
}

impl Cut {
    pub(crate) const ALL: [Self; 4] = [Self::Before, Self::Uncommitted, Self::Unanswered, Self::Answered];
}

/// How the way to the database is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weather {
    Clear,
    /// Every connection is cut, and none is accepted.
    Away,
    /// Every answer is asked for so much later.
    Slow(Duration),
}

/// The proxy; its connections end with it.
pub(crate) struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    ended: watch::Sender<bool>,
}

struct Shared {
    target: u16,
    weather: watch::Sender<Weather>,
    /// How often the connections of an application name were frozen.
    frozen: watch::Sender<HashMap<String, u64>>,
    planned: Mutex<HashMap<Statement, VecDeque<Cut>>>,
    struck: Mutex<HashMap<(Statement, Cut), u64>>,
}

impl Proxy {
    /// To the server of this database.
    pub(crate) fn start(database: &Database) -> Self {
        let target =
            database.tcp_url.rsplit(':').next().and_then(|end| end.split('/').next()).unwrap().parse().unwrap();
        let shared = Arc::new(Shared {
            target,
            weather: watch::Sender::new(Weather::Clear),
            frozen: watch::Sender::new(HashMap::new()),
            planned: Mutex::default(),
            struck: Mutex::default(),
        });
        let ended = watch::Sender::new(false);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (state, mut end) = (Arc::clone(&shared), ended.subscribe());
        // a thread of its own: a story that waits for a process must not hold the connections up
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                tokio::select! {
                    () = accept(TcpListener::from_std(listener).unwrap(), state) => {}
                    _ = end.wait_for(|ended| *ended) => {}
                }
            });
        });
        Self { port, shared, ended }
    }

    /// The same URL, through the proxy.
    pub(crate) fn url(&self, database: &Database) -> String {
        let url = database.tcp_url.replace(&format!(":{}/", self.shared.target), &format!(":{}/", self.port));
        assert_ne!(url, database.tcp_url);
        format!("{url}?sslmode=disable")
    }

    /// Strikes the next statements of a kind, one cut each.
    pub(crate) fn strike(&self, statement: Statement, cuts: impl IntoIterator<Item = Cut>) {
        self.shared.planned.lock().unwrap().entry(statement).or_default().extend(cuts);
    }

    /// How often statements of this kind were cut there.
    pub(crate) fn struck(&self, statement: Statement, cut: Cut) -> u64 {
        self.shared.struck.lock().unwrap().get(&(statement, cut)).copied().unwrap_or_default()
    }

    /// Nothing more is broken.
    pub(crate) fn clear(&self) {
        self.weather(Weather::Clear);
        self.shared.planned.lock().unwrap().clear();
    }

    /// How many strikes are still to come.
    pub(crate) fn outstanding(&self) -> usize {
        self.shared.planned.lock().unwrap().values().map(VecDeque::len).sum()
    }

    pub(crate) fn weather(&self, weather: Weather) {
        self.shared.weather.send_replace(weather);
    }

    /// The connections there are of this application name hang from here on; new ones work.
    pub(crate) fn freeze(&self, application: &str) {
        self.shared.frozen.send_modify(|frozen| *frozen.entry(application.to_owned()).or_default() += 1);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.ended.send_replace(true);
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        if *shared.weather.borrow() == Weather::Away {
            continue;
        }
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let mut weather = shared.weather.subscribe();
            tokio::select! {
                // whoever talks to the proxy learns of a cut by the cut
                _ = converse(client, &shared) => {}
                _ = weather.wait_for(|weather| *weather == Weather::Away) => {}
            }
        });
    }
}

async fn converse(mut client: TcpStream, shared: &Shared) -> io::Result<()> {
    client.set_nodelay(true)?;
    let (startup, application) = read_startup(&mut client).await?;
    let mut server = TcpStream::connect(("127.0.0.1", shared.target)).await?;
    server.set_nodelay(true)?;
    server.write_all(&startup).await?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let stage = watch::Sender::new(Stage::Passing);
    let mut frozen = shared.frozen.subscribe();
    let times = |frozen: &HashMap<String, u64>| frozen.get(&application).copied().unwrap_or_default();
    let since = times(&frozen.borrow());
    let mut talk = std::pin::pin!(async {
        tokio::select! {
            done = ask(BufReader::new(from_client), to_server, &stage, shared) => done,
            done = answer(BufReader::new(from_server), to_client, &stage) => done,
        }
    });
    tokio::select! {
        biased;
        _ = frozen.wait_for(|frozen| times(frozen) > since) => {}
        done = &mut talk => return done,
    }
    // half open: both ends are kept, and nothing passes
    std::future::pending().await
}

/// What becomes of the server's answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Passing,
    /// The connection ends at the first message of this type: passed on, or swallowed with all before it.
    Until {
        kind: u8,
        pass: bool,
    },
}

/// The client's way to the server.
async fn ask(
    mut from: BufReader<OwnedReadHalf>,
    to: OwnedWriteHalf,
    stage: &watch::Sender<Stage>,
    shared: &Shared,
) -> io::Result<()> {
    let mut to = BufWriter::new(to);
    let mut names = HashMap::new();
    let mut struck = None;
    loop {
        let message = Message::read(&mut from).await?;
        if let Some((name, text)) = message.parse() {
            names.insert(name, Statement::of(&text));
        }
        if let Some(statement) = message.bind().and_then(|name| names.get(&name).copied().flatten()) {
            struck = shared.strike(statement);
        }
        match struck {
            Some(Cut::Before) => return Ok(()),
            Some(Cut::Uncommitted) => _ = stage.send_replace(Stage::Until { kind: b'C', pass: false }),
            Some(Cut::Unanswered) => _ = stage.send_replace(Stage::Until { kind: b'Z', pass: false }),
            Some(Cut::Answered) => _ = stage.send_replace(Stage::Until { kind: b'Z', pass: true }),
            None => {}
        }
        if message.is_sync() {
            let weather = *shared.weather.borrow();
            if let Weather::Slow(delay) = weather {
                tokio::time::sleep(delay).await;
            }
        }
        if message.is_sync() && struck == Some(Cut::Uncommitted) {
            // the end of the transaction never arrives
            Message::flush().write(&mut to).await?;
        } else {
            message.write(&mut to).await?;
        }
        if from.buffer().is_empty() {
            to.flush().await?;
        }
    }
}

/// The server's way to the client. Returns where the connection shall end.
async fn answer(
    mut from: BufReader<OwnedReadHalf>,
    to: OwnedWriteHalf,
    stage: &watch::Sender<Stage>,
) -> io::Result<()> {
    let mut to = BufWriter::new(to);
    loop {
        let message = Message::read(&mut from).await?;
        let now = *stage.borrow();
        match now {
            Stage::Until { kind, pass: false } if message.kind == kind => return Ok(()),
            Stage::Until { pass: false, .. } => continue,
            Stage::Until { kind, pass: true } if message.kind == kind => {
                message.write(&mut to).await?;
                return to.flush().await;
            }
            _ => {}
        }
        message.write(&mut to).await?;
        if from.buffer().is_empty() {
            to.flush().await?;
        }
    }
}

impl Shared {
    /// The cut that is next for this statement.
    fn strike(&self, statement: Statement) -> Option<Cut> {
        let cut = self.planned.lock().unwrap().get_mut(&statement)?.pop_front()?;
        *self.struck.lock().unwrap().entry((statement, cut)).or_default() += 1;
        Some(cut)
    }
}
