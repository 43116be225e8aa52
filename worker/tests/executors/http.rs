//! `http` against a server that answers what it is told to.

use std::collections::BTreeMap;
use std::time::Duration;

use longshore_queue::Task;
use longshore_worker::config::HttpSettings;
use longshore_worker::executors::Http;
use longshore_worker::{Executor, Secret, Stop};
use serde_json::value::RawValue;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::{DEADLINE, attempt, attempt_of, outcome_told, task, within};

const SUCCESS: &str = r#"ended {"status":"success"}"#;

/// What the server does with a request.
#[derive(Clone)]
enum Reply {
    /// Answers this and closes.
    Bytes(String),
    /// Answers this, then x without end.
    Endless(String),
    /// Answers this, and never the rest.
    Hanging(String),
    /// Closes with a reset.
    Reset,
}

/// A server on the loopback: its address, and the requests that it received.
struct Server {
    address: String,
    requests: mpsc::UnboundedReceiver<Request>,
}

/// A request: its first line and headers, in lower case, and its body.
struct Request {
    head: Vec<String>,
    body: String,
}

async fn server(reply: Reply) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (sender, requests) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(stream, reply.clone(), sender.clone()));
        }
    });
    Server { address, requests }
}

async fn serve(stream: TcpStream, reply: Reply, requests: mpsc::UnboundedSender<Request>) {
    let mut stream = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.unwrap() == 0 || line == "\r\n" {
            break;
        }
        head.push(line.trim().to_owned());
    }
    let length = head.iter().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).await.unwrap();
    requests.send(Request { head, body: String::from_utf8(body).unwrap() }).ok();
    let mut stream = stream.into_inner();
    match reply {
        Reply::Bytes(bytes) => stream.write_all(bytes.as_bytes()).await.unwrap(),
        Reply::Endless(bytes) => {
            stream.write_all(bytes.as_bytes()).await.unwrap();
            // until the other side has had enough
            while stream.write_all(&[b'x'; 8192]).await.is_ok() {}
        }
        Reply::Hanging(bytes) => {
            stream.write_all(bytes.as_bytes()).await.unwrap();
            std::future::pending::<()>().await;
        }
        Reply::Reset => stream.set_zero_linger().unwrap(),
    }
}

/// An answer that ends with its connection.
fn answer(status: &str, headers: &str, body: &str) -> Reply {
    Reply::Bytes(format!("HTTP/1.1 {status}\r\nconnection: close\r\n{headers}\r\n{body}"))
}

fn json(body: &str) -> Reply {
    answer("200 OK", "content-type: application/json\r\n", body)
}

fn post_to(server: &Server) -> Http {
    Http::new(&HttpSettings { url: format!("http://{}/hook", server.address), headers: BTreeMap::new() }).unwrap()
}

/// What comes of an attempt that is answered so; `ORIGIN` stands for the server's.
async fn story(reply: Reply) -> Vec<String> {
    let server = server(reply).await;
    let story = attempt().story(&post_to(&server)).await;
    story.into_iter().map(|line| line.replace(&format!("http://{}", server.address), "ORIGIN")).collect()
}

