//! `longshore doctor` where the way to the server, the clock or a partition's end is at fault; and `longshore health`.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::thread;

use sqlx::{Connection, Executor, PgConnection};

use crate::doctor::codes;
use crate::schedules::with_database;
use crate::{Folder, SERVER, read, signal, stderr, stdout, wait_for};

/// What stands between, and what it keeps from arriving.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Between {
    /// Notifications, as a proxy does that does not know them.
    NoNotifications,
    /// The session's settings, as a pooler does that is told to ignore them.
    NoSettings,
}

/// Listens before the server; the URL of the same database through it.
fn between(url: &str, kind: Between) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let socket = SERVER.socket_dir().join(format!(".s.PGSQL.{}", SERVER.port()));
    thread::spawn(move || {
        for client in listener.incoming() {
            let (client, server) = (client.expect("a client"), UnixStream::connect(&socket).expect("the server"));
            let (from, to) = (client.try_clone().expect("a client"), server.try_clone().expect("the server"));
            thread::spawn(move || requests(from, to, kind).ok());
            thread::spawn(move || answers(server, client, kind).ok());
        }
    });
    let database = url.split('?').next().and_then(|url| url.rsplit('/').next()).expect("a database");
    format!("postgres://{}@127.0.0.1:{port}/{database}?sslmode=disable", SERVER.user())
}

/// The first message has its length first, and then pairs of texts.
fn requests(mut client: TcpStream, mut server: UnixStream, kind: Between) -> std::io::Result<()> {
    let mut length = [0; 4];
    client.read_exact(&mut length)?;
    let mut startup = vec![0; u32::from_be_bytes(length) as usize - 4];
    client.read_exact(&mut startup)?;
    if kind == Between::NoSettings {
        let at = startup.windows(9).position(|it| it == b"\0options\0").expect("settings") + 1;
        let value = at + b"options\0".len();
        let end = value + startup[value..].iter().position(|byte| *byte == 0).expect("its end") + 1;
        startup.drain(at..end);
    }
    server.write_all(&(startup.len() as u32 + 4).to_be_bytes())?;
    server.write_all(&startup)?;
    std::io::copy(&mut client, &mut server)?;
    server.shutdown(std::net::Shutdown::Write)
}

/// Each message has its kind, its length and its body.
fn answers(mut server: UnixStream, mut client: TcpStream, kind: Between) -> std::io::Result<()> {
    loop {
        let mut head = [0; 5];
        server.read_exact(&mut head)?;
        let length = u32::from_be_bytes(head[1..].try_into().expect("four bytes")) as usize;
        let mut body = vec![0; length - 4];
        server.read_exact(&mut body)?;
        if head[0] != b'A' || kind != Between::NoNotifications {
            client.write_all(&head)?;
            client.write_all(&body)?;
        }
    }
}

