//! Which of several databases a key belongs to, for producers: the same answer everywhere, without asking anybody.

use sha2::{Digest, Sha256};

/// The cell of a key among these names: the one of which the SHA-256 of `name/key` is the highest (rendezvous hashing).
/// `None` where there are no names; their order says nothing. A further cell takes its even part of the keys, and no
/// key moves between the others. `deploy/cell_of.sql` is the same for SQL.
///
/// A `unique_key` holds within one database: hash by it, and so by the same key wherever the same task may come from.
///
/// ```
/// let cells = ["eu-1", "eu-2", "us-1"];
/// assert_eq!(longshore_queue::cell_of("customer-1", &cells), Some("eu-2"));
/// ```
pub fn cell_of<'a>(key: &str, cells: &'a [impl AsRef<str>]) -> Option<&'a str> {
    let hash = |cell: &&str| -> [u8; 32] {
        Sha256::new().chain_update(cell).chain_update("/").chain_update(key).finalize().into()
    };
    cells.iter().map(AsRef::as_ref).max_by_key(hash)
}
