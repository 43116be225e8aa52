use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Barrier;
use std::thread;

use longshore_postgres::{Error, Options, Server, Signal};

use crate::{Folder, processes_naming, psql, query, temporary, wait_until};

/// Set for the process that a test starts in order to kill it.
const VICTIM: &str = "LONGSHORE_IT_VICTIM";

fn folder_of(server: &Server) -> PathBuf {
    server.data_dir().parent().expect("a data folder has a parent").to_owned()
}

/// A new backend bears its server's command line for a moment: there may be more than two.
fn assert_server_and_guard(folder: &Path) {
    let processes = processes_naming(folder);
    for part in ["postgres -D ", "-guard "] {
        assert!(processes.iter().any(|line| line.contains(part)), "no {part}in {processes:?}");
    }
}

#[test]
fn a_dropped_server_leaves_no_process_and_no_folder() {
    let server = temporary();
    let folder = folder_of(&server);
    assert_server_and_guard(&folder);
    drop(server);
    assert_eq!(processes_naming(&folder), Vec::<String>::new());
    assert!(!folder.exists());
}

/// A process that holds a server in `folder`.
fn start_victim() -> (Child, PathBuf) {
    let mut victim = Command::new(std::env::current_exe().expect("this program"));
    victim.args(["--exact", "life::victim", "--nocapture"]).env(VICTIM, "1");
    let mut victim = victim.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a victim");
    let lines = BufReader::new(victim.stdout.take().expect("its output")).lines();
    let mut lines = lines.map(|line| line.expect("a line"));
    let folder = lines.find_map(|line| line.split_once("folder=").map(|(_, path)| PathBuf::from(path)));
    (victim, folder.expect("the folder of the victim's server"))
}

fn kill(signal: &str, pid: &str) {
    assert!(Command::new("kill").args([signal, pid]).status().expect("kill").success());
}

