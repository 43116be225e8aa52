//! Keys that are unknown, missing, doubled, or of the wrong type.

use super::*;

#[test]
fn an_unknown_key_is_refused_with_the_nearest_known_one() {
    let cases = [
        (wrong_in("worker", "leese = '15s'"), ":2: worker.leese is unknown: did you mean lease?"),
        (wrong_in("worker", "timeout = '1s'"), ":2: worker.timeout is unknown: timeout belongs to [actions.NAME]"),
        (
            wrong_in("http", "notify = false"),
            ":2: http.notify is unknown: notify belongs to the top of the file, before the first section",
        ),
        (wrong_in("http", "tls = true"), ":2: http.tls is unknown: known here are listen"),
        (wrong_in("queue.default", ""), ":1: queue is unknown: did you mean queues?"),
        (
            wrong_in("\"\\u0007\"", ""),
            ":1: \"\\u{7}\" is unknown: known here are database_url, schema, connection, notify, cells, http, log, worker, queues, actions, retention, design, otlp",
        ),
        (wrong_action("noop", "retries.base = '1s'"), ":3: actions.a.retries is unknown: did you mean retry?"),
        (wrong_action("noop", "retry.jiter = 0.2"), ":3: actions.a.retry.jiter is unknown: did you mean jitter?"),
        (
            wrong_action("noop", "url = 'http://h'"),
            ":3: actions.a.url belongs to executor = \"http\", this action has \"noop\": remove one",
        ),
        (
            wrong_action("nop", ""),
            ":2: actions.a.executor must be \"noop\", \"command\", \"http\", \"validate_design\" or \"rust\", got \"nop\"",
        ),
    ];
    for (problem, expected) in cases {
        assert_eq!(problem, expected);
    }
}

#[test]
fn a_wrong_type_is_refused_with_what_it_must_be() {
    let cases = [
        (wrong(&format!("schema = 5{NOOP}")), ":1: schema must be a string, got 5"),
        (wrong(&format!("notify = 'yes'{NOOP}")), ":1: notify must be true or false, got \"yes\""),
        (wrong(&format!("worker = 1{NOOP}")), ":1: worker must be a section [worker], got an integer"),
        (wrong(&format!("[[worker]]{NOOP}")), ":1: worker must be a section [worker], got an array"),
        (wrong(&format!("queues = ['default']{NOOP}")), ":1: queues must be a section [queues], got an array"),
        (
            wrong("[actions]\na = 'noop'"),
            ":2: actions.a must be a section [actions.a], got a string\n:2: actions.a.executor is missing: write executor = \"noop\"",
        ),
        (wrong_in("worker", "lease = 15"), ":2: worker.lease must be a duration in quotes such as \"15s\", got 15"),
        (wrong_in("worker", "lease = '15'"), ":2: worker.lease must be a duration such as \"15s\", got \"15\""),
        (
            wrong_in("queues.q", "concurrency = '64'"),
            ":2: queues.q.concurrency must be a whole number, 1 to 10000, got \"64\"",
        ),
        (
            wrong_in("queues.q", "concurrency = 1.5"),
            ":2: queues.q.concurrency must be a whole number, 1 to 10000, got 1.5",
        ),
        (
            wrong_action("noop", "retry.factor = '2'"),
            ":3: actions.a.retry.factor must be a number, 1 to 100, got \"2\"",
        ),
        (
            wrong_action("noop", "queues = 'default'"),
            ":3: actions.a.queues must be an array of strings, got \"default\"",
        ),
        (wrong_action("command", "argv = ['a', 1]"), ":3: actions.a.argv must hold strings only, got 1"),
        (
            wrong_action("command", "argv = ['a']\nenv = 'A=b'"),
            ":4: actions.a.env must be a table of strings, got a string",
        ),
        (
            wrong_action("command", "argv = ['a']\nenv = { A = 1 }"),
            ":4: actions.a.env.A must be a string, got an integer",
        ),
    ];
    for (problem, expected) in cases {
        assert_eq!(problem, expected);
    }
}

#[test]
fn required_keys_are_asked_for_by_an_example() {
    let cases = [
        ("", ": actions must name at least one: add a section such as [actions.noop] with executor = \"noop\""),
        ("[actions.a]", ":1: actions.a.executor is missing: write executor = \"noop\""),
        ("[actions.a]\nexecutor = 'command'", ":1: actions.a.argv is missing: write argv = [\"resize\", \"--json\"]"),
        ("[actions.a]\nexecutor = 'http'", ":1: actions.a.url is missing: write url = \"https://example.com/hook\""),
    ];
    for (text, expected) in cases {
        assert_eq!(wrong(text), expected);
    }
    for text in [" ", "\n\n", "# nothing", "\u{feff}", "[queues.default]", "[actions]", "[queues]"] {
        assert!(wrong(text).contains("actions must name at least one"), "{text:?}");
    }
    assert_eq!(right(&format!("[queues]{NOOP}")).queues.len(), 1, "an empty [queues] names none either");
}

#[test]
fn an_action_names_configured_queues_once() {
    let text = "[queues.a]\n[queues.b]\n[actions.x]\nexecutor = 'noop'\nqueues = ";
    assert_eq!(right(&format!("{text}['b']")).actions["x"].queues, BTreeSet::from(["b".to_owned()]));
    let unknown =
        ":5: actions.x.queues must name configured queues, got c d: add a section [queues.c d], or choose from a, b";
    assert_eq!(wrong(&format!("{text}['c d']")), unknown.replace("c d", "\"c d\""));
    assert_eq!(wrong(&format!("{text}['a', 'a']")), ":5: actions.x.queues must name each queue once, got a twice");
}

#[test]
fn duplicates_are_refused() {
    let key = wrong_in("worker", "lease = '15s'\nlease = '16s'");
    assert_eq!(key, ":3: is not TOML: duplicate key");
    assert!(wrong(&format!("{NOOP}{NOOP}")).contains(":5: is not TOML: duplicate key"));
    let header = wrong_action("http", "url = 'http://h'\nheaders = { Accept = 'a', accept = 'b' }");
    assert_eq!(header, ":4: actions.a.headers.accept must stand once: the case of a header's name says nothing");
}
