//! What must be so at the end of the demo, and what was found. Pure.

use longshore_queue::Tally;

use super::plan::{HOSTAGE, Part, Plan};
use super::report::Findings;

/// One thing that must be so.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Check {
    pub(super) expected: String,
    pub(super) found: String,
    pub(super) holds: bool,
}

/// Whether everything is as it should be.
pub(super) fn all_hold(plan: &Plan, findings: &Findings) -> bool {
    checks(plan, findings).iter().all(|check| check.holds)
}

/// One check an action of the plan, then those of the rescue and of the workers' ends.
pub(super) fn checks(plan: &Plan, findings: &Findings) -> Vec<Check> {
    let mut checks: Vec<Check> = plan.parts.iter().map(|part| ended(part, &findings.tallies)).collect();
    checks.push(Check {
        expected: "at least 1 task was rescued from the killed worker".to_owned(),
        found: findings.rescued().to_string(),
        holds: findings.rescued() >= 1,
    });
    let by_killed = |said: &String| said.ends_with(&format!(" by {}", findings.killed));
    checks.push(Check {
        expected: format!("{HOSTAGE} was begun by {} and finished by another worker", findings.killed),
        found: findings.hostage.join(", "),
        holds: findings.hostage.first().is_some_and(by_killed)
            && findings.hostage.last().is_some_and(|said| !by_killed(said)),
    });
    let codes = &findings.exit_codes;
    let found: Vec<String> =
        codes.iter().map(|code| code.map_or("a signal".to_owned(), |code| code.to_string())).collect();
    checks.push(Check {
        expected: "the other workers drained and exited with 0".to_owned(),
        found: found.join(", "),
        holds: !codes.is_empty() && codes.iter().all(|code| *code == Some(0)),
    });
    checks
}

/// All tasks of the action have ended as they should, each after as many attempts as it needs.
fn ended(part: &Part, tallies: &[Tally]) -> Check {
    let Part { action, tasks, result_status, attempts } = part;
    let found: Vec<&Tally> = tallies.iter().filter(|tally| tally.action == *action).collect();
    let outcome = |tally: &Tally| {
        let Tally { status, result_status, tasks, attempts, .. } = tally;
        format!("{tasks} {status}/{result_status} in {attempts} attempts")
    };
    let (tasks, attempts) = (*tasks as i64, *attempts as i64);
    let holds = found.iter().all(|tally| tally.status == "complete" && tally.result_status == *result_status)
        && found.iter().map(|tally| tally.tasks).sum::<i64>() == tasks
        && found.iter().map(|tally| tally.attempts).sum::<i64>() >= tasks * attempts
        && (attempts == 1 || found.iter().map(|tally| tally.repeated).sum::<i64>() == tasks);
    Check {
        expected: format!("{action}: {tasks} complete/{result_status} in {} attempts or more", tasks * attempts),
        found: if found.is_empty() {
            "none".to_owned()
        } else {
            found.into_iter().map(outcome).collect::<Vec<_>>().join(", ")
        },
        holds,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(action: &str, outcome: (&str, &str), tasks: i64, attempts: i64, repeated: i64) -> Tally {
        let (status, result_status) = (outcome.0.to_owned(), outcome.1.to_owned());
        Tally { action: action.to_owned(), status, result_status, tasks, attempts, repeated }
    }

    fn part(attempts: usize) -> Part {
        Part { action: "a", tasks: 2, result_status: "success", attempts }
    }

    #[test]
    fn tasks_that_ended_otherwise_or_too_early_or_not_at_all_fail_the_check() {
        let (good, bad, open) = (("complete", "success"), ("complete", "failure"), ("queued", "incomplete"));
        for (attempts, found, holds) in [
            (1, vec![tally("a", good, 2, 2, 0)], true),
            (1, vec![tally("a", good, 2, 3, 1)], true),
            (2, vec![tally("a", good, 2, 4, 2)], true),
            (2, vec![tally("a", good, 2, 4, 1)], false),
            (1, vec![tally("a", good, 1, 1, 0)], false),
            (1, vec![tally("a", good, 1, 1, 0), tally("a", bad, 1, 1, 0)], false),
            (1, vec![tally("a", open, 2, 0, 0)], false),
            (1, vec![tally("b", good, 2, 2, 0)], false),
            (1, vec![], false),
        ] {
            let check = ended(&part(attempts), &found);
            assert_eq!(check.holds, holds, "{check:?}");
        }
    }

    #[test]
    fn a_check_says_what_was_expected_and_what_was_found() {
        let check = ended(&part(2), &[tally("a", ("queued", "incomplete"), 2, 3, 1)]);
        assert_eq!(check.expected, "a: 2 complete/success in 4 attempts or more");
        assert_eq!(check.found, "2 queued/incomplete in 3 attempts");
    }
}