#[tokio::test]
async fn a_way_on_which_something_is_lost_is_named() {
    let folder = Folder::new("way");
    let (_, url) = with_database(&folder, "SELECT 1").await;
    let doctor = |url: &str, only: &str| {
        folder.longshore(&["doctor", "--json", "--only", only]).env("DATABASE_URL", url).output().expect("output")
    };
    let deaf = doctor(&between(&url, Between::NoNotifications), "LS101,LS102,LS109");
    assert_eq!((codes(&deaf), deaf.status.code()), (vec!["LS109".to_owned()], Some(4)));
    assert!(stdout(&deaf).contains("did not arrive within 5s"), "{}", stdout(&deaf));
    let pooled = doctor(&between(&url, Between::NoSettings), "LS101,LS102,LS109");
    assert_eq!((codes(&pooled), pooled.status.code()), (vec!["LS102".to_owned()], Some(4)));
    assert!(stdout(&pooled).contains(r#"connection = \"transaction_pooler\""#), "{}", stdout(&pooled));

    folder.write(
        "pooled.toml",
        &format!("database_url = {url:?}\nconnection = \"transaction_pooler\"\n[actions.noop]\nexecutor = \"noop\"\n"),
    );
    let told =
        folder.longshore(&["doctor", "--config", "pooled.toml", "--skip", "LS108,LS411"]).output().expect("output");
    assert_eq!(told.status.code(), Some(0), "{}", stdout(&told));
    assert!(stdout(&told).contains("not checked: LS109\n"), "{}", stdout(&told));
}

#[tokio::test]
async fn a_clock_that_is_wrong_is_named() {
    let folder = Folder::new("clock");
    let (_, url) = with_database(&folder, "SELECT 1").await;
    // the program's wall clock goes a minute ahead, its monotonic one as it does
    let source = folder.write(
        "ahead.c",
        "#define _GNU_SOURCE\n#include <time.h>\n#include <unistd.h>\n#include <sys/syscall.h>\n\
         int clock_gettime(clockid_t clock, struct timespec *now) {\n\
             int failed = syscall(SYS_clock_gettime, clock, now);\n\
             if (clock == CLOCK_REALTIME) now->tv_sec += 60;\n\
             return failed;\n\
         }\n",
    );
    let library = folder.0.join("ahead.so");
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source);
    assert!(cc.status().expect("the C compiler that links Rust programs").success());
    let doctor = || {
        let mut command = folder.longshore(&["doctor", "--json", "--only", "LS107"]);
        command.env("DATABASE_URL", &url);
        command
    };
    assert_eq!(codes(&doctor().output().expect("output")), Vec::<String>::new());
    let output = doctor().env("LD_PRELOAD", &library).output().expect("output");
    assert_eq!((codes(&output), output.status.code()), (vec!["LS107".to_owned()], Some(0)));
    assert!(stdout(&output).contains("60.0s behind this machine's") || stdout(&output).contains("59.9s behind"));
}

#[tokio::test]
async fn a_detach_that_was_interrupted_is_named_with_the_statement_that_ends_it() {
    let folder = Folder::new("detach");
    let (longshore, url) = with_database(&folder, "SELECT 1").await;
    let mut reader = PgConnection::connect(&url).await.expect("a connection");
    reader.execute("BEGIN; SELECT FROM tasks").await.expect("a lock");
    let mut owner = PgConnection::connect(&url).await.expect("a connection");
    owner.execute("SET statement_timeout = '500ms'").await.expect("a bound");
    // it waits for the reader, and gives up halfway
    assert!(owner.execute("ALTER TABLE tasks DETACH PARTITION tasks_past CONCURRENTLY").await.is_err());
    reader.execute("ROLLBACK").await.expect("its end");
    let output = longshore(&["doctor", "--json", "--only", "LS407,LS410"]);
    assert_eq!(codes(&output), ["LS410"], "{}", stdout(&output));
    owner.execute("SET statement_timeout = 0").await.expect("no bound");
    let remedy = "ALTER TABLE tasks DETACH PARTITION tasks_past FINALIZE";
    assert!(stdout(&output).contains(remedy), "{}", stdout(&output));
    owner.execute(remedy).await.expect("the remedy works");
    assert_eq!(codes(&longshore(&["doctor", "--json", "--only", "LS407,LS410"])), Vec::<String>::new());
}

#[tokio::test]
async fn a_worker_is_asked_for_its_health() {
    let folder = Folder::new("health");
    let (_, url) = with_database(&folder, "SELECT 1").await;
    let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address").port();
    let config = |listen: &str| format!("[http]\nlisten = \"{listen}\"\n[actions.noop]\nexecutor = \"noop\"\n");
    folder.write("longshore.toml", &config(&format!("0.0.0.0:{port}")));
    let health = |arguments: &[&str]| folder.longshore(&[&["health"], arguments].concat()).output().expect("output");
    let nobody = health(&[]);
    assert_eq!(nobody.status.code(), Some(4));
    assert!(stderr(&nobody).contains(&format!("http://127.0.0.1:{port}/readyz: ")), "{}", stderr(&nobody));

    let log = folder.0.join("log");
    let mut command = folder.longshore(&["worker"]);
    command.env("DATABASE_URL", &url).stdout(Stdio::null()).stderr(std::fs::File::create(&log).expect("a log"));
    let mut worker = command.spawn().expect("a worker");
    wait_for("it is ready", || health(&[]).status.success().then_some(()));
    assert!(stdout(&health(&[])).contains("database: ok"), "{}", read(&log));
    let at = format!("http://127.0.0.1:{port}");
    let alive = health(&["--live", "--url", &at]);
    assert_eq!((alive.status.code(), stdout(&alive).as_str()), (Some(0), "ok\n"));
    // stopped, it answers nothing
    signal("-STOP", worker.id());
    assert_eq!(health(&["--timeout", "300ms"]).status.code(), Some(4));
    signal("-CONT", worker.id());
    signal("-TERM", worker.id());
    assert!(worker.wait().expect("its end").success(), "{}", read(&log));

    folder.write("any.toml", &config("127.0.0.1:0"));
    assert_eq!(health(&["--config", "any.toml"]).status.code(), Some(2), "which port?");
    folder.write("bad.toml", "[http]\nlisten = 5\n");
    assert_eq!(health(&["--config", "bad.toml"]).status.code(), Some(64));
    for wrong in ["ftp://x", "9464", "127.0.0.1:9464"] {
        assert_eq!(health(&["--url", wrong]).status.code(), Some(2), "{wrong}");
    }
}
