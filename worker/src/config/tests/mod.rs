//! What a file may say, and what is said about a wrong one.

mod bounds;
mod cells;
mod design;
mod keys;
mod load;

use std::error::Error as _;

use super::*;

/// An action, so that a text lacks nothing else.
const NOOP: &str = "\n[actions.noop]\nexecutor = \"noop\"\n";

/// What is wrong with this text, without the name of the file.
fn wrong(text: &str) -> String {
    let error = Config::parse(text, "f").expect_err("the text is refused");
    assert!(error.source().is_none());
    error.problems().iter().map(|problem| problem.strip_prefix("f").unwrap_or(problem)).collect::<Vec<_>>().join("\n")
}

/// What is wrong with one line of a section, with an action beside it.
fn wrong_in(section: &str, line: &str) -> String {
    wrong(&format!("[{section}]\n{line}\n{NOOP}"))
}

/// What is wrong with one line of an action.
fn wrong_action(executor: &str, line: &str) -> String {
    wrong(&format!("[actions.a]\nexecutor = \"{executor}\"\n{line}"))
}

fn right(text: &str) -> Config {
    Config::parse(text, "f").expect("the text is a configuration")
}

#[test]
fn the_least_file_has_every_default() {
    let config = right(NOOP);
    let queue = Queue { concurrency: 64, poll: Duration::from_secs(1), prefetch: true };
    let (worker, name) = (config.worker.clone(), config.worker.name.clone());
    let expected = Config {
        source: "f".to_owned(),
        cells: Cells::default(),
        schema: "public".to_owned(),
        connection: Connection::Direct,
        notify: true,
        log: LogFormat::Text,
        http: Http { listen: ([127, 0, 0, 1], 9464).into() },
        worker: Worker {
            name,
            heartbeat: Duration::from_secs(5),
            lease: Duration::from_secs(15),
            shutdown_deadline: Duration::from_secs(25),
            executor_threads: worker.executor_threads,
        },
        queues: BTreeMap::from([("default".to_owned(), queue)]),
        actions: BTreeMap::from([(
            "noop".to_owned(),
            Action {
                timeout: Duration::from_secs(3600),
                queues: BTreeSet::from(["default".to_owned()]),
                retry: Backoff::default(),
                design: None,
                executor: ActionExecutor::Noop,
            },
        )]),
        retention: Retention {
            success: Duration::from_secs(7 * 86_400),
            other: Duration::from_secs(30 * 86_400),
            build_data: None,
        },
        design: config.design.clone(),
        otlp: None,
    };
    assert_eq!(config, expected);
    assert!(worker.name.ends_with(&format!("-{}", std::process::id())) && worker.name.len() <= 128);
    assert!(worker.executor_threads >= 1);
}

#[test]
fn a_command_and_a_post_have_their_defaults() {
    let config =
        right("[actions.c]\nexecutor = 'command'\nargv = ['x']\n[actions.h]\nexecutor = 'http'\nurl = 'http://h/'");
    let command = CommandSettings {
        argv: vec!["x".to_owned()],
        stdout: Stdout::Text,
        env: BTreeMap::new(),
        max_output_bytes: 1_048_576,
        kill_after: Duration::from_secs(5),
    };
    assert_eq!(config.actions["c"].executor, ActionExecutor::Command(command));
    let http = HttpSettings { url: "http://h/".to_owned(), headers: BTreeMap::new() };
    assert_eq!(config.actions["h"].executor, ActionExecutor::Http(http));
}

#[test]
fn the_example_is_a_configuration_and_so_is_each_default_in_it() {
    let text = include_str!("../../../longshore.example.toml");
    let example = right(text);
    assert_eq!(example.actions.keys().collect::<Vec<_>>(), ["deploy", "noop", "notify", "resize"]);
    assert_eq!(example.actions["resize"].queues, BTreeSet::from(["slow".to_owned()]));

    // A line "# key = …" or "# [section]" is one to be taken in; all other comments are prose.
    let is_key = |line: &str| line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '));
    let taken =
        |line: &str| line.strip_prefix("# ").filter(|rest| is_key(rest) || rest.starts_with('[')).map(str::to_owned);
    let full: Vec<String> = text.lines().map(|line| taken(line).unwrap_or_else(|| line.to_owned())).collect();
    let full_text = full.join("\n");
    // it shows one database and a cell, which exclude each other
    let full = right(&full_text.replacen("\ndatabase_url = ", "\n# ", 1));
    assert_eq!(full.rust_actions().collect::<Vec<_>>(), ["thumbnail"]);
    let missing = super::keys::KEYS.iter().filter(|key| !full_text.contains(&format!("\n{} = ", key.name)));
    assert_eq!(missing.map(|key| key.name).collect::<Vec<_>>(), [""; 0], "keys that the example does not show");

    let commented_out = Config {
        cells: Cells::default(),
        worker: Worker {
            executor_threads: full.worker.executor_threads,
            name: full.worker.name.clone(),
            ..example.worker.clone()
        },
        actions: BTreeMap::new(),
        ..example.clone()
    };
    assert_eq!(Config { cells: Cells::default(), actions: BTreeMap::new(), ..full.clone() }, commented_out);
    assert_eq!(full.actions["resize"].retry, example.actions["resize"].retry);
    assert_eq!(full.actions["notify"], example.actions["notify"]);
}

