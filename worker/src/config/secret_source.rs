//! A secret in the configuration, or in a file of its own.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::ConfigError;
use crate::secret::Secret;

/// A password, a token or a URL, with the line end that editors leave.
const SECRET_MAX_BYTES: usize = 64 * 1024;

/// Where a secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// In the configuration itself.
    Here(Secret),
    /// In a file that is read when the worker starts.
    File(PathBuf),
}

impl SecretSource {
    /// The secret; the line end that a file has last is not part of it. `key` stands for it in errors.
    ///
    /// # Errors
    /// A file that cannot be read, is empty, too long or no text.
    pub(crate) fn read(&self, key: &str) -> Result<Secret, ConfigError> {
        let path = match self {
            Self::Here(secret) => return Ok(secret.clone()),
            Self::File(path) => path,
        };
        let text = String::from_utf8(bytes_of(key, path, SECRET_MAX_BYTES)?)
            .map_err(|_| ConfigError::new(key, format!("{} must hold UTF-8 text", path.display())))?;
        match text.trim_end_matches(['\r', '\n']) {
            "" => Err(ConfigError::new(key, format!("{} is empty", path.display()))),
            text => Ok(Secret::new(text)),
        }
    }
}

/// A file that a key names, up to so many bytes.
///
/// # Errors
/// It cannot be read, or is longer.
pub(crate) fn bytes_of(key: &str, path: &Path, max_bytes: usize) -> Result<Vec<u8>, ConfigError> {
    let mut bytes = Vec::new();
    // one byte more than is allowed, so that the bound itself refuses what was cut off
    let read = File::open(path).and_then(|file| file.take(max_bytes as u64 + 1).read_to_end(&mut bytes));
    match read {
        Err(error) => Err(ConfigError::new(key, format!("{} cannot be read: {error}", path.display()))),
        Ok(length) if length > max_bytes => {
            Err(ConfigError::new(key, format!("{} must be at most {max_bytes} bytes, got more", path.display())))
        }
        Ok(_) => Ok(bytes),
    }
}
