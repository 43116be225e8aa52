//! What is understood, what is refused by name, and that the shipped schemas say the same as the code.

use chrono::{TimeZone, Utc};
use jsonschema::Validator;
use longshore_queue::Task;
use serde_json::json;

use super::super::{OUTPUT_SCHEMA, TASK_SCHEMA};
use super::*;

fn validator(schema: &str) -> Validator {
    let schema: Value = serde_json::from_str(schema).expect("a schema is JSON");
    jsonschema::meta::validate(&schema).expect("a schema is one");
    jsonschema::validator_for(&schema).expect("a schema can be used")
}

/// What was said, a line each.
fn story(line: &str) -> Vec<String> {
    let said = read_body(line);
    let message = |message: ResultMessage| {
        let error = if message.error { "error" } else { "message" };
        let about = [message.context_type, message.context, message.extra.map(|extra| extra.to_string())];
        about.into_iter().flatten().fold(format!("{error} {}", message.message), |all, next| format!("{all} | {next}"))
    };
    let verdict = match said.verdict {
        None => None,
        Some(Verdict::Ended(result)) => Some(format!("ended {}", serde_json::to_string(&result).expect("is JSON"))),
        Some(Verdict::Retry(after, result)) => {
            Some(format!("retry {after:?} {}", serde_json::to_string(&result).expect("is JSON")))
        }
        Some(Verdict::Unfinished(outcome)) => Some(format!("{outcome:?}")),
        Some(Verdict::Unreadable(why)) => Some(format!("unreadable {why}")),
    };
    let actions = |tasks: Vec<NewTask>| {
        tasks.into_iter().fold("subtasks".to_owned(), |all, task| format!("{all} {}", task.action))
    };
    let build_data = said.build_data.into_iter().map(|data| {
        let at = data.collected_date.map(|at| format!(" {}", at.to_rfc3339())).unwrap_or_default();
        format!("build {} {} {} {}{at}", data.node_name, data.generator, data.data_format, data.data_element)
    });
    let subtasks = said.subtasks.into_iter().map(actions).chain(said.bad_subtasks.map(|_| "bad subtasks".to_owned()));
    said.messages.into_iter().map(message).chain(build_data).chain(subtasks).chain(verdict).collect()
}

