//! Trees changed by several connections at once.

use longshore_queue::{Insertion, Locked, ResultStatus, TaskResult, Wait, complete, insert_subtasks, terminate};
use sqlx::Connection;

use crate::support::actor::{back, named, success};
use crate::support::database;
use crate::support::trees::{Player, result};

const INSERT: &str = "INSERT INTO tasks (action, payload, parent_task_id) VALUES ('work', '\"late\"', $1)";

#[tokio::test]
async fn a_parent_does_not_end_while_a_subtask_of_it_is_being_inserted() {
    for committed in [true, false] {
        let database = database().await;
        let names = database.tree(&["root"]).await;
        let mut player = Player::enter(&database).await;
        player.claim().await;
        player.actor.locked = Locked::Skip;
        let mut producer = database.conn().await;
        let mut inserting = producer.begin().await.unwrap();
        sqlx::query(INSERT).bind(names["root"]).execute(&mut *inserting).await.unwrap();
        let end = success(player.held["root"]);
        assert_eq!(player.actor.complete(std::slice::from_ref(&end), &Default::default()).await.unwrap().len(), 0);
        assert_eq!(player.settle(&[end.clone().into()]).await.unwrap().len(), 0);
        if committed { inserting.commit().await } else { inserting.rollback().await }.unwrap();
        // the statement for tasks without a tree leaves it now, if there is one
        let ended = player.actor.complete(std::slice::from_ref(&end), &Default::default()).await.unwrap().len();
        assert_eq!(ended, usize::from(!committed));
        if committed {
            player.succeed("root").await;
            assert_eq!(database.states().await, "late queued, root requested");
        }
    }
}

#[tokio::test]
async fn a_subtask_inserted_while_its_parent_ends_waits_and_is_refused() {
    let database = database().await;
    let names = database.tree(&["root"]).await;
    let mut player = Player::enter(&database).await;
    player.claim().await;
    let mut ending = database.conn().await;
    let mut ending = ending.begin().await.unwrap();
    complete(&mut *ending, "default", &[success(player.held["root"])], &Default::default(), Locked::Skip)
        .await
        .unwrap();
    let mut producer = database.conn().await;
    let inserting = sqlx::query(INSERT).bind(names["root"]).execute(&mut producer);
    let committing = async {
        database.until_one_waits().await;
        ending.commit().await.unwrap();
    };
    let (inserted, ()) = tokio::join!(inserting, committing);
    assert!(inserted.unwrap_err().to_string().contains("has ended"));
    assert_eq!(database.states().await, "root complete success");
}

#[tokio::test]
async fn of_the_last_two_subtasks_that_end_at_once_one_is_the_last() {
    for round in 0..10 {
        let database = database().await;
        let mut names = database.tree(&["root"]).await;
        let mut first = Player::enter(&database).await;
        let mut second = Player::enter(&database).await;
        first.claim().await;
        database.add(&mut names, &["a < root", "b < root", "c < root after a b"]).await.unwrap();
        first.suspend("root", Wait::All, 0).await;
        first.claim().await;
        second.held = first.held.clone();
        tokio::join!(first.succeed("a"), second.succeed("b"));
        assert_eq!(first.claim().await, "c", "round {round}");
        first.succeed("c").await;
        assert_eq!(first.claim().await, "root", "round {round}");
    }
}

#[tokio::test]
async fn a_predecessor_that_ends_while_a_task_is_inserted_behind_it_releases_it() {
    let database = database().await;
    let names = database.tree(&["root", "a < root"]).await;
    let mut player = Player::enter(&database).await;
    player.claim().await;
    let mut producer = database.conn().await;
    let mut inserting = producer.begin().await.unwrap();
    sqlx::query(
        "INSERT INTO tasks (action, payload, parent_task_id, \"after\") VALUES ('work', '\"b\"', $1, ARRAY[$2])",
    )
    .bind(names["root"])
    .bind(names["a"])
    .execute(&mut *inserting)
    .await
    .unwrap();
    let end = success(player.held["a"]);
    assert_eq!(player.settle(&[end.clone().into()]).await.unwrap().len(), 0, "the edge is not there yet");
    inserting.commit().await.unwrap();
    player.succeed("a").await;
    assert_eq!(player.claim().await, "b");
}

#[tokio::test]
async fn a_lock_in_one_tree_does_not_hold_up_the_others_of_a_batch() {
    let database = database().await;
    let names = database.tree(&["one", "a < one", "two", "b < two"]).await;
    let mut player = Player::enter(&database).await;
    player.claim().await;
    player.succeed("one two").await;
    let mut onlooker = database.conn().await;
    let mut holding = onlooker.begin().await.unwrap();
    sqlx::query("SELECT FROM tasks WHERE task_id = $1 FOR UPDATE")
        .bind(names["one"])
        .execute(&mut *holding)
        .await
        .unwrap();
    let outcomes = [success(player.held["a"]).into(), success(player.held["b"]).into()];
    assert_eq!(player.settle(&outcomes).await.unwrap(), [names["b"]]);
    assert_eq!(database.states().await, "a running, b complete success, one requested, two complete success");
    holding.rollback().await.unwrap();
    player.succeed("a").await;
    assert_eq!(
        database.states().await,
        "a complete success, b complete success, one complete success, two complete success"
    );
}