#[test]
fn all_problems_are_told_at_once_in_the_order_of_their_lines() {
    let text = "[retention]\nother = '1s'\n[actions.a]\nexecutor = 'rust'\ntimeout = 1\n[worker]\nleese = '1s'\nlease = '1s'\n";
    let expected = [
        ":2: retention.other must be at least 1m, got 1s",
        ":5: actions.a.timeout must be a duration in quotes such as \"1h\", got 1",
        ":7: worker.leese is unknown: did you mean lease?",
        ":8: worker.lease must be at least 2 x worker.heartbeat (5s), got 1s",
    ];
    assert_eq!(wrong(text), expected.join("\n"));
    let many: String = (0..30).map(|index| format!("[q{index}]\n")).collect();
    let problems = wrong(&format!("{many}{NOOP}"));
    assert_eq!(problems.lines().count(), 21);
    assert!(problems.ends_with(": 10 more problems"));
}

#[test]
fn no_secret_reaches_an_error_or_debug() {
    let refused = [
        "database_url = postgres://u:hunter2@h/db",
        "database_url = 'mysql://u:hunter2@h/db'",
        "database_url = 'postgres://u:hunter2@h:hunter2/db'",
        "database_url = 'postgres://u:hunter2@h,i:hunter2/db'",
        "database_url = 'postgres://u:hunter2@h,i/db?target_session_attrs=best'",
        "database_url = ['hunter2']",
        "databse_url = 'postgres://u:hunter2@h/db'",
        "database_url = \"postgres://u:hunter2@h/db",
        "actions.a = { executor = 'http', url = 'https://u:hunter2@h/' }",
        "actions.a = { executor = 'http', url = '//u:hunter2@h/' }",
        "actions.a = { executor = 'http', url = 'http://h', headers = { A = \"hunter2\\n\" } }",
        "actions.a = { executor = 'http', url = 'http://h', headers = ['hunter2'] }",
        "actions.a = { executor = 'command', argv = ['a'], env = 'hunter2' }",
        "actions.a = { executor = 'command', argv = ['a'], env = { A = \"hunter2\\u0000\" } }",
    ];
    for text in refused {
        let error = Config::parse(text, "f").expect_err(text);
        assert!(!format!("{error} {error:?} {error:#?}").contains("hunter2"), "{error}");
    }
    let taken = right(
        "database_url = 'postgres://u:hunter2@h/db'
        [actions.a]\nexecutor = 'http'\nurl = 'http://h'\nheaders = { Authorization = 'Bearer hunter2' }
        [actions.b]\nexecutor = 'command'\nargv = ['b']\nenv = { TOKEN = 'hunter2' }",
    );
    assert!(!format!("{taken:?} {taken:#?}").contains("hunter2"));
    assert_eq!(taken.databases().expect("a URL")[0].1.expose(), "postgres://u:hunter2@h/db");
    let ActionExecutor::Http(http) = &taken.actions["a"].executor else { panic!("an http executor") };
    assert_eq!(http.headers["authorization"].expose(), "Bearer hunter2");
}

#[test]
fn garbage_of_64_kib_ends_in_a_short_error() {
    let random = fastrand::Rng::with_seed(7);
    let noise = |alphabet: &'static str| {
        let letters: Vec<char> = alphabet.chars().collect();
        let mut random = random.clone();
        (0..65_536).map(|_| letters[random.usize(..letters.len())]).collect::<String>()
    };
    let garbage = [
        noise("[]{}=\"'.,#\n \\u0a\u{1}é"),
        noise("abc=\n[].1"),
        "[".repeat(65_536),
        "a.".repeat(32_768),
        format!("a = {}", "[".repeat(65_530)),
        format!("a = {}", "{a=".repeat(21_840)),
        format!("{} = 1", "k".repeat(65_532)),
        "\0".repeat(65_536),
        "\u{10FFFF}".repeat(16_384),
        (0..6_000).map(|index| format!("k{index} = 1\n")).collect(),
    ];
    for text in garbage {
        let error = Config::parse(&text, "f").expect_err("garbage is refused");
        assert!(error.to_string().len() < 10_000, "{error}");
    }
    let long = Config::parse(&" ".repeat(1024 * 1024 + 1), "f").expect_err("too long");
    assert_eq!(long.to_string(), "f: must be at most 1048576 bytes, got more");
}

#[test]
fn what_a_line_has_wrong_several_times_is_told_once() {
    // as far as a reader of TOML sees it, three keys that are none
    let told = wrong("a:x:0:0:b:/c\nd:x:0:0:e:/f\n");
    let mut lines: Vec<&str> = told.lines().collect();
    let count = lines.len();
    lines.dedup();
    assert_eq!(lines.len(), count, "{told}");
    assert!(told.starts_with(":1: is not TOML: ") && told.contains("\n:2: is not TOML: "), "{told}");
}
