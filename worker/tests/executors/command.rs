//! `command` against programs that do what programs do.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process;
use std::time::{Duration, Instant};

use longshore_queue::ResultMessage;
use longshore_worker::config::{CommandSettings, Stdout};
use longshore_worker::executors::Command;
use longshore_worker::{Executor, Secret, Stop};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, test_kill_process};

use crate::{Attempt, DEADLINE, attempt, attempt_of, outcome_told, task, within};

const SUCCESS: &str = r#"ended {"status":"success"}"#;

fn settings(script: &str) -> CommandSettings {
    CommandSettings {
        argv: ["sh", "-c", script].map(str::to_owned).to_vec(),
        stdout: Stdout::Text,
        env: BTreeMap::new(),
        max_output_bytes: 1024 * 1024,
        kill_after: Duration::from_secs(5),
    }
}

fn sh(script: &str) -> Command {
    Command::new(settings(script)).unwrap()
}

fn sh_jsonl(script: &str) -> Command {
    Command::new(CommandSettings { stdout: Stdout::Jsonl, ..settings(script) }).unwrap()
}

/// Waits for the end of a process that need not be a child; a zombie has ended.
async fn ended(pid: Pid) {
    let Ok(fd) = pidfd_open(pid, PidfdFlags::empty()) else {
        assert!(test_kill_process(pid).is_err(), "process {pid} cannot be watched");
        return;
    };
    let deadline = Timespec::try_from(DEADLINE).unwrap();
    let wait = move || poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&deadline));
    assert_eq!(tokio::task::spawn_blocking(wait).await.unwrap(), Ok(1), "process {pid} has not ended");
}

/// Runs until the program has printed a process id, then hands both on.
async fn started<'a>(attempt: &'a Attempt, executor: &'a Command) -> (longshore_worker::Execution<'a>, Pid) {
    let mut execution = executor.execute(&attempt.context);
    let messages = tokio::select! {
        outcome = &mut execution => panic!("ended too early: {outcome:?}"),
        messages = attempt.next_messages() => messages,
    };
    let pid = Pid::from_raw(messages[0].message.parse().unwrap()).unwrap();
    (execution, pid)
}

#[tokio::test]
async fn a_program_reads_the_task_and_its_lines_become_messages() {
    let story = attempt().story(&sh("cat; echo; echo out; echo err >&2")).await;
    let task = serde_json::to_string(&task()).unwrap();
    assert!(story.contains(&format!("message {task}")), "{story:?}");
    assert!(story.contains(&"message out".to_owned()) && story.contains(&"error err".to_owned()), "{story:?}");
    assert_eq!(story.last().unwrap(), SUCCESS);
}

#[tokio::test]
async fn an_exit_code_decides() {
    for (script, expected) in [
        ("exit 0", SUCCESS),
        ("exit 75", "snooze 60s"),
        ("echo first >&2; echo boom >&2; exit 3", "retry, exit: exit code 3: boom"),
        ("kill -9 $$", "retry, signal: killed by signal 9"),
    ] {
        assert_eq!(attempt().story(&sh(script)).await.last().unwrap(), expected, "{script}");
    }
}

#[tokio::test]
async fn a_program_that_cannot_be_started_is_named() {
    let argv = vec!["/nowhere/program".to_owned(), "argument".to_owned()];
    let command = Command::new(CommandSettings { argv, ..settings("") }).unwrap();
    let expected = "retry, spawn: cannot start `/nowhere/program`: No such file or directory (os error 2)";
    assert_eq!(attempt().story(&command).await, [expected]);
}

#[tokio::test]
async fn objects_count_in_jsonl_and_do_nothing_in_text() {
    let script = r#"echo '{"message":"m","error":true}'; echo '{"result":{"status":"failure","retry_after":"30s","message":"busy"}}'"#;
    assert_eq!(attempt().story(&sh_jsonl(script)).await, ["error m", "retry in 30s, retry_after: busy"]);
    let text = [
        r#"message {"message":"m","error":true}"#,
        r#"message {"result":{"status":"failure","retry_after":"30s","message":"busy"}}"#,
        SUCCESS,
    ];
    assert_eq!(attempt().story(&sh(script)).await, text);
}

