//! Connection URLs, as sqlx and libpq read them.

use std::path::Path;

/// A URL over a unix socket: the folder travels as the parameter `host`.
pub(crate) fn socket(user: &str, socket_dir: &Path, port: u16, database: &str) -> String {
    let (user, database) = (encode(user), encode(database));
    let host = encode(&socket_dir.to_string_lossy());
    format!("postgres://{user}@localhost:{port}/{database}?host={host}")
}

/// A URL over TCP on this machine.
pub(crate) fn tcp(user: &str, port: u16, database: &str) -> String {
    format!("postgres://{}@127.0.0.1:{port}/{}", encode(user), encode(database))
}

/// Percent-encodes all but RFC 3986's unreserved characters and the slash.
fn encode(text: &str) -> String {
    let encoded = text.bytes().map(|byte| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    });
    encoded.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_spaces_survives_in_a_url() {
        let url = socket("me@home", Path::new("/tmp/a b&c"), 5432, "my db");
        assert_eq!(url, "postgres://me%40home@localhost:5432/my%20db?host=/tmp/a%20b%26c");
    }
}
