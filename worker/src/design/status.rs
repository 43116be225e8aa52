//! The status document: what clients of the reference program's validation read, as it writes it.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use super::finding::{DocumentRef, Finding, Severity, Tally};
use super::rules::Rule;

/// What a check found, as one document of kind `Status`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusDocument<'f> {
    kind: &'static str,
    api_version: &'static str,
    metadata: Empty,
    message: Option<String>,
    reason: Option<&'static str>,
    status: &'static str,
    details: Details<'f>,
}

#[derive(Debug, Serialize)]
struct Empty {}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Details<'f> {
    error_count: usize,
    message_list: Vec<Message<'f>>,
}

#[derive(Debug, Serialize)]
struct Message<'f> {
    kind: &'static str,
    name: &'static str,
    message: String,
    error: bool,
    level: &'static str,
    diagnostic: Option<&'f str>,
    ts: String,
    documents: &'f [DocumentRef],
}

impl<'f> StatusDocument<'f> {
    /// The document of these findings, which were made at this time.
    pub fn new(findings: &'f [Finding], ts: DateTime<Utc>) -> StatusDocument<'f> {
        let errors = Tally::of(findings).errors;
        let failed = errors > 0;
        let ts = ts.to_rfc3339_opts(SecondsFormat::Micros, true);
        StatusDocument {
            kind: "Status",
            api_version: "v1.0",
            metadata: Empty {},
            message: failed.then(|| format!("the design has {errors} errors")),
            reason: failed.then_some("validation failed"),
            status: if failed { "Failure" } else { "Success" },
            details: Details {
                error_count: errors,
                message_list: findings.iter().map(|finding| message(finding, &ts)).collect(),
            },
        }
    }
}

/// The message with the title of its rule, if a rule found it.
pub(crate) fn titled(finding: &Finding) -> String {
    let text = &finding.message;
    Rule::named(finding.rule).map_or_else(|| text.clone(), |rule| format!("{}: {text}", rule.title))
}

fn message<'f>(finding: &'f Finding, ts: &str) -> Message<'f> {
    Message {
        kind: "ValidationMessage",
        name: finding.code,
        message: titled(finding),
        error: finding.severity == Severity::Error,
        level: match finding.severity {
            Severity::Info => "Info",
            Severity::Warning => "Warning",
            Severity::Error => "Error",
        },
        diagnostic: (!finding.remedy.is_empty()).then_some(&finding.remedy),
        ts: ts.to_owned(),
        documents: &finding.documents,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at() -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_357_830, 123_456_000).expect("a time")
    }

    fn document(findings: &[Finding]) -> serde_json::Value {
        serde_json::to_value(StatusDocument::new(findings, at())).expect("JSON")
    }

    #[test]
    fn nothing_found_is_a_success_of_the_whole_shape() {
        let empty = json!({
            "kind": "Status", "apiVersion": "v1.0", "metadata": {}, "message": null, "reason": null,
            "status": "Success", "details": {"errorCount": 0, "messageList": []},
        });
        assert_eq!(document(&[]), empty);
    }

    #[test]
    fn a_message_has_its_rules_title_and_what_points_to_it() {
        let info = Finding::new("DD2006", "cidr_validity", Severity::Info, "no errors");
        let mut error = Finding::new("DD2002", "ip_locality", Severity::Error, "is elsewhere").remedy("move it");
        error.documents.push(DocumentRef { schema: "drydock/Network/v1".into(), name: "mgmt".into() });
        let refused = Finding::new("DD000", "envelope", Severity::Error, "no name");
        let document = document(&[info, error, refused]);
        assert_eq!((&document["status"], &document["details"]["errorCount"]), (&json!("Failure"), &json!(2)));
        let ts = "2026-11-22T14:30:30.123456Z";
        let message = |name, message, error, level, diagnostic, documents| {
            json!({"kind": "ValidationMessage", "name": name, "message": message, "error": error, "level": level,
                   "diagnostic": diagnostic, "ts": ts, "documents": documents})
        };
        let expected = json!([
            message("DD2006", "CIDR Validity: no errors", false, "Info", json!(null), json!([])),
            message(
                "DD2002",
                "IP Locality Check: is elsewhere",
                true,
                "Error",
                json!("move it"),
                json!([{"schema": "drydock/Network/v1", "name": "mgmt"}])
            ),
            message("DD000", "no name", true, "Error", json!(null), json!([])),
        ]);
        assert_eq!(document["details"]["messageList"], expected);
    }
}
