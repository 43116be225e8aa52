//! The roles of `deploy/roles.sql` in a test's database.

use std::sync::atomic::{AtomicU32, Ordering};

use longshore_queue::{Connect, grant_roles};
use sqlx::{AssertSqlSafe, Executor};

use super::{Database, SERVER};

impl Database {
    /// Grants what `deploy/roles.sql` grants.
    pub async fn grant_roles(&self) {
        // roles belong to the whole server: two tests must not make them at once
        static GRANTING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
        let _one = GRANTING.lock().await;
        grant_roles(&self.connect).await.unwrap();
    }

    /// Makes a user with one of those roles (`longshore_producer`, …): the same database, seen by that user.
    pub async fn login(&self, role: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let user = format!("{role}_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        self.run(&format!("CREATE ROLE {user} LOGIN IN ROLE {role}")).await;
        let of_user = |url: &str| url.replacen(&format!("//{}@", SERVER.user()), &format!("//{user}@"), 1);
        let url = of_user(&self.url);
        let connect = Connect::new(&url, self.connect.schema(), false).unwrap();
        Self { connect, tcp_url: of_user(&self.tcp_url), url }
    }

    /// The SQLSTATE and the constraint with which a statement is refused; `00000` when it is not.
    pub async fn refusal(&self, sql: &str) -> (String, String) {
        match self.conn().await.execute(AssertSqlSafe(sql.to_owned())).await {
            Ok(_) => ("00000".to_owned(), String::new()),
            Err(error) => {
                let error = error.into_database_error().expect("the database refuses it");
                (error.code().unwrap_or_default().into_owned(), error.constraint().unwrap_or_default().to_owned())
            }
        }
    }
}
