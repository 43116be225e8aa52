//! A worker with an executor of its own.
//!
//! ```sh
//! DATABASE_URL=postgres://… cargo run --example rust_executor
//! # in another terminal; the first build of an example takes as long as that of the tests
//! psql "$DATABASE_URL" -c "INSERT INTO tasks (action, payload) VALUES ('greet', '{\"name\": \"Ada\"}')"
//! ```

use longshore_queue::{Outcome, ResultMessage};
use longshore_worker::config::{Cells, Config};
use longshore_worker::{Context, Execution, Executor, Worker, metrics};
use serde::Deserialize;
use serde_json::value::to_raw_value;

/// Greets whom the payload names.
struct Greet;

#[derive(Deserialize)]
struct Payload {
    name: String,
}

impl Executor for Greet {
    fn execute<'a>(&'a self, context: &'a Context) -> Execution<'a> {
        Box::pin(async move {
            let payload: Payload = match serde_json::from_str(context.task().payload.get()) {
                Ok(payload) => payload,
                // no further attempt will make it better
                Err(error) => return Outcome::failure("payload", error.to_string()),
            };
            context.message(ResultMessage::note(format!("greeting {}", payload.name)));
            match to_raw_value(&format!("Hello, {}!", payload.name)) {
                Ok(output) => Outcome::success_with(output),
                Err(error) => Outcome::retry("output", error.to_string()),
            }
        })
    }
}

const CONFIG: &str = r#"
[http]
# any free port: 9464 may be that of `longshore dev`
listen = "127.0.0.1:0"

[queues.default]
concurrency = 16

[actions.greet]
executor = "rust"
timeout = "10s"
"#;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut config = Config::parse(CONFIG, "the example's configuration")?;
    config.cells = Cells::from_environment()?;
    let ended = Worker::new(config).executor("greet", Greet).metrics(metrics::install()?).run()?;
    println!("{ended:?}");
    Ok(())
}