#[test]
fn a_dead_parent_leaves_no_process_and_no_folder() {
    for signal in ["-KILL", "-INT"] {
        let (mut victim, folder) = start_victim();
        assert_server_and_guard(&folder);
        kill(signal, &victim.id().to_string());
        victim.wait().expect("the end of the victim");
        wait_until("the folder is removed", || !folder.exists());
        wait_until("no process is left", || processes_naming(&folder).is_empty());
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_dead_parent_ends_the_server_even_where_the_guard_is_dead_too() {
    let (mut victim, folder) = start_victim();
    let processes = processes_naming(&folder);
    let guard = processes.iter().find(|line| line.contains("-guard")).expect("a guard");
    kill("-KILL", guard.split_whitespace().next().expect("its pid"));
    kill("-KILL", &victim.id().to_string());
    victim.wait().expect("the end of the victim");
    wait_until("the server ends", || processes_naming(&folder).is_empty());
    fs::remove_dir_all(folder).expect("removed");
}

/// Not a test: the process that `start_victim` starts, for others to kill.
#[test]
fn victim() {
    if std::env::var_os(VICTIM).is_some() {
        let server = temporary();
        println!("\nfolder={}", folder_of(&server).display());
        std::io::stdin().lines().for_each(drop);
    }
}

#[test]
fn a_server_outlives_the_thread_that_started_it() {
    let server = thread::spawn(temporary).join().expect("the thread");
    // A death signal would end the server while this query runs.
    assert_eq!(query(&server, "SELECT 'alive' FROM pg_sleep(0.3)"), "alive");
}

#[test]
fn a_killed_server_restarts_on_the_same_data() {
    let mut server = temporary();
    let (url, pid) = (server.url("postgres"), server.pid());
    query(&server, "CREATE TABLE kept AS SELECT 42 AS answer");
    // A backend that computes does not notice the kill, and holds the shared memory meanwhile.
    let mut busy = psql(&server, "SELECT count(*) FROM generate_series(1, 5000000) AS n WHERE n % 7 = 1");
    let mut busy = busy.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("psql");
    let busy_backends = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%series%7 = 1'";
    wait_until("the backend computes", || query(&server, busy_backends) == "1");

    server.kill().expect("killed");
    server.restart().expect("restarted");
    assert_eq!(query(&server, "SELECT answer FROM kept"), "42");
    assert_eq!(server.url("postgres"), url);
    assert_ne!(server.pid(), pid);
    busy.wait().expect("the end of psql");

    server.stop_immediate().expect("stopped");
    server.restart().expect("restarted");
    assert_eq!(query(&server, "SELECT answer FROM kept"), "42");
}

#[test]
fn settings_and_a_tcp_port_reach_the_server_and_fsync_stays_on() {
    let settings = vec![("work_mem".to_owned(), "5MB".to_owned())];
    let server = Server::temporary(&Options { tcp: true, settings, ..Options::for_tests() }).expect("a server");
    assert_eq!(query(&server, "SHOW fsync"), "on");
    assert_eq!(query(&server, "SHOW work_mem"), "5MB");
    assert_eq!(query(&server, "SHOW listen_addresses"), "127.0.0.1");
    let port = server.tcp_port().expect("a TCP port");
    std::net::TcpStream::connect(("127.0.0.1", port)).expect("a TCP connection");
    assert_eq!(server.tcp_url("a"), Some(format!("postgres://longshore@127.0.0.1:{port}/a")));

    server.signal(Signal::HUP).expect("signalled");
    let reloaded = "received SIGHUP";
    wait_until("the log tells of the signal", || {
        fs::read_to_string(server.log_path()).expect("the log").contains(reloaded)
    });
}

#[test]
fn a_second_persistent_start_attaches_and_the_data_outlives_both() {
    let folder = Folder::new("attach");
    let data_dir = folder.0.join("pg");
    let start = || Server::persistent(Some(&data_dir), &Options::for_tests()).expect("a server");
    let both = Barrier::new(2);
    let start_together = || {
        both.wait();
        start()
    };
    let servers = thread::scope(|scope| {
        [scope.spawn(start_together), scope.spawn(start_together)].map(|it| it.join().expect("a thread"))
    });
    let (attached, own): (Vec<_>, Vec<_>) = servers.into_iter().partition(Server::is_attached);
    let (mut attached, own) = (attached, own);
    assert_eq!((attached.len(), own.len()), (1, 1));
    assert_eq!(attached[0].pid(), own[0].pid());
    assert_eq!(attached[0].url("postgres"), own[0].url("postgres"));
    assert!(matches!(attached[0].kill(), Err(Error::Attached(_))));
    assert!(matches!(attached[0].restart(), Err(Error::Attached(_))));
    drop(attached);
    query(&own[0], "CREATE TABLE kept AS SELECT 42 AS answer");
    drop(own);
    assert_eq!(processes_naming(&data_dir), Vec::<String>::new());

    let again = start();
    assert!(!again.is_attached());
    assert_eq!(query(&again, "SELECT answer FROM kept"), "42");
}

#[test]
fn a_socket_path_that_is_too_long_is_refused() {
    let folder = Folder::new("long");
    let long = folder.0.join("x".repeat(100));
    let options = Options { socket_dir: Some(long.clone()), ..Options::for_tests() };
    let error = Server::temporary(&options).expect_err("too long");
    assert!(matches!(error, Error::SocketPathTooLong { .. }), "{error}");
    let path = long.join(".s.PGSQL.5432");
    let expected = format!("socket path `{}` has {} bytes, the limit is", path.display(), path.as_os_str().len());
    assert!(error.to_string().starts_with(&expected), "{error}");

    // A data folder may be long: its socket lies elsewhere, in a folder that goes with the server.
    let server = Server::persistent(Some(&long.join("pg")), &Options::for_tests()).expect("a server");
    assert_eq!(query(&server, "SELECT 1"), "1");
    let socket_dir = server.socket_dir().to_owned();
    assert!(!socket_dir.starts_with(&folder.0) && socket_dir.exists());
    drop(server);
    assert!(!socket_dir.exists());
}

#[test]
fn a_data_folder_of_a_major_that_is_not_installed_is_refused() {
    let folder = Folder::new("major");
    fs::write(folder.0.join("PG_VERSION"), "99\n").expect("written");
    let error = Server::persistent(Some(&folder.0), &Options::for_tests()).expect_err("no such major");
    assert!(matches!(error, Error::WrongMajor { major: 99, .. }), "{error}");
}

#[test]
fn a_server_that_cannot_start_shows_the_end_of_its_log() {
    let settings = vec![("work_mem".to_owned(), "much".to_owned())];
    let options = Options { settings, ..Options::for_tests() };
    let error = Server::temporary(&options).expect_err("a setting that is wrong");
    assert!(error.to_string().contains("invalid value for parameter \"work_mem\": \"much\""), "{error}");
}

#[test]
fn a_superuser_with_odd_letters_is_found_through_the_url() {
    let options = Options { user: "an odd@name".to_owned(), ..Options::for_tests() };
    let server = Server::temporary(&options).expect("a server");
    assert_eq!(query(&server, "SELECT current_user"), "an odd@name");
    assert!(Path::new(server.bin_dir()).join("postgres").is_file());
}

#[test]
fn a_standby_has_what_its_primary_has_and_can_be_promoted() {
    let primary = temporary();
    let standby = match Server::standby(&primary, &Options::for_tests()) {
        Ok(standby) => standby,
        Err(Error::Lacks { program, bin_dir }) => return println!("skipped: no {program} in {}", bin_dir.display()),
        Err(error) => panic!("{error}"),
    };
    query(&primary, "CREATE TABLE later (number int)");
    wait_until("it streams", || query(&standby, "SELECT to_regclass('later') IS NOT NULL") == "t");
    assert_eq!(query(&standby, "SELECT pg_is_in_recovery()"), "t");
    primary.kill().expect("killed");
    assert_eq!(query(&standby, "SELECT pg_promote()"), "t");
    assert_eq!(query(&standby, "INSERT INTO later VALUES (7) RETURNING number"), "7");
}
