//! What a configuration names outside of itself: programs, folders, files. A worker looks at its start, so that a slip
//! of the pen does not cost tasks their attempts.

use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::{ActionExecutor, CommandSettings, Config, ConfigError, CredentialKind, SecretSource};
use crate::design::Resolver;

impl Config {
    /// Looks whether the programs of all commands are there, and what `[design]` names, wanted by an action or not.
    ///
    /// # Errors
    /// All that is missing, by its key.
    pub fn check_environment(&self) -> Result<(), ConfigError> {
        let mut missing = self.missing_programs();
        if !self.cells.is_empty()
            && let Err(error) = self.databases()
        {
            missing.extend(error.problems().iter().cloned());
        }
        let files = self.missing_files();
        if files.is_empty()
            && let Err(error) = Resolver::new(&self.design)
        {
            missing.extend(error.problems().iter().map(|problem| format!("{}: {problem}", self.source)));
        }
        missing.extend(files);
        ConfigError::unless_empty(missing)
    }

    /// The same, for a worker: only what its actions want.
    pub(crate) fn check_start(&self) -> Result<(), ConfigError> {
        let mut missing = self.missing_programs();
        if self.actions.values().any(|action| action.design.is_some()) {
            missing.extend(self.missing_files());
        }
        ConfigError::unless_empty(missing)
    }

    fn missing_programs(&self) -> Vec<String> {
        let missing = self.actions.iter().filter_map(|(name, action)| match &action.executor {
            ActionExecutor::Command(settings) => {
                let what = missing_program(settings)?;
                Some(format!("{}: actions.{name}.argv must begin with a program that can be run: {what}", self.source))
            }
            _ => None,
        });
        missing.collect()
    }

    fn missing_files(&self) -> Vec<String> {
        let mut files: Vec<(String, &Path)> = Vec::new();
        if let Some(file) = &self.design.ca_file {
            files.push(("design.ca_file".to_owned(), file));
        }
        if let Some(file) = self.otlp.as_ref().and_then(|otlp| otlp.headers_file.as_ref()) {
            files.push(("otlp.headers_file".to_owned(), file));
        }
        if let Some(SecretSource::File(file)) = self.design.keystone.as_ref().map(|keystone| &keystone.password) {
            files.push(("design.keystone.password_file".to_owned(), file));
        }
        for (name, credential) in &self.design.credentials {
            let (key, secret) = match &credential.kind {
                CredentialKind::Basic { password, .. } => ("password_file", password),
                CredentialKind::Bearer { token } => ("token_file", token),
            };
            if let SecretSource::File(file) = secret {
                files.push((format!("design.credentials.{name}.{key}"), file));
            }
        }
        let mut missing: Vec<String> = files
            .into_iter()
            .filter_map(|(key, file)| {
                let error = File::open(file).err()?;
                Some(format!("{}: {key}: {} cannot be read: {error}", self.source, file.display()))
            })
            .collect();
        if let Some(root) = self.design.file_root.as_ref().filter(|root| !root.is_dir()) {
            missing.push(format!("{}: design.file_root: {} is no folder", self.source, root.display()));
        }
        missing
    }
}

/// Why the program of a command cannot be run; `None`: it can.
fn missing_program(settings: &CommandSettings) -> Option<String> {
    let program = settings.argv.first()?;
    if program.contains('/') {
        let path = Path::new(program);
        return match is_program(path) {
            true => None,
            false if path.exists() => Some(format!("{program:?} is no file that this user may execute")),
            false => Some(format!("there is no {program:?}")),
        };
    }
    let path = match settings.env.get("PATH") {
        Some(path) => OsString::from(path.expose()),
        None => env::var_os("PATH").unwrap_or_default(),
    };
    let found = env::split_paths(&path).map(|folder| folder.join(program)).any(|path: PathBuf| is_program(&path));
    (!found).then(|| format!("there is no {program:?} in PATH ({})", path.to_string_lossy()))
}

fn is_program(path: &Path) -> bool {
    path.is_file() && access(path, Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_folder_or_file_is_named_by_its_key_and_all_of_them_at_once() {
        let config = Config::parse(
            "[actions.a]
             executor = 'command'
             argv = ['sh', '-c', 'true']
             [actions.b]
             executor = 'command'
             argv = ['sh']
             env = { PATH = '/nowhere' }
             [actions.c]
             executor = 'command'
             argv = ['/etc/passwd']
             [actions.d]
             executor = 'command'
             argv = ['./none']
             [design]
             file_root = '/nowhere/designs'
             ca_file = '/nowhere/ca.pem'
             [design.credentials.site]
             origin = 'https://site.example'
             token_file = '/nowhere/token'",
            "file",
        )
        .expect("a configuration");
        let told = config.check_environment().expect_err("much is missing").to_string();
        assert_eq!(
            told,
            "file: actions.b.argv must begin with a program that can be run: there is no \"sh\" in PATH (/nowhere)\n\
             file: actions.c.argv must begin with a program that can be run: \"/etc/passwd\" is no file that this user may \
             execute\n\
             file: actions.d.argv must begin with a program that can be run: there is no \"./none\"\n\
             file: design.ca_file: /nowhere/ca.pem cannot be read: No such file or directory (os error 2)\n\
             file: design.credentials.site.token_file: /nowhere/token cannot be read: No such file or directory (os error 2)\n\
             file: design.file_root: /nowhere/designs is no folder"
        );
        let start = config.check_start().expect_err("programs are missing").to_string();
        assert!(start.contains("actions.b.argv") && !start.contains("design."), "no action wants a design: {start}");
    }
}
