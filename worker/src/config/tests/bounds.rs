//! Each bound, one by one.

use super::*;

#[test]
fn every_bound_names_itself() {
    let cases = [
        (
            "http",
            "listen = 'localhost:9464'",
            "http.listen must be an IP address and a port such as \"127.0.0.1:9464\", got \"localhost:9464\"",
        ),
        ("worker", "name = ''", "worker.name must be 1 to 128 bytes without a NUL character, got \"\""),
        ("worker", "heartbeat = '99ms'", "worker.heartbeat must be at least 100ms, got 99ms"),
        ("worker", "heartbeat = '301s'\nlease = '1h'", "worker.heartbeat must be at most 5m, got 301s"),
        ("worker", "lease = '999ms'\nheartbeat = '100ms'", "worker.lease must be at least 1s, got 999ms"),
        ("worker", "lease = '2h'", "worker.lease must be at most 1h, got 2h"),
        ("worker", "shutdown_deadline = '25h'", "worker.shutdown_deadline must be at most 1d, got 25h"),
        ("worker", "executor_threads = 0", "worker.executor_threads must be at least 1, got 0"),
        ("worker", "executor_threads = 513", "worker.executor_threads must be at most 512, got 513"),
        ("queues.q", "concurrency = 0", "queues.q.concurrency must be at least 1, got 0"),
        ("queues.q", "concurrency = -3", "queues.q.concurrency must be at least 1, got -3"),
        ("queues.q", "concurrency = 10_001", "queues.q.concurrency must be at most 10000, got 10001"),
        ("queues.q", "concurrency = 0xFFFF", "queues.q.concurrency must be at most 10000, got 0xFFFF"),
        ("queues.q", "poll = '9ms'", "queues.q.poll must be at least 10ms, got 9ms"),
        ("queues.q", "poll = '61s'", "queues.q.poll must be at most 1m, got 61s"),
        ("retention", "success = '59s'", "retention.success must be at least 1m, got 59s"),
        ("retention", "build_data = '1s'", "retention.build_data must be at least 1m, got 1s"),
        ("retention", "other = '3651d'", "retention.other must be at most 3650d, got 3651d"),
    ];
    for (section, line, expected) in cases {
        assert_eq!(wrong_in(section, line), format!(":2: {expected}"));
    }
    let cases = [
        ("noop", "timeout = '9ms'", "a.timeout must be at least 10ms, got 9ms"),
        ("noop", "timeout = '32d'", "a.timeout must be at most 31d, got 32d"),
        ("noop", "retry.base = '32d'\nretry.max = '31d'", "a.retry.base must be at most 31d, got 32d"),
        ("noop", "retry.factor = 0.99", "a.retry.factor must be at least 1, got 0.99"),
        ("noop", "retry.factor = 101", "a.retry.factor must be at most 100, got 101"),
        ("noop", "retry.factor = nan", "a.retry.factor must be at least 1, got nan"),
        ("noop", "retry.factor = inf", "a.retry.factor must be at most 100, got inf"),
        ("noop", "retry.max = '32d'", "a.retry.max must be at most 31d, got 32d"),
        ("noop", "retry.jitter = -0.1", "a.retry.jitter must be at least 0, got -0.1"),
        ("noop", "retry.jitter = 1.01", "a.retry.jitter must be at most 1, got 1.01"),
        (
            "noop",
            "queues = []",
            "a.queues must hold 1 to 1000 strings, got 0: leave it out for every queue of the file",
        ),
        ("command", "argv = []", "a.argv must hold 1 to 256 strings, got 0: write argv = [\"resize\", \"--json\"]"),
        ("command", "argv = ['']", "a.argv must begin with the program to run, got an empty string"),
        ("command", "argv = ['a', \"\\u0000\"]", "a.argv must hold no NUL character, got one in string 2"),
        ("command", "max_output_bytes = 1023\nargv = ['a']", "a.max_output_bytes must be at least 1024, got 1023"),
        (
            "command",
            "max_output_bytes = 67108865\nargv = ['a']",
            "a.max_output_bytes must be at most 67108864, got 67108865",
        ),
        ("command", "kill_after = '11m'\nargv = ['a']", "a.kill_after must be at most 10m, got 11m"),
    ];
    for (executor, line, expected) in cases {
        assert_eq!(wrong_action(executor, line), format!(":3: actions.{expected}"));
    }
}

#[test]
fn bounds_between_two_keys_name_both() {
    let lease = "worker.lease must be at least 2 x worker.heartbeat (8s), got 15s";
    assert_eq!(wrong_in("worker", "heartbeat = '8s'"), format!(":1: {lease}"));
    assert_eq!(
        wrong_in("worker", "lease = '9s'"),
        ":2: worker.lease must be at least 2 x worker.heartbeat (5s), got 9s"
    );
    right(&format!("[worker]\nlease = '10s'{NOOP}"));
    let max = "actions.a.retry.max must be at least retry.base (25h), got 1d";
    assert_eq!(wrong_action("noop", "retry.base = '25h'"), format!(":3: {max}"));
}

