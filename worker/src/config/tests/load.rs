//! Where the file and the database's URL come from.

use super::*;

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/longshore.example.toml");
pub(super) const URL: &str = "postgres://u:hunter2@h/db";

/// These environment variables and no others.
pub(super) fn environment(variables: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect()
}

/// Loads with these environment variables only.
pub(super) fn load(path: Option<&str>, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::load_with(path.map(Path::new), environment(variables))
}

#[test]
fn the_path_wins_over_the_variable_and_the_variable_over_the_working_directory() {
    let elsewhere = ("LONGSHORE_CONFIG", "/nowhere/longshore.toml");
    assert_eq!(load(Some(EXAMPLE), &[elsewhere]).expect("the path is taken").source, EXAMPLE);
    assert_eq!(load(None, &[("LONGSHORE_CONFIG", EXAMPLE)]).expect("the variable is taken").source, EXAMPLE);
    let variable = load(None, &[elsewhere]).expect_err("the variable is taken");
    assert!(variable.to_string().starts_with("/nowhere/longshore.toml: there is no such file: "));
    let neither = load(None, &[("LONGSHORE_CONFIG", "")]).expect_err("no file in the folder of the crate");
    assert_eq!(
        neither.to_string(),
        "longshore.toml: there is no such file: name the file with --config FILE, or with LONGSHORE_CONFIG=FILE, or \
         write ./longshore.toml"
    );
}

#[test]
fn database_url_of_the_environment_wins() {
    let config = load(Some(EXAMPLE), &[("DATABASE_URL", URL)]).expect("a configuration");
    assert_eq!(config.databases().expect("a URL")[0].1.expose(), URL);
    let file = temporary("wins", format!("database_url = 'postgres://file/db'{NOOP}").as_bytes());
    let url = |variables: &[(&str, &str)]| {
        load(Some(&file), variables).expect("a configuration").databases().expect("a URL")[0].1.expose().to_owned()
    };
    assert_eq!(url(&[("DATABASE_URL", URL)]), URL);
    assert_eq!(url(&[("DATABASE_URL", "")]), "postgres://file/db");
    std::fs::remove_file(file).expect("the file is ours");
}

#[test]
fn a_wrong_database_url_is_named_and_not_shown() {
    let error = load(Some(EXAMPLE), &[("DATABASE_URL", "u:hunter2@h")]).expect_err("no Postgres URL");
    assert!(error.to_string().starts_with("DATABASE_URL: must be a URL such as postgres://user:password@host"));
    assert!(!error.to_string().contains("hunter2"));
    let config = load(Some(EXAMPLE), &[]).expect("a configuration");
    let error = config.databases().expect_err("no database");
    let remedy = "no database is named: set DATABASE_URL=postgres://…, or database_url in this file";
    assert_eq!(error.to_string(), format!("{EXAMPLE}: {remedy}"));
}

#[test]
fn what_is_no_text_file_is_refused() {
    let folder = load(Some(env!("CARGO_MANIFEST_DIR")), &[]).expect_err("a folder");
    assert!(folder.to_string().contains(": cannot be read ("), "{folder}");
    let endless = load(Some("/dev/zero"), &[]).expect_err("endless");
    assert_eq!(endless.to_string(), "/dev/zero: must be at most 1048576 bytes, got more");
    let latin = temporary("latin", b"schema = '\xe9'");
    let error = load(Some(&latin), &[]).expect_err("not UTF-8");
    assert!(error.to_string().ends_with(": must be UTF-8 text, got something else at byte 10"), "{error}");
    std::fs::remove_file(latin).expect("the file is ours");
}

/// A file of this process with these bytes.
pub(super) fn temporary(name: &str, bytes: &[u8]) -> String {
    let path = std::env::temp_dir().join(format!("longshore-config-{name}-{}.toml", std::process::id()));
    std::fs::write(&path, bytes).expect("the temporary folder takes files");
    path.display().to_string()
}
