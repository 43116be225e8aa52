//! The end of whole trees, asked for from outside.

use std::time::Instant;

use longshore_queue::{Leadership, Listener, Wait, Wake, rescue_trees, terminate};

use crate::support::database;
use crate::support::trees::Player;

#[tokio::test]
async fn one_statement_ends_a_tree_and_its_root_comes_last() {
    let database = database().await;
    let names = database
        .tree(&["root", "a < root", "b < root after a", "x < b", "y < x", "z < root", "other", "o < other"])
        .await;
    let mut player = Player::enter(&database).await;
    assert_eq!(player.claim().await, "a o other root x y z");
    assert!(terminate(&mut database.conn().await, names["root"], Some("ann")).await.unwrap());
    assert_eq!(
        database.states().await,
        "a terminating, b terminating, o running, other running, root terminating, \
         x terminating, y terminating, z terminating"
    );
    player.succeed("root a z x").await;
    assert_eq!(
        database.states().await,
        "a terminated failure, b terminating, o running, other running, root terminating, \
         x terminating, y terminating, z terminated failure"
    );
    player.succeed("y").await;
    assert_eq!(
        database.history().await,
        "a terminated attempt 1 failure terminated by ann\n\
         b terminated attempt 0 failure terminated by ann\n\
         o running attempt 1\n\
         other running attempt 1\n\
         root terminated attempt 1 failure terminated by ann\n\
         x terminated attempt 1 failure terminated by ann\n\
         y terminated attempt 1 failure terminated by ann\n\
         z terminated attempt 1 failure terminated by ann"
    );
    assert_eq!(
        database.value::<i64>("SELECT count(*) FROM tasks WHERE \"terminate\" AND \"terminated\" IS NOT NULL").await,
        6
    );
    let last = "SELECT bool_and(parent.finished_at >= task.finished_at)
                FROM tasks AS task JOIN tasks AS parent ON parent.task_id = task.parent_task_id
                WHERE task.finished_at IS NOT NULL";
    assert!(database.value::<bool>(last).await);
}

#[tokio::test]
async fn a_tree_whose_end_was_asked_for_takes_no_more_subtasks_and_an_ended_one_neither() {
    let database = database().await;
    let mut names = database.tree(&["root", "a < root"]).await;
    let mut player = Player::enter(&database).await;
    player.claim().await;
    database.run(&format!("UPDATE tasks SET \"terminate\" = true WHERE task_id = '{}'", names["root"])).await;
    for parent in ["root", "a"] {
        let refused = database.add(&mut names, &[&format!("new < {parent}")]).await.unwrap_err();
        assert!(refused.to_string().contains("is being terminated"), "{refused}");
    }
    player.succeed("a root").await;
    let refused = database.add(&mut names, &["new < root"]).await.unwrap_err();
    assert!(refused.to_string().contains("has ended"), "{refused}");
}

#[tokio::test]
async fn a_suspended_task_without_a_worker_ends_when_its_subtasks_have() {
    let database = database().await;
    let mut names = database.tree(&["root"]).await;
    let mut player = Player::enter(&database).await;
    player.claim().await;
    database.add(&mut names, &["a < root", "b < root"]).await.unwrap();
    player.suspend("root", Wait::All, 0).await;
    player.claim().await;
    terminate(&mut database.conn().await, names["root"], None).await.unwrap();
    assert_eq!(database.states().await, "a terminating, b terminating, root terminating");
    player.succeed("a").await;
    assert_eq!(database.states().await, "a terminated failure, b terminating, root terminating");
    player.succeed("b").await;
    assert_eq!(database.states().await, "a terminated failure, b terminated failure, root terminated failure");
}

#[tokio::test]
async fn a_terminated_subtask_counts_as_a_failed_one_for_those_around_it() {
    let database = database().await;
    let names = database.tree(&["root", "a < root", "b < root after a", "c < root"]).await;
    let mut player = Player::enter(&database).await;
    player.claim().await;
    player.succeed("root c").await;
    player.actor.requeue(&[crate::support::actor::back(player.held["a"], true)], &Default::default()).await.unwrap();
    terminate(&mut database.conn().await, names["a"], Some("ann")).await.unwrap();
    assert_eq!(
        database.history().await,
        "a terminated attempt 0 failure terminated by ann\n\
         b terminated attempt 0 failure predecessor_failed by on_subtask_failure\n\
         c complete attempt 1 success\n\
         root complete attempt 1 partial_success"
    );
}