#[tokio::test]
async fn a_request_carries_the_task_and_who_it_is() {
    let mut server = server(answer("204 No Content", "", "")).await;
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let context = format!(r#"{{"traceparent":"{parent}","tracestate":"a=b"}}"#);
    let traced = || Task { request_context: Some(RawValue::from_string(context.clone()).unwrap()), ..task() };
    let settings = HttpSettings {
        url: format!("http://user:hunter2@{}/hook?x=1", server.address),
        headers: BTreeMap::from([("X-Token".to_owned(), Secret::new("hunter2"))]),
    };
    let story = attempt_of(traced(), DEADLINE).story(&Http::new(&settings).unwrap()).await;
    assert_eq!(story, [SUCCESS]);
    let request = within(server.requests.recv()).await.unwrap();
    assert_eq!(request.head[0], "POST /hook?x=1 HTTP/1.1");
    for header in [
        "content-type: application/json",
        "longshore-task-id: 0197a1b2-0000-7000-8000-000000000001",
        "longshore-attempt: 3",
        "idempotency-key: 0197a1b2-0000-7000-8000-000000000001",
        &format!("traceparent: {parent}"),
        "tracestate: a=b",
        "x-token: hunter2",
        "authorization: Basic dXNlcjpodW50ZXIy",
    ] {
        assert!(request.head.iter().any(|line| line == header), "{header} in {:?}", request.head);
    }
    let mut sent = serde_json::to_string(&traced()).unwrap();
    sent.truncate(sent.len() - 1);
    assert_eq!(request.body, format!("{sent},\"traceparent\":\"{parent}\",\"tracestate\":\"a=b\"}}"));
}

#[tokio::test]
async fn a_success_says_in_its_body_how_it_went() {
    let lines = "{\"message\":\"one\"}\n{\"result\":{\"status\":\"failure\",\"reason\":\"r\"}}\n";
    let failed = r#"ended {"status":"failure","reason":"r"}"#;
    assert_eq!(story(json(lines)).await, ["message one", failed]);
    let ndjson = answer("202 Accepted", "content-type: application/x-ndjson; charset=utf-8\r\n", lines);
    assert_eq!(story(ndjson).await, ["message one", failed]);
    let both = r#"{"message":"m", "result":{"status":"success","retry_after":7}}"#;
    assert_eq!(story(json(both)).await, ["message m", "retry in 7s, retry_after: retry asked for"]);
    assert_eq!(story(json("{}")).await, [SUCCESS]);
    assert_eq!(story(json("")).await, [SUCCESS]);
    assert_eq!(story(json(r#"{"ok":true}"#)).await, [r#"error unknown key `ok`: {"ok":true}"#, SUCCESS]);
    let wrong = story(json(r#"{"result":{"status":"ok"}}"#)).await;
    assert!(wrong[1].starts_with("retry, output: result: `status` must be"), "{wrong:?}");
}

#[tokio::test]
async fn an_answer_asks_for_subtasks_and_to_wait_for_them() {
    let lines = "{\"subtasks\":[{\"action\":\"a\"}]}\n{\"result\":{\"suspend\":{\"until\":\"any\"}}}\n";
    let server = server(json(lines)).await;
    let mut attempt = attempt();
    assert_eq!(attempt.story(&post_to(&server)).await, ["suspend Any None"]);
    assert_eq!(attempt.context.take_subtasks().len(), 1);
}

#[tokio::test]
async fn a_body_that_is_not_json_is_not_read_and_the_log_says_so() {
    let says = |level: &str, kind: &str| {
        format!(
            "{level} the body of the answer was not read: {kind}; messages and results are taken from \
             application/json or application/x-ndjson"
        )
    };
    let failure = r#" {"result":{"status":"failure"}}"#;
    let text = answer("200 OK", "content-type: text/html\r\n", failure);
    assert_eq!(story(text).await, [says("error", "its Content-Type is text/html"), SUCCESS.to_owned()]);
    let none = [says("message", "it has no Content-Type"), SUCCESS.to_owned()];
    assert_eq!(story(answer("200 OK", "", "anything")).await, none);
    assert_eq!(story(Reply::Endless("HTTP/1.1 200 OK\r\n\r\n".to_owned())).await, none);
    let chunked = "transfer-encoding: chunked\r\n";
    assert_eq!(story(answer("200 OK", chunked, "2\r\nok\r\n0\r\n\r\n")).await, none);
    for empty in [answer("200 OK", "", ""), answer("200 OK", chunked, "0\r\n\r\n"), answer("204 No Content", "", "")] {
        assert_eq!(story(empty).await, [SUCCESS]);
    }
}

#[tokio::test]
async fn an_answer_reports_build_data_and_what_is_wrong_with_it() {
    let entry =
        |node: &str| format!(r#"{{"node_name":"{node}","generator":"g","data_format":"json","data_element":[1.50]}}"#);
    let lines = format!(
        "{{\"build_data\":[{},{}],\"result\":{{\"status\":\"success\"}}}}\n{{\"build_data\":{}}}\n",
        entry("n1"),
        entry(""),
        entry("n2")
    );
    let server = server(json(&lines)).await;
    let mut attempt = attempt();
    let problem = "error build_data[1] was refused: node_name must have 1 to 253 characters, got 0";
    assert_eq!(attempt.story(&post_to(&server)).await, [problem, SUCCESS]);
    let entries = attempt.context.take_build_data();
    let told: Vec<_> =
        entries.iter().map(|data| (data.node_name.as_str(), data.task_id, data.data_element.as_str())).collect();
    assert_eq!(told, [("n1", task().task_id, "[1.50]"), ("n2", task().task_id, "[1.50]")]);
}

#[tokio::test]
async fn a_status_decides() {
    for status in [
        "408 Request Timeout",
        "425 Too Early",
        "429 Too Many Requests",
        "500 Internal Server Error",
        "503 Service Unavailable",
    ] {
        let expected = format!("retry, http_status: ORIGIN answered {status}: why");
        assert_eq!(story(answer(status, "", "why")).await, [expected]);
    }
    for status in ["400 Bad Request", "401 Unauthorized", "404 Not Found", "409 Conflict", "422 Unprocessable Entity"] {
        let expected =
            format!(r#"ended {{"status":"failure","message":"ORIGIN answered {status}: why","reason":"http_status"}}"#);
        let said = format!("error ORIGIN answered {status}: why");
        assert_eq!(story(answer(status, "", "why")).await, [said, expected]);
    }
}

#[tokio::test]
async fn retry_after_is_heeded() {
    let after =
        async |value: &str| story(answer("503 Service Unavailable", &format!("retry-after: {value}\r\n"), "")).await;
    let told = |after: &str| [format!("retry{after}, http_status: ORIGIN answered 503 Service Unavailable")];
    assert_eq!(after("120").await, told(" in 120s"));
    assert_eq!(after("999999999").await, told(" in 86400s"));
    assert_eq!(after("Wed, 21 Oct 2015 07:28:00 GMT").await, told(" in 0ns"));
    assert_eq!(after("Fri, 21 Oct 2095 07:28:00 GMT").await, told(" in 86400s"));
    assert_eq!(after("soon").await, told(""));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let mut elsewhere = server(json("{}")).await;
    let headers = format!("location: http://{}/\r\n", elsewhere.address);
    let expected = r#"ended {"status":"failure","message":"ORIGIN answered 307 Temporary Redirect, and redirects are not followed","reason":"http_status"}"#;
    let said = "error ORIGIN answered 307 Temporary Redirect, and redirects are not followed";
    assert_eq!(story(answer("307 Temporary Redirect", &headers, "")).await, [said, expected]);
    assert!(elsewhere.requests.try_recv().is_err(), "nobody asked there");
}

#[tokio::test]
async fn only_the_beginning_of_an_error_is_shown_and_never_a_secret() {
    let server = server(Reply::Endless("HTTP/1.1 400 Bad Request\r\n\r\nBearer hunter2 ".to_owned())).await;
    let settings = HttpSettings {
        url: format!("http://user:hunter2@{}/hunter2?token=hunter2", server.address),
        headers: BTreeMap::from([("Authorization".to_owned(), Secret::new("Bearer hunter2"))]),
    };
    let story = attempt().story(&Http::new(&settings).unwrap()).await;
    assert!(story[0].contains("[secret] xxx") && story[0].len() < 1200, "{story:?}");
    assert!(!story[0].contains("hunter2"), "{story:?}");
}

#[tokio::test]
async fn an_endless_answer_is_left_off() {
    let reply = Reply::Endless("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n".to_owned());
    assert_eq!(story(reply).await, ["retry, output: ORIGIN answered with more than 1048576 bytes"]);
}

#[tokio::test]
async fn an_answer_that_does_not_come_in_time_is_a_timeout() {
    for sent in ["", "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n{"] {
        let server = server(Reply::Hanging(sent.to_owned())).await;
        let mut attempt = attempt_of(task(), Duration::from_millis(200));
        let expected = format!("retry, timeout: no whole answer from http://{} within 200ms", server.address);
        assert_eq!(attempt.story(&post_to(&server)).await, [expected]);
    }
}

#[tokio::test]
async fn a_broken_connection_is_a_retry_that_shows_no_secret() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let reset = server(Reply::Reset).await;
    let half = server(answer("200 OK", "content-type: application/json\r\ncontent-length: 10\r\n", "{")).await;
    for address in [closed.to_string(), reset.address, half.address] {
        let url = format!("http://user:hunter2@{address}/hunter2?token=hunter2");
        let story = attempt().story(&Http::new(&HttpSettings { url, headers: BTreeMap::new() }).unwrap()).await;
        let [outcome] = &story[..] else { panic!("no messages: {story:?}") };
        assert!(outcome.starts_with(&format!("retry, transport: no answer from http://{address}: ")), "{outcome}");
        assert!(!outcome.contains("hunter2"), "{outcome}");
    }
}

#[tokio::test]
async fn a_stop_drops_the_request() {
    for (stop, expected) in [
        (Stop::Shutdown, "release"),
        (Stop::Lost, "release"),
        (
            Stop::Terminated,
            r#"ended {"status":"failure","message":"terminated while waiting for an answer","reason":"terminated"}"#,
        ),
    ] {
        let mut server = server(Reply::Hanging(String::new())).await;
        let (executor, attempt) = (post_to(&server), attempt());
        let stopping = async {
            server.requests.recv().await;
            attempt.context.stop(stop);
        };
        let (outcome, ()) = within(async { tokio::join!(executor.execute(&attempt.context), stopping) }).await;
        assert_eq!(outcome_told(outcome), expected);
    }
}
