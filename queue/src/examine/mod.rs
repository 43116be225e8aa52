//! Looks at an installation for what may be wrong with it: facts, without a judgement. Nothing here locks or writes.
//!
//! | facts | file |
//! |---|---|
//! | the server and its settings, the clock | `server` |
//! | the schema as it is, against [`expected`] | `schema` |
//! | who may do what | `rights` |
//! | workers, claims, the lead, what waits | `fleet` |
//! | dead rows and what keeps them, partitions | `space` |

mod fleet;
mod rights;
mod schema;
mod server;
mod space;

pub use fleet::{
    Lead, OrphanedClaims, OverdueTasks, SilentWorker, examine_claims, examine_lead, examine_waiting, examine_workers,
};
pub use rights::{Right, examine_rights};
pub use schema::{
    Broken, Drift, Object, Recorded, drift, examine_indexes, examine_migrations, examine_objects, examine_triggers,
    expected, expected_text, fillfactor, tables,
};
pub use server::{Server, Setting, examine_server, examine_settings};
pub use space::{
    Age, Holder, HolderKind, Partition, Slot, TableUpkeep, examine_ages, examine_holders, examine_partitions,
    examine_slots, examine_tables,
};