#[tokio::test]
async fn a_tree_of_ten_thousand_ends_in_one_statement_and_its_workers_are_told() {
    let database = database().await;
    database
        .run(
            "INSERT INTO tasks (action, payload) VALUES ('work', '\"root\"');
             INSERT INTO tasks (action, payload, parent_task_id)
             SELECT 'work', to_jsonb('p' || n), (SELECT task_id FROM tasks) FROM generate_series(1, 100) AS n;
             INSERT INTO tasks (action, payload, parent_task_id)
             SELECT 'work', to_jsonb(concat(payload #>> '{}', 'c', n)), task_id
             FROM tasks CROSS JOIN generate_series(1, 99) AS n WHERE parent_task_id IS NOT NULL;",
        )
        .await;
    let mut player = Player::enter(&database).await;
    let running = player.claim().await.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let mut listener = Listener::open(&database.connect).await.unwrap();
    let root: uuid::Uuid = database.value("SELECT task_id FROM tasks WHERE parent_task_id IS NULL").await;
    let began = Instant::now();
    assert!(terminate(&mut database.conn().await, root, Some("ann")).await.unwrap());
    println!("the end of a tree of 10,001 tasks, 1,000 of them running, asked for in {:?}", began.elapsed());
    assert_eq!(listener.next().await.unwrap(), Wake::Terminate);
    let open = "SELECT count(*) FROM tasks WHERE status NOT IN ('terminated', 'terminating')";
    assert_eq!(database.value::<i64>(open).await, 0);
    let began = Instant::now();
    player.succeed(&running.join(" ")).await;
    println!("its 1,000 running tasks ended in {:?}", began.elapsed());
    let story = "SELECT concat_ws(' ', count(*), status, result_status, terminated_by) FROM tasks GROUP BY status, result_status, terminated_by";
    assert_eq!(database.values::<String>(story).await, ["10001 terminated failure ann"]);
}

#[tokio::test]
async fn tasks_of_trees_that_dead_workers_held_end_with_what_follows_from_it() {
    let database = database().await;
    let names =
        database.tree(&["root", "used up < root", "told < root", "again < root", "next < root after told"]).await;
    database.run("UPDATE tasks SET max_attempts = 1 WHERE payload #>> '{}' = 'used up'").await;
    let mut dead = Player::enter(&database).await;
    assert_eq!(dead.claim().await, "again root told used up");
    dead.succeed("root").await;
    terminate(&mut database.conn().await, names["told"], Some("ann")).await.unwrap();
    let mut leader = Player::enter(&database).await;
    database.silence(&dead.actor, 60).await;
    database.age(&leader.actor, 60).await;
    let epoch = leader.actor.lead().await.epoch;
    let rescued = leader.actor.rescue(epoch).await;
    assert_eq!(rescued.len(), 1);
    let leadership = Leadership { identity: leader.actor.worker_id, epoch };
    let witness = leader.actor.worker_id;
    let ended = rescue_trees(leader.actor.session.step().await.unwrap().db(), leadership, witness).await.unwrap();
    assert_eq!(ended.len(), 2);
    assert_eq!(leader.claim().await, "again");
    leader.succeed("again").await;
    assert_eq!(
        database.history().await,
        "again complete attempt 2 success\n\
         next terminated attempt 0 failure predecessor_failed by on_subtask_failure\n\
         root complete attempt 1 partial_success\n\
         told terminated attempt 1 failure terminated by ann\n\
         used up complete attempt 1 failure worker_died"
    );
    assert_eq!(leader.actor.rescue(epoch).await, []);
    assert_eq!(database.value::<i64>("SELECT count(*) FROM workers").await, 1, "the dead worker is buried");
}