#[tokio::test]
async fn a_result_is_final_unless_a_bad_exit_overrides_its_success() {
    let printing = |result: &str, code: i32| format!(r#"echo '{{"result":{result}}}'; exit {code}"#);
    let (success, failure) = (r#"{"status":"success","output":[1]}"#, r#"{"status":"failure","reason":"r"}"#);
    let story = attempt().story(&sh_jsonl(&printing(success, 0))).await;
    assert_eq!(story, [format!("ended {success}")]);
    let story = attempt().story(&sh_jsonl(&printing(failure, 1))).await;
    assert_eq!(story, [format!("ended {failure}")]);
    let mut overridden = attempt();
    let story = overridden.story(&sh_jsonl(&printing(success, 3))).await;
    let kept = "message the program did not exit well, which overrides its result";
    assert_eq!(story, [kept, "retry, exit: exit code 3"]);
    assert_eq!(overridden.messages[0].extra, Some(serde_json::from_str(success).unwrap()));
    let story = attempt().story(&sh_jsonl(r#"echo '{"result":{"status":"ok"}}'"#)).await;
    assert!(story.last().unwrap().starts_with("retry, output: result: `status` must be"), "{story:?}");
}

#[tokio::test]
async fn a_retry_asked_for_on_the_last_attempt_is_a_failure_with_all_that_it_names() {
    let script = r#"echo '{"result":{"status":"failure","failures":["node1"],"message":"m","retry_after":"30s"}}'"#;
    let mut last = attempt_of(longshore_queue::Task { max_attempts: 3, ..task() }, DEADLINE);
    let expected = r#"ended {"status":"failure","message":"m","reason":"retry_after","failures":["node1"]}"#;
    assert_eq!(last.story(&sh_jsonl(script)).await, [expected]);
    let before = attempt().story(&sh_jsonl(script)).await;
    assert_eq!(before.last().unwrap(), "retry in 30s, retry_after: m");
}

#[tokio::test]
async fn a_message_arrives_before_the_end() {
    let executor = sh("echo $$; exec sleep 1000");
    let attempt = attempt();
    let (execution, program) = started(&attempt, &executor).await;
    assert!(test_kill_process(program).is_ok(), "the program still runs");
    drop(execution);
    ended(program).await;
}

#[tokio::test]
async fn a_dropped_attempt_takes_the_whole_tree_with_it() {
    let executor = sh("trap '' TERM; sleep 1000 & echo $!; wait");
    let attempt = attempt();
    let (execution, grandchild) = started(&attempt, &executor).await;
    drop(execution);
    ended(grandchild).await;
}

#[tokio::test]
async fn a_stop_is_term_for_the_whole_tree() {
    for (stop, expected) in [
        (Stop::Shutdown, "release"),
        (Stop::Lost, "release"),
        (
            Stop::Terminated,
            r#"ended {"status":"failure","message":"terminated (killed by signal 15)","reason":"terminated"}"#,
        ),
    ] {
        let executor = sh("sleep 1000 & echo $!; wait");
        let attempt = attempt();
        let (execution, grandchild) = started(&attempt, &executor).await;
        attempt.context.stop(stop);
        assert_eq!(outcome_told(within(execution).await), expected);
        ended(grandchild).await;
    }
}

#[tokio::test]
async fn a_program_that_ignores_term_is_killed_after_its_grace() {
    let kill_after = Duration::from_millis(200);
    let script = "trap '' TERM; sleep 1000 & echo $!; wait";
    let executor = Command::new(CommandSettings { kill_after, ..settings(script) }).unwrap();
    let attempt = attempt();
    let (execution, grandchild) = started(&attempt, &executor).await;
    attempt.context.stop(Stop::Shutdown);
    let begin = Instant::now();
    assert_eq!(outcome_told(within(execution).await), "release");
    assert!(begin.elapsed() >= kill_after, "{:?}", begin.elapsed());
    ended(grandchild).await;
}

#[tokio::test]
async fn a_program_may_finish_its_work_in_its_grace() {
    let script =
        r#"trap 'echo "{\"result\":{\"status\":\"success\"}}"; exit 0' TERM; echo $$; while :; do sleep 0.01; done"#;
    let executor = sh_jsonl(script);
    let attempt = attempt();
    let (execution, _) = started(&attempt, &executor).await;
    attempt.context.stop(Stop::Shutdown);
    assert_eq!(outcome_told(within(execution).await), SUCCESS);
}

#[tokio::test]
async fn a_timeout_is_term_and_a_retry() {
    let mut attempt = attempt_of(task(), Duration::from_millis(300));
    let story = attempt.story(&sh("sleep 1000 & echo $!; echo slow >&2; wait")).await;
    assert_eq!(story.last().unwrap(), "retry, timeout: timed out after 300ms (killed by signal 15): slow");
    let grandchild = attempt.messages.iter().find(|message| !message.error).unwrap();
    ended(Pid::from_raw(grandchild.message.parse().unwrap()).unwrap()).await;
}

#[tokio::test]
async fn a_background_process_ends_with_the_program_and_does_not_hold_it_up() {
    let mut attempt = attempt();
    let begin = Instant::now();
    let story = attempt.story(&sh("sleep 1000 & echo $!; exit 0")).await;
    assert_eq!(story.last().unwrap(), SUCCESS);
    assert!(begin.elapsed() < DEADLINE / 2);
    ended(Pid::from_raw(attempt.messages[0].message.parse().unwrap()).unwrap()).await;
}

#[tokio::test]
async fn a_process_that_left_the_group_does_not_hold_up_the_attempt() {
    let mut attempt = attempt();
    let script = "trap 'exit 0' USR1; setsid sh -c 'echo $$; kill -USR1 $PPID; exec sleep 1000' & wait";
    let story = attempt.story(&sh(script)).await;
    assert_eq!(story.last().unwrap(), SUCCESS);
    let escaped: i32 = attempt.messages[0].message.parse().unwrap();
    kill_process(Pid::from_raw(escaped).unwrap(), Signal::KILL).unwrap();
}

#[tokio::test]
async fn a_line_without_end_uses_no_memory() {
    let before = resident_kib();
    let story = attempt().story(&sh("head -c 100000000 /dev/zero | tr '\\0' x")).await;
    let [line, outcome] = &story[..] else { panic!("one message: {} of them", story.len() - 1) };
    assert_eq!(outcome, SUCCESS);
    assert!(line.ends_with("x [cut: the line has 100000000 bytes, 65536 are kept]"), "{}", &line[65_000..]);
    assert!(resident_kib() < before + 30_000, "{before} KiB before, {} KiB after", resident_kib());
}

/// The most memory that this process ever held, in KiB.
fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn output_beyond_the_bound_is_counted_and_a_result_after_it_still_counts() {
    let script = r#"yes 0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789 | head -c 20200000; echo '{"result":{"status":"failure"}}'"#;
    let max_output_bytes = 10_100;
    let command =
        Command::new(CommandSettings { max_output_bytes, stdout: Stdout::Jsonl, ..settings(script) }).unwrap();
    let story = attempt().story(&command).await;
    assert_eq!(story.len(), 102);
    let discarded = 20_200_000 - max_output_bytes + 32;
    assert_eq!(story[100], format!("error output is limited to 10100 bytes: {discarded} bytes more were discarded"));
    assert_eq!(story[101], r#"ended {"status":"failure"}"#);
}

#[tokio::test]
async fn bytes_that_are_no_text_are_replaced() {
    let story = attempt().story(&sh(r"printf 'a\377b\000c\n'; printf 'no end'")).await;
    assert_eq!(story, ["message a\u{FFFD}b\u{FFFD}c", "message no end", SUCCESS]);
}

#[tokio::test]
async fn an_object_that_is_too_long_is_no_success() {
    let script =
        r#"printf '{"result":{"status":"success","output":"'; head -c 1100000 /dev/zero | tr '\0' x; echo '"}}'"#;
    let settings = CommandSettings { max_output_bytes: 2_000_000, stdout: Stdout::Jsonl, ..settings(script) };
    let problem = "a line with an object must have at most 1048576 bytes, got 1100043";
    assert_eq!(
        attempt().story(&Command::new(settings).unwrap()).await,
        [format!("error {problem}"), format!("retry, output: {problem}")]
    );
}

#[tokio::test]
async fn a_program_may_close_its_pipes_and_run_on() {
    assert_eq!(attempt().story(&sh("exec <&- >&- 2>&-; sleep 0.2; exit 75")).await, ["snooze 60s"]);
}

#[tokio::test]
async fn a_program_need_not_read_its_task() {
    let payload = format!("\"{}\"", "x".repeat(256 * 1024));
    let big = || crate::Task { payload: serde_json::value::RawValue::from_string(payload.clone()).unwrap(), ..task() };
    assert_eq!(attempt_of(big(), DEADLINE).story(&sh("echo done")).await, ["message done", SUCCESS]);
    assert_eq!(
        attempt_of(big(), DEADLINE).story(&sh("exec <&-; sleep 0.1; echo done")).await,
        ["message done", SUCCESS]
    );
    let story = attempt_of(big(), DEADLINE).story(&sh("wc -c")).await;
    assert_eq!(story[0].trim_start_matches("message").trim(), serde_json::to_vec(&big()).unwrap().len().to_string());
}

#[tokio::test]
async fn a_program_inherits_nothing_but_what_is_listed() {
    let env = BTreeMap::from([("COLOUR".to_owned(), Secret::new("blue"))]);
    let command = Command::new(CommandSettings { env, argv: vec!["env".to_owned()], ..settings("") }).unwrap();
    let mut story = attempt().story(&command).await;
    assert_eq!(story.pop().unwrap(), SUCCESS);
    let names = |name: &str| std::env::var(name).is_ok_and(|value| !value.is_empty()).then(|| name.to_owned());
    let mut expected: Vec<String> = ["PATH", "HOME", "LANG", "TZ"].into_iter().filter_map(names).collect();
    expected.extend(["COLOUR", "LONGSHORE_ACTION", "LONGSHORE_ATTEMPT", "LONGSHORE_TASK_ID"].map(str::to_owned));
    let mut found: Vec<&str> = story.iter().map(|line| line["message ".len()..].split('=').next().unwrap()).collect();
    expected.sort();
    found.sort_unstable();
    assert_eq!(found, expected);
    for line in ["COLOUR=blue", "LONGSHORE_ACTION=test", "LONGSHORE_ATTEMPT=3"] {
        assert!(story.contains(&format!("message {line}")), "{line}");
    }
}

/// Set for the worker that [`a_killed_worker_takes_its_programs_with_it`] kills.
const VICTIM: &str = "LONGSHORE_TEST_VICTIM";

#[tokio::test]
async fn a_killed_worker_takes_its_programs_with_it() {
    let this = std::env::current_exe().unwrap();
    let mut worker = process::Command::new(this)
        .args(["--exact", "command::the_worker_that_is_killed", "--nocapture"])
        .env(VICTIM, "1")
        .stdout(process::Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(worker.stdout.take().unwrap()).lines();
    let pid = lines.map_while(Result::ok).find_map(|line| line.split_once("program ")?.1.parse().ok());
    let program = Pid::from_raw(pid.expect("the worker tells its program's id")).unwrap();
    assert!(test_kill_process(program).is_ok());
    worker.kill().unwrap();
    worker.wait().unwrap();
    ended(program).await;
}

/// No test of its own: without the variable it does nothing.
#[tokio::test]
async fn the_worker_that_is_killed() {
    if std::env::var_os(VICTIM).is_none() {
        return;
    }
    let executor = sh("echo $$; exec sleep 1000");
    let attempt = attempt();
    let (execution, program) = started(&attempt, &executor).await;
    println!("program {program}");
    within(execution).await;
}

#[tokio::test]
async fn a_line_with_subtasks_asks_for_them_before_the_program_has_ended() {
    let mut attempt = attempt();
    let script = r#"echo '{"subtasks":[{"action":"a"},{"action":"b","queue":"q"}]}'; echo '{"result":{"suspend":{}}}'"#;
    assert_eq!(attempt.story(&sh_jsonl(script)).await, ["suspend All None"]);
    let asked = attempt.context.take_subtasks();
    let told: Vec<_> = asked.iter().map(|task| (task.action.as_str(), task.queue.as_deref())).collect();
    assert_eq!(told, [("a", None), ("b", Some("q"))]);
    assert!(asked.iter().all(|task| task.task_id.is_some()));
}

#[tokio::test]
async fn a_line_reports_build_data_as_long_as_an_object_may_be_and_beyond_the_bound_on_output() {
    let script = r#"
        echo '{"build_data":{"node_name":"n1","generator":"lshw","data_format":"text","data_element":"\u0041"}}'
        printf '{"build_data":{"node_name":"n1","generator":"lshw","data_format":"text","data_element":"'
        head -c 900000 /dev/zero | tr '\0' x
        echo '"}}'
        echo '{"build_data":{"node_name":"n1","generator":"lshw","data_format":"text","data_element":"a\u0000b"}}'
        echo '{"message":"after it"}'"#;
    let mut attempt = attempt();
    let settings = CommandSettings { max_output_bytes: 950_000, stdout: Stdout::Jsonl, ..settings(script) };
    let nul = "error build_data was refused: data_element holds U+0000 at byte 1, which Postgres does not store: encode it \
               (base64, say) and name that in data_format";
    assert_eq!(attempt.story(&Command::new(settings).unwrap()).await, [nul, "message after it", SUCCESS]);
    let lengths = attempt.context.take_build_data().iter().map(|data| data.data_element.len()).collect::<Vec<_>>();
    assert_eq!(lengths, [1, 900_000]);
}

#[tokio::test]
async fn a_message_that_is_too_long_for_a_log_is_cut_and_says_so() {
    let script = r#"
        printf '{"message":"'; head -c 100000 /dev/zero | tr '\0' x
        printf '","context":"n1","extra":"'; head -c 100000 /dev/zero | tr '\0' y; echo '"}'"#;
    let mut attempt = attempt();
    attempt.run(&sh_jsonl(script)).await;
    let [message] = &attempt.messages[..] else { panic!("one message") };
    let notice = "x [cut: the message has 100000 bytes, 81920 are kept] [left out: extra has 100002 bytes, at most 81920 are kept]";
    assert!(message.message.ends_with(notice), "{}", &message.message[81_900..]);
    assert_eq!((&message.extra, message.context.as_deref()), (&None, Some("n1")));
}

#[tokio::test]
async fn messages_that_wait_are_bounded_with_the_names_of_what_they_are_about() {
    let context = attempt().context;
    let about = || ResultMessage { context: Some("c".repeat(1000)), ..ResultMessage::note("n") };
    (0..10_000).for_each(|_| context.message(about()));
    let kept = context.take_messages();
    let bytes: usize = kept.iter().filter_map(|message| message.context.as_ref()).map(String::len).sum();
    assert!((500_000..1_048_576).contains(&bytes), "{bytes}");
    assert!(kept.last().is_some_and(|notice| notice.message.ends_with("faster than they could be recorded")));
}

#[tokio::test]
async fn a_program_that_prints_faster_than_its_lines_are_recorded_waits_and_none_is_dropped() {
    let attempt = attempt();
    let settings = CommandSettings { max_output_bytes: 64_000_000, ..settings("yes line | head -n 100000") };
    let executor = Command::new(settings).unwrap();
    let mut execution = executor.execute(&attempt.context);
    let mut count = 0;
    let outcome = within(async {
        loop {
            // long enough for it to print them all
            let ended = tokio::time::timeout(Duration::from_millis(30), &mut execution).await;
            let messages = attempt.context.take_messages();
            assert!(messages.iter().all(|message| message.message == "line"), "{:?}", messages.last());
            count += messages.len();
            if let Ok(outcome) = ended {
                return outcome;
            }
        }
    })
    .await;
    assert_eq!((count, crate::outcome_told(outcome).as_str()), (100_000, SUCCESS));
}