#[test]
fn both_ends_of_a_bound_are_allowed() {
    let config = right(
        "[worker]\nheartbeat = '100ms'\nlease = '1s'\nshutdown_deadline = '0s'\n[queues.q]\nconcurrency = 10000\npoll = '10ms'
        [actions.a]\nexecutor = 'noop'\ntimeout = '31days'\nretry = { base = '0s', factor = 1, max = '1s', jitter = 1 }",
    );
    assert_eq!(config.actions["a"].timeout, Duration::from_secs(31 * 86_400));
    assert_eq!(config.queues.keys().collect::<Vec<_>>(), ["q"], "with a queue named, none is assumed");
    assert_eq!(config.actions["a"].retry.delay(9, 1.0), Duration::ZERO);
}

#[test]
fn names_have_the_bounds_of_the_database() {
    right(&format!("[queues.{}]\n[actions.{}]\nexecutor = 'noop'", "q".repeat(64), "a".repeat(128)));
    let queue = wrong(&format!("[queues.{}]{NOOP}", "q".repeat(65)));
    assert!(
        queue.ends_with(" must have a name of 1 to 64 bytes without a NUL character, as in the database, got 65 bytes")
    );
    let action = wrong(&format!("[actions.{}]\nexecutor = 'noop'", "a".repeat(129)));
    assert!(action.contains(" must have a name of 1 to 128 bytes ") && action.len() < 300, "{action}");
    assert!(wrong("[actions.\"\"]\nexecutor = 'noop'").contains("got 0 bytes"));
    assert!(wrong("[actions.\"a\\u0000\"]\nexecutor = 'noop'").starts_with(":1: actions.\"a\\0\" must have a name"));
}

#[test]
fn schemas_are_identifiers_that_need_no_quotes() {
    for schema in ["a", "_", "longshore_2", &"s".repeat(43)] {
        assert_eq!(right(&format!("schema = '{schema}'{NOOP}")).schema, schema);
    }
    for schema in ["", "2a", "A", "a-b", "a\"; DROP SCHEMA public", "é", "a.b", &"s".repeat(44)] {
        let expected = ":1: schema must be a lower-case name, [a-z_][a-z0-9_]{0,42}, got ";
        assert!(wrong(&format!("schema = '{schema}'{NOOP}")).starts_with(expected));
    }
}

#[test]
fn numbers_of_any_length_are_bounded() {
    let digits = "9".repeat(10_000);
    let problem = wrong_in("queues.q", &format!("concurrency = {digits}"));
    assert!(problem.starts_with(":2: queues.q.concurrency must be at most 10000, got 999"), "{problem}");
    assert!(problem.ends_with("… (10000 bytes)") && problem.len() < 200, "{problem}");
    assert!(wrong_in("queues.q", &format!("concurrency = -{digits}")).contains("must be at least 1, got -999"));
    assert!(wrong_action("noop", &format!("retry.factor = {digits}.0")).contains("must be at most 100, got 999"));
    assert!(wrong_action("noop", "retry.factor = 1e999").contains("must be at most 100, got 1e999"));
    assert!(
        wrong_in("worker", &format!("lease = '{digits}s'")).contains("must be a duration such as \"15s\", got \"999")
    );
    assert!(
        wrong_in("worker", "lease = '18446744073709551615s'").contains("must be at most 1h, got 18446744073709551615s")
    );
}

#[test]
fn headers_urls_and_variables_must_be_sendable() {
    let url = |url: &str| wrong_action("http", &format!("url = '{url}'"));
    assert_eq!(url("ftp://h/x"), ":3: actions.a.url must be an http:// or https:// URL, got \"ftp://h/x\"");
    assert!(url("h/x").contains("must be an http:// or https:// URL (relative URL without a base), got \"h/x\""));
    assert!(url("http://h:99999/").contains("(invalid port number)"));
    assert!(url(&format!("http://h/{}", "x".repeat(2048))).contains("must be at most 2048 bytes, got \"http://h/xxx"));
    let header = |header: &str| wrong_action("http", &format!("url = 'http://h'\n[actions.a.headers]\n{header}"));
    assert!(header("'a b' = 'c'").starts_with(":5: actions.a.headers.\"a b\" must have a header's name"));
    assert!(header("a = \"b\\nc: d\"").starts_with(":5: actions.a.headers.a must be one line"));
    let env = |env: &str| wrong_action("command", &format!("argv = ['x']\n[actions.a.env]\n{env}"));
    assert!(env("'A=B' = 'c'").starts_with(":5: actions.a.env.\"A=B\" must be a variable without ="));
    assert!(env("A = \"\\u0000\"").starts_with(":5: actions.a.env.A must be a variable without ="));
}
