//! Which cell a key belongs to: by the library, and by SQL.

use longshore_queue::cell_of;
use sqlx::{AssertSqlSafe, Executor};

use crate::support::empty_database;

const SQL: &str = include_str!("../../../deploy/cell_of.sql");

/// Of any length, with whatever UTF-8 holds but the NUL that Postgres does not.
fn key(random: &mut fastrand::Rng) -> String {
    (0..random.usize(..24)).map(|_| random.char(..)).filter(|letter| *letter != '\0').collect()
}

fn names(count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("cell-{number}")).collect()
}

#[tokio::test]
async fn the_library_and_sql_agree_on_any_key() {
    let mut conn = empty_database().await.conn().await;
    conn.execute(AssertSqlSafe(SQL)).await.unwrap();
    let mut random = fastrand::Rng::with_seed(3);
    for count in [1, 2, 4, 7, 32] {
        let (cells, keys): (_, Vec<String>) = (names(count), (0..1000).map(|_| key(&mut random)).collect());
        let by_sql: Vec<String> = sqlx::query_scalar(
            "SELECT cell_of(key, $2) FROM unnest($1::text[]) WITH ORDINALITY AS one (key, n) ORDER BY n",
        )
        .bind(&keys)
        .bind(&cells)
        .fetch_all(&mut conn)
        .await
        .unwrap();
        let by_library: Vec<&str> = keys.iter().filter_map(|key| cell_of(key, &cells)).collect();
        assert_eq!(by_sql, by_library, "{count} cells");
    }
    let of_none: Option<String> = sqlx::query_scalar("SELECT cell_of('a', '{}')").fetch_one(&mut conn).await.unwrap();
    assert_eq!((of_none, cell_of("a", &[""; 0])), (None, None));
}

#[test]
fn a_key_has_the_cell_that_the_page_says() {
    // computed by the Python line of deploy/cell_of.sql
    let cells = ["us-1", "eu-2", "eu-1"];
    let found = ["customer-1", "customer-2", "customer-3", "customer-4", "ключ", ""].map(|key| cell_of(key, &cells));
    assert_eq!(found.map(Option::unwrap), ["eu-2", "eu-2", "us-1", "us-1", "eu-2", "us-1"]);
}

#[test]
fn a_further_cell_takes_its_part_and_no_key_moves_between_the_others() {
    let mut random = fastrand::Rng::with_seed(5);
    let keys: Vec<String> = (0..20_000).map(|_| key(&mut random) + &random.u64(..).to_string()).collect();
    let (four, five) = (names(4), names(5));
    let mut moved = 0;
    for key in &keys {
        let (before, after) = (cell_of(key, &four).unwrap(), cell_of(key, &five).unwrap());
        if before != after {
            assert_eq!(after, "cell-5");
            moved += 1;
        }
    }
    // a fifth; ten times its standard deviation of 57 to both sides
    assert!((3400..4600).contains(&moved), "{moved} of 20000 moved");
    for cell in &four {
        let part = keys.iter().filter(|key| cell_of(key, &four) == Some(cell)).count();
        assert!((4400..5600).contains(&part), "{cell} has {part} of 20000");
    }
}
