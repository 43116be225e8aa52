use longshore_queue::{Outcome, ResultStatus};
use longshore_worker::Stop;
use longshore_worker::design::Resolved;
use longshore_worker::executors::ValidateDesign;
use serde_json::{Value, json};

use super::{Attempt, attempt};

const VALID: &str = include_str!("../design/rules/valid.yaml");

fn attempt_with(design: &str) -> Attempt {
    let attempt = attempt();
    attempt.context.set_design(Resolved::new(design.as_bytes().to_vec()));
    attempt
}

/// The result with its output, as JSON.
fn result(outcome: Outcome) -> Value {
    match outcome {
        Outcome::Ended(result) => serde_json::to_value(result).unwrap(),
        other => panic!("the outcome is final: {other:?}"),
    }
}

#[tokio::test]
async fn a_valid_design_is_a_success_with_its_counts_and_an_info_of_each_rule() {
    let mut attempt = attempt_with(VALID);
    let result = result(attempt.run(&ValidateDesign::default()).await);
    let models = json!({"Region": 1, "Network": 3, "NetworkLink": 2, "HardwareProfile": 1, "HostProfile": 1,
                        "BaremetalNode": 2, "BootAction": 1});
    let output = json!({"errors": 0, "warnings": 1, "models": models});
    assert_eq!(result, json!({"status": "success", "message": "0 errors, 1 warning", "output": output}));
    assert_eq!(attempt.messages.iter().filter(|message| message.error).count(), 0);
    assert_eq!(attempt.messages.len(), 18 + 1);
    // the warning comes before the infos
    let first = &attempt.messages[0];
    assert!(first.message.starts_with("Platform Selection: images and kernels are not checked"), "{}", first.message);
    assert_eq!((&first.context, &first.context_type), (&None, &None));
}

#[tokio::test]
async fn an_error_is_a_final_failure_and_its_message_says_everything_about_it() {
    let mut attempt = attempt_with(&VALID.replace("10.0.0.0/24", "10.0.0.7/24"));
    let result = result(attempt.run(&ValidateDesign::default()).await);
    assert_eq!((&result["status"], &result["reason"]), (&json!("failure"), &json!("design_invalid")));
    assert_eq!((&result["message"], &result["output"]["errors"]), (&json!("1 error, 1 warning"), &json!(1)));
    let message = &attempt.messages[0];
    assert_eq!(
        serde_json::to_value(message).unwrap(),
        json!({
            "message": "CIDR Validity: \"10.0.0.7/24\" has bits set behind its prefix", "error": true,
            "context": "oob", "context_type": "document",
            "extra": {
                "code": "DD2006", "rule": "cidr_validity", "severity": "error", "line": 6,
                "remedy": "set cidr: 10.0.0.0/24",
                "documents": [{"schema": "drydock/Network/v1", "name": "oob"}],
            },
        })
    );
    assert!(attempt.messages[1..].iter().all(|message| !message.error));
}

#[tokio::test]
async fn what_cannot_be_read_is_a_final_failure_of_its_own() {
    for bytes in [b"a: [".as_slice(), b"\xff\xfe"] {
        let mut attempt = attempt();
        attempt.context.set_design(Resolved::new(bytes.to_vec()));
        let result = result(attempt.run(&ValidateDesign::default()).await);
        assert_eq!((&result["status"], &result["reason"]), (&json!("failure"), &json!("design_unreadable")));
        let said = &attempt.messages;
        assert!(said.len() == 1 && said[0].error && said[0].message.contains("line 1"), "{said:?}");
    }
}

#[tokio::test]
async fn of_many_findings_the_gravest_are_recorded_and_the_rest_is_counted() {
    let mut design = VALID.replace("10.0.0.0/24", "10.0.0.7/24");
    for node in 0..2000 {
        design.push_str(&format!(
            "---\nschema: drydock/BaremetalNode/v1\nmetadata: {{name: \"n\\0{}{node}\"}}\n\
             data: {{host_profile: defaults, addressing: [{{network: mgmt, address: dhcp}}]}}\n",
            "x".repeat(1000),
        ));
    }
    let mut attempt = attempt_with(&design);
    let result = result(attempt.run(&ValidateDesign::default()).await);
    // per node: two labels that are none, a long name, and no address for ipmi
    assert!(result["output"]["errors"].as_u64().unwrap() > 6000, "{result}");
    let (last, said) = attempt.messages.split_last().unwrap();
    assert_eq!(said.len(), 500);
    assert!(said.iter().all(|message| message.error && !serde_json::to_string(message).unwrap().contains("\\u0000")));
    let found = result["output"]["errors"].as_u64().unwrap() + result["output"]["warnings"].as_u64().unwrap();
    let more: u64 = last.message.strip_prefix("and ").unwrap().strip_suffix(" more findings").unwrap().parse().unwrap();
    // some rules found nothing, and said so
    assert!((found - 500..=found - 500 + 18).contains(&more), "{more} of {found}");
}

#[tokio::test]
async fn an_attempt_without_a_design_fails() {
    let result = result(attempt().run(&ValidateDesign::default()).await);
    assert_eq!((&result["status"], &result["reason"]), (&json!("failure"), &json!("design")));
}

#[tokio::test]
async fn who_is_asked_to_stop_does_not_wait_for_the_end_of_the_check() {
    for (reason, ended) in [(Stop::Shutdown, false), (Stop::Lost, false), (Stop::Terminated, true)] {
        let mut attempt =
            attempt_with(&"---\nschema: drydock/Region/v1\nmetadata: {name: r}\ndata: {}\n".repeat(2_000));
        attempt.context.stop(reason);
        match attempt.run(&ValidateDesign::default()).await {
            Outcome::Ended(result) => assert!(ended && result.status == ResultStatus::Failure),
            outcome => assert!(!ended && matches!(outcome, Outcome::Release)),
        }
    }
}