#[tokio::test]
async fn no_subtask_slips_into_a_tree_that_is_being_terminated() {
    let database = database().await;
    let names = database.tree(&["root", "a < root"]).await;
    let mut player = Player::enter(&database).await;
    player.claim().await;
    // inserted before the end is asked for, committed after
    let mut producer = database.conn().await;
    let mut inserting = producer.begin().await.unwrap();
    sqlx::query(INSERT).bind(names["a"]).execute(&mut *inserting).await.unwrap();
    let mut conn = database.conn().await;
    let asking = terminate(&mut conn, names["root"], Some("ann"));
    let committing = async {
        database.until_one_waits().await;
        inserting.commit().await.unwrap();
    };
    let (asked, ()) = tokio::join!(asking, committing);
    assert!(asked.unwrap());
    assert_eq!(database.states().await, "a terminating, late terminated failure, root terminating");
}

#[tokio::test]
async fn subtasks_are_inserted_only_while_the_claim_holds_and_only_once() {
    let database = database().await;
    database.tree(&["root"]).await;
    let mut player = Player::enter(&database).await;
    player.claim().await;
    let held = player.held["root"];
    let tasks: Vec<_> =
        ["a", "b"].map(|name| longshore_queue::NewTask { task_id: Some(uuid::Uuid::now_v7()), ..named(name) }).into();
    let lost = longshore_queue::Held { claim_token: uuid::Uuid::new_v4(), ..held };
    let mut conn = database.conn().await;
    assert!(matches!(insert_subtasks(&mut conn, "default", lost, &tasks).await.unwrap(), Insertion::NotHeld));
    assert!(matches!(insert_subtasks(&mut conn, "default", held, &tasks).await.unwrap(), Insertion::Done));
    // the answer was lost
    assert!(matches!(insert_subtasks(&mut conn, "default", held, &tasks).await.unwrap(), Insertion::Done));
    let wrong = [named("c"), longshore_queue::NewTask::new("")];
    let wrong = wrong.map(|task| longshore_queue::NewTask { task_id: Some(uuid::Uuid::now_v7()), ..task });
    assert!(matches!(insert_subtasks(&mut conn, "default", held, &wrong).await.unwrap(), Insertion::Refused(_)));
    assert_eq!(database.states().await, "a queued, b queued, root running");
    player.succeed("root").await;
    assert!(matches!(insert_subtasks(&mut conn, "default", held, &tasks).await.unwrap(), Insertion::NotHeld));
}

#[tokio::test]
async fn an_insert_under_way_holds_up_the_last_subtask_alone() {
    let database = database().await;
    let mut names = database.tree(&["root"]).await;
    let mut player = Player::enter(&database).await;
    player.claim().await;
    database.add(&mut names, &["a < root", "b < root"]).await.unwrap();
    player.suspend("root", Wait::All, 0).await;
    player.claim().await;
    let mut producer = database.conn().await;
    let mut inserting = producer.begin().await.unwrap();
    sqlx::query(INSERT).bind(names["root"]).execute(&mut *inserting).await.unwrap();
    player.succeed("a").await;
    let last = success(player.held["b"]);
    assert_eq!(player.settle(&[last.clone().into()]).await.unwrap().len(), 0);
    inserting.commit().await.unwrap();
    player.succeed("b").await;
    assert_eq!(player.claim().await, "late", "and the root goes on waiting, for the new one");
}

#[tokio::test]
async fn a_lost_claim_leaves_no_output_where_the_one_that_holds_is_settled_with_it() {
    let said = |word: &str, bytes: usize| TaskResult {
        output: Some(serde_json::value::to_raw_value(&format!("{word:x<bytes$}")).unwrap()),
        ..result(ResultStatus::Success, &[], &[])
    };
    for (bytes, expected) in [(0, "held"), (2000, "held wide")] {
        let database = database().await;
        database.tree(&["root", "a < root"]).await;
        let mut player = Player::enter(&database).await;
        player.claim().await;
        let lost = ["a", "root"].map(|name| (player.ending(name, said("lost", 2000)), player.held[name]));
        for (_, held) in &lost {
            assert_eq!(player.settle(&[back(*held, true).into()]).await.unwrap().len(), 1);
        }
        assert_eq!(player.claim().await, "a root");
        for ((lost, _), name) in lost.into_iter().zip(["a", "root"]) {
            let held = player.ending(name, said("held", bytes));
            assert_eq!(player.settle(&[lost, held]).await.unwrap().len(), 1);
        }
        let outputs = "SELECT left(coalesce(tasks.output, wide.output) #>> '{}', 4)
                || CASE WHEN wide.output IS NULL THEN '' ELSE ' wide' END
            FROM tasks LEFT JOIN task_output AS wide USING (task_id)";
        assert_eq!(database.values::<String>(outputs).await, [expected; 2]);
    }
}