#[test]
fn an_object_says_a_message_a_result_or_both() {
    let everything = json!({
        "message": "m", "error": true, "context": "n1", "context_type": "node", "extra": {"a": [1]},
        "result": {"status": "partial_success", "message": "half", "reason": "r", "successes": ["n1"], "failures": ["n2"],
            "links": {"log": ["http://a"]}, "output": 1.50},
    });
    let result = r#"{"status":"partial_success","message":"half","reason":"r","successes":["n1"],"failures":["n2"],"links":{"log":["http://a"]},"output":1.5}"#;
    let expected = [r#"error m | node | n1 | {"a":[1]}"#.to_owned(), format!("ended {result}")];
    assert_eq!(story(&everything.to_string()), expected);
    assert_eq!(story(&serde_json::to_string_pretty(&everything).expect("is JSON")), expected);
    for (line, expected) in [
        (r#"{"message":"hello"}"#, "message hello"),
        (r#" {"message":"hello","error":null} "#, "message hello"),
        (r#"{"result":{"status":"success"}}"#, r#"ended {"status":"success"}"#),
        (r#"{"result":{"retry_after":1.5}}"#, r#"retry 1.5s {"status":"incomplete"}"#),
        (
            r#"{"result":{"retry_after":"2m 30s","reason":"busy"}}"#,
            r#"retry 150s {"status":"incomplete","reason":"busy"}"#,
        ),
        (r#"{"result":{"status":"success","retry_after":0}}"#, r#"retry 0ns {"status":"success"}"#),
        (r#"{"subtasks":[{"action":"a","priority":1.0},{"action":"b"}]}"#, "subtasks a b"),
        (r#"{"result":{"bubble":{}}}"#, r#"ended {"status":"incomplete","bubble":{}}"#),
        (r#"{"result":{"suspend":{}}}"#, "Suspend { wait: All, timeout: None, seen: None }"),
        (
            r#"{"result":{"suspend":{"until":"any","timeout":"1m"}}}"#,
            "Suspend { wait: Any, timeout: Some(60s), seen: None }",
        ),
        (r#"{"result":{"retry_failed":{"max":3}}}"#, "RetryFailed { max: Some(3), message: None }"),
        (
            r#"{"build_data":{"node_name":"n","generator":"g","data_format":"f","data_element":{"a": 1.00}}}"#,
            r#"build n g f {"a": 1.00}"#,
        ),
        (
            r#"{"build_data":[{"node_name":"n","generator":"g","data_format":"f","data_element":"\u00e9","collected_date":"2026-01-02T03:04:05+01:00"}]}"#,
            "build n g f é 2026-01-02T02:04:05+00:00",
        ),
    ] {
        assert_eq!(story(line), [expected], "{line}");
    }
}

#[test]
fn what_is_no_object_is_text() {
    for line in ["plain", "[1,2]", "17", "\"text\"", "null", "{", "{message: 1}", r#"{"result":{"status":"success"}"#] {
        assert_eq!(story(line), [format!("message {line}")]);
    }
    assert_eq!(story("a\0b"), ["message a\u{FFFD}b"]);
    assert_eq!(story("{}"), [""; 0]);
    assert_eq!(story(" \t"), [""; 0]);
}

#[test]
fn a_wrong_key_is_named_and_a_wrong_result_is_no_success() {
    for (line, problem) in [
        (r#"{"mesage":"x"}"#, "unknown key `mesage`"),
        (r#"{"message":"x","level":"info"}"#, "unknown key `level`"),
        (r#"{"message":5}"#, "`message` must be a string, got 5"),
        (r#"{"message":"x","error":"yes"}"#, "`error` must be true or false, got \"yes\""),
        (r#"{"error":true}"#, "`error`, `context`, `context_type` and `extra` need `message`"),
    ] {
        assert_eq!(story(line), [format!("error {problem}: {line}")]);
    }
    for (line, problem) in [
        (r#"{"subtasks":{}}"#, "`subtasks` must be a list of tasks, got {}"),
        (r#"{"subtasks":[{}]}"#, "subtasks[0]: `action` is missing"),
        (r#"{"subtasks":[{"action":"a","task_id":"1"}]}"#, "subtasks[0]: `task_id` must be a UUID, got 1"),
        (r#"{"subtasks":[{"action":"a"},{"action":"b","status":"queued"}]}"#, "subtasks[1]: unknown key `status`"),
        (
            r#"{"subtasks":[{"action":"a","priority":1.5}]}"#,
            "subtasks[0]: `priority` must be a whole number from 0 to 9",
        ),
    ] {
        assert_eq!(story(line), [format!("error {problem}: {line}"), "bad subtasks".to_owned()]);
    }
    let long = format!(r#"{{"result":{{"status":"{}"}}}}"#, "x".repeat(100));
    let shown = format!("{}…", "x".repeat(60));
    for (line, problem) in [
        (r#"{"result":5}"#, "`result` must be an object, got 5"),
        (r#"{"result":{}}"#, "result: `status`, `bubble`, `retry_after`, `suspend` or `retry_failed` is missing"),
        (
            r#"{"result":{"status":"ok"}}"#,
            "result: `status` must be success, failure, partial_success or incomplete, got ok",
        ),
        (&long, &format!("result: `status` must be success, failure, partial_success or incomplete, got {shown}")),
        (r#"{"result":{"status":"success","outputs":1}}"#, "result: unknown key `outputs`"),
        (
            r#"{"result":{"status":"success","successes":"n1"}}"#,
            "result: `successes` must be a list of strings, got \"n1\"",
        ),
        (
            r#"{"result":{"status":"success","links":{"a":"b"}}}"#,
            "result: `links` must be an object of lists of strings, got {\"a\":\"b\"}",
        ),
        (
            r#"{"result":{"retry_after":-1}}"#,
            "result: `retry_after` must be seconds or a text like \"30s\", from 0 to 366 days, got -1",
        ),
        (
            r#"{"result":{"retry_after":"soon"}}"#,
            "result: `retry_after` must be seconds or a text like \"30s\", from 0 to 366 days, got \"soon\"",
        ),
        (r#"{"result":{"status":"success"},"exit":0}"#, "unknown key `exit`"),
        (
            r#"{"result":{"status":"success","suspend":{}}}"#,
            "result: an end, `suspend`, `retry_failed` and `retry_after` exclude each other",
        ),
    ] {
        assert_eq!(story(line), [format!("error {problem}: {line}"), format!("unreadable {problem}")]);
    }
    let deep = format!(r#"{{"result":{{"status":"success","output":{}1{}}}}}"#, "[".repeat(200), "]".repeat(200));
    let [_, verdict] = &story(&deep)[..] else { panic!("a message and a verdict") };
    assert_eq!(verdict, "unreadable `result` must be nested at most 100 deep");
}

#[test]
fn wrong_build_data_is_named_and_takes_nothing_else_away() {
    let entry = |fields: serde_json::Value| {
        let mut entry = json!({"node_name": "n", "generator": "g", "data_format": "f", "data_element": "e"});
        entry.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
        entry
    };
    let long = "é".repeat(254);
    for (build_data, problem) in [
        (json!(5), " was refused: it must be an object or a list of objects, got 5"),
        (json!({}), " was refused: `node_name` is missing"),
        (entry(json!({"data_element": null})), " was refused: `data_element` is missing"),
        (entry(json!({"generator": 5})), " was refused: `generator` must be a string, got 5"),
        (entry(json!({"task_id": "t"})), " was refused: unknown key `task_id`"),
        (
            entry(json!({"collected_date": "soon"})),
            " was refused: `collected_date` must be an RFC 3339 time, got \"soon\"",
        ),
        (
            entry(json!({"collected_date": "1999-12-31T23:59:59Z"})),
            " was refused: collected_date must be from the year 2000 to 2199, got 1999-12-31 23:59:59 UTC: leave it out for \
             the time of recording",
        ),
        (
            entry(json!({ "node_name": long })),
            " was refused: node_name must have 1 to 253 characters, got 254, beginning `éééééééééééééééééééééééééééééééé`",
        ),
        (entry(json!({"generator": "a\0"})), " was refused: generator must not hold U+0000, got `a\u{FFFD}`"),
        (
            json!([entry(json!({"data_format": ""}))]),
            "[0] was refused: data_format must have 1 to 32 characters, got 0",
        ),
        (
            entry(json!({"data_element": ""})),
            " was refused: data_element must have 1 to 67108864 bytes, got 0: leave an empty one out, keep a longer one \
             elsewhere and record where",
        ),
    ] {
        let line = json!({"message": "m", "build_data": build_data, "result": {"status": "success"}}).to_string();
        let expected =
            ["message m".to_owned(), format!("error build_data{problem}"), r#"ended {"status":"success"}"#.to_owned()];
        assert_eq!(story(&line), expected, "{line}");
    }
    assert_eq!(story(r#"{"message":"m","build_data":null}"#), ["message m"]);
    let half = r#"{"build_data":{"node_name":"\ud800","generator":"g","data_format":"f","data_element":"e"}}"#;
    assert_eq!(story(half), [r#"error build_data was refused: `node_name` must be a string, got "\ud800""#]);
}

#[test]
fn what_postgres_cannot_hold_is_replaced() {
    let line = r#"{"message":"a\u0000b","extra":{"\u0000":["\ud800"]},"result":{"status":"success","reason":"\u0000","output":{"n":[1e999,12345678901234567890123],"t":"\u0000"}}}"#;
    let output = r#"{"status":"success","reason":"�","output":{"n":["1e999",12345678901234567890123],"t":"\ufffd"}}"#;
    assert_eq!(story(line), [r#"message a�b | {"�":["�"]}"#.to_owned(), format!("ended {output}")]);
}

#[test]
fn a_body_may_be_lines_and_the_last_result_counts() {
    let body = "{\"message\":\"one\"}\n\ntext\r\n{\"result\":{\"status\":\"success\"}}\n{\"result\":{\"status\":\"failure\"}}\n";
    let expected = [
        "message one",
        "message text",
        r#"error a second result replaces this one | {"status":"success"}"#,
        r#"ended {"status":"failure"}"#,
    ];
    assert_eq!(story(body), expected);
}

#[test]
fn a_retry_keeps_the_rest_of_its_result_in_the_log() {
    let settle = |line: &str| {
        let (outcome, kept) = read(line).verdict.expect("a result").settle();
        let Outcome::Retry { after, message, reason } = outcome else { panic!("a retry, not {outcome:?}") };
        (after, message, reason, kept.and_then(|message| message.extra).map(|extra| extra.to_string()))
    };
    let after = Some(Duration::from_secs(5));
    let line = r#"{"result":{"retry_after":5,"reason":"busy","message":"all full"}}"#;
    assert_eq!(settle(line), (after, "busy: all full".to_owned(), "retry_after", None));
    let kept = Some(r#"{"output":1,"status":"incomplete"}"#.to_owned());
    assert_eq!(
        settle(r#"{"result":{"retry_after":5,"output":1}}"#),
        (after, "retry asked for".to_owned(), "retry_after", kept)
    );
}

/// A value that may stand at any place.
fn any_value(random: &mut fastrand::Rng, depth: usize) -> Value {
    match random.u8(0..if depth == 0 { 6 } else { 8 }) {
        0 => Value::Null,
        1 => json!(random.bool()),
        2 => json!([0.0, 1.0, 2.5, -1.0, 31_622_400.0, 31_622_401.0][random.usize(0..6)]),
        3 => json!(["success", "failure", "incomplete", "done"][random.usize(0..4)]),
        4 => json!(["", "30s", "1h 30m", "soon"][random.usize(0..4)]),
        5 => json!(["n1", "n2"]),
        6 => any_object(random, depth - 1, &["log", "status", "x"]),
        _ => Value::Array((0..random.usize(0..3)).map(|_| any_value(random, depth - 1)).collect()),
    }
}

fn any_object(random: &mut fastrand::Rng, depth: usize, keys: &[&str]) -> Value {
    (0..random.usize(0..4)).map(|_| (keys[random.usize(0..keys.len())].to_owned(), any_value(random, depth))).collect()
}

#[test]
fn the_schema_of_outputs_takes_what_the_code_takes() {
    const KEYS: [&str; 9] =
        ["message", "message", "error", "context", "context_type", "extra", "subtasks", "build_data", "unknown"];
    const RESULT_KEYS: [&str; 10] =
        ["status", "status", "message", "reason", "successes", "failures", "links", "output", "retry_after", "unknown"];
    const SUBTASK_KEYS: [&str; 10] = [
        "action",
        "action",
        "priority",
        "timeout",
        "payload",
        "unique_until",
        "max_attempts",
        "queue",
        "after",
        "run_at",
    ];
    const BUILD_KEYS: [&str; 8] = [
        "node_name",
        "generator",
        "data_format",
        "data_element",
        "collected_date",
        "collected_date",
        "task_id",
        "unknown",
    ];
    const WAIT_KEYS: [&str; 4] = ["until", "timeout", "max", "action"];
    let schema = validator(OUTPUT_SCHEMA);
    let mut random = fastrand::Rng::with_seed(42);
    let mut taken = 0;
    for _ in 0..20_000 {
        let mut object = any_object(&mut random, 2, &KEYS);
        if random.bool() {
            object["result"] = any_object(&mut random, 2, &RESULT_KEYS);
            if random.u8(0..4) == 0 {
                let key = ["bubble", "suspend", "retry_failed"][random.usize(0..3)];
                object["result"][key] = any_object(&mut random, 1, &WAIT_KEYS);
            }
        }
        if random.u8(0..4) == 0 {
            let mut task = any_object(&mut random, 1, &SUBTASK_KEYS);
            task["action"] = json!("a");
            object["subtasks"] = json!([task]);
        }
        if random.u8(0..4) == 0 {
            let mut entry = json!({"node_name": "n", "generator": "g", "data_format": "f", "data_element": "e"});
            let wrong = any_object(&mut random, 1, &BUILD_KEYS);
            entry.as_object_mut().expect("an object").extend(wrong.as_object().expect("an object").clone());
            object["build_data"] = if random.bool() { entry } else { json!([entry]) };
        }
        let text = object.to_string();
        let is_refusal = |said: &str| said.contains(&text) || said.starts_with("build_data");
        let is_taken = !read(&text).messages.iter().any(|message| is_refusal(&message.message));
        assert_eq!(is_taken, schema.is_valid(&object), "{object}");
        taken += usize::from(is_taken);
    }
    assert!((2_000..18_000).contains(&taken), "{taken} of 20000 taken");
}

#[test]
fn the_schema_of_tasks_takes_every_task_and_names_every_key() {
    let schema = validator(TASK_SCHEMA);
    let instant = Utc.with_ymd_and_hms(2026, 1, 2, 3, 4, 5).single().expect("an instant");
    let raw = |text: &str| RawValue::from_string(text.to_owned()).expect("is JSON");
    let least = Task {
        task_id: uuid::Uuid::now_v7(),
        parent_task_id: None,
        root_task_id: None,
        action: "a".to_owned(),
        queue: "default".to_owned(),
        priority: 0,
        payload: raw("{}"),
        design_ref: None,
        node_filter: None,
        request_context: None,
        run_at: instant,
        created: instant + Duration::from_micros(123_456),
        created_by: "p".to_owned(),
        timeout: None,
        attempt: 1,
        max_attempts: 1,
        retry: 0,
        unique_key: None,
        has_subtasks: false,
        subtasks: None,
        error_count: 0,
    };
    let most = Task {
        parent_task_id: Some(uuid::Uuid::now_v7()),
        design_ref: Some("file:///a".to_owned()),
        node_filter: Some(raw("[\"n1\"]")),
        request_context: Some(raw("{\"traceparent\":\"x\"}")),
        timeout: Some(Duration::from_millis(1500)),
        unique_key: Some("k".to_owned()),
        subtasks: Some(longshore_queue::Subtasks {
            open: 1,
            ended: 1,
            list: vec![longshore_queue::Subtask {
                task_id: uuid::Uuid::now_v7(),
                action: "b".to_owned(),
                status: "complete".to_owned(),
                retry: 0,
                result_status: "success".to_owned(),
                result_message: None,
                result_reason: Some("r".to_owned()),
                result_successes: vec!["n1".to_owned()],
                result_failures: Vec::new(),
                output: Some(raw("{}")),
            }],
        }),
        payload: raw("[1]"),
        ..least.clone()
    };
    let described: Value = serde_json::from_str(TASK_SCHEMA).expect("is JSON");
    let keys = described["properties"].as_object().expect("an object").keys();
    // sent only where the action wants it, and where there is a trace: see `input`
    let keys = keys.filter(|key| !["design", "traceparent", "tracestate"].contains(&key.as_str()));
    for task in [least, most] {
        let value = serde_json::to_value(&task).expect("is JSON");
        let problems: Vec<_> = schema.iter_errors(&value).map(|error| error.to_string()).collect();
        assert_eq!(problems, [""; 0]);
        assert!(value.as_object().expect("an object").keys().eq(keys.clone()), "{value}");
    }
}

#[test]
fn no_line_makes_it_panic() {
    const PARTS: [&str; 32] = [
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "\\",
        "\\u0000",
        "\\ud800",
        "\\u",
        "\0",
        "\u{FFFD}",
        "é",
        "\u{1F600}",
        " ",
        "\r",
        "\"message\"",
        "\"result\"",
        "\"status\"",
        "\"success\"",
        "\"retry_after\"",
        "\"output\"",
        "\"extra\"",
        "\"links\"",
        "1e999999999999999999999",
        "-0",
        "0.1",
        "null",
        "true",
        "\"30s\"",
        "\"\\ud83d\\ude00\"",
    ];
    let mut random = fastrand::Rng::with_seed(1);
    for round in 0..50_000 {
        let line: String = if round % 2 == 0 {
            (0..random.usize(0..30)).map(|_| PARTS[random.usize(0..PARTS.len())]).collect()
        } else {
            // a line that is understood, with some of its bytes replaced
            let mut line =
                br#"{"message":"a\u0000","extra":[1e5],"result":{"status":"failure","retry_after":"5s"}}"#.to_vec();
            for _ in 0..random.usize(0..6) {
                let at = random.usize(0..line.len());
                line[at] = random.u8(..);
            }
            String::from_utf8_lossy(&line).into_owned()
        };
        let said = read_body(&line);
        let (outcome, kept) = said.verdict.map_or((Outcome::success(), None), Verdict::settle);
        let all = format!("{:?}{kept:?}{outcome:?}", said.messages);
        assert!(said.messages.iter().all(|message| !message.message.contains('\0')), "{all}");
    }
}
