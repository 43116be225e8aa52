//! One database or several, in the file, in the environment, in files of their own.

use super::load::{URL, environment, load, temporary};
use super::*;

const TWO: &str = "[cells.eu-1]\ndatabase_url = 'postgres://one/db'\n[cells.us]\ndatabase_url = 'postgres://two/db'\n";

/// Names and URLs.
fn databases(config: &Config) -> Vec<(String, String)> {
    let databases = config.databases().expect("databases");
    databases.into_iter().map(|(name, url)| (name, url.expose().to_owned())).collect()
}

fn pair(name: &str, url: &str) -> (String, String) {
    (name.to_owned(), url.to_owned())
}

#[test]
fn one_url_is_the_cell_default_and_several_have_their_names() {
    let one = right(&format!("database_url = 'postgres://one/db'{NOOP}"));
    assert_eq!(databases(&one), [pair("default", "postgres://one/db")]);
    let two = right(&format!("{TWO}{NOOP}"));
    assert_eq!(databases(&two), [pair("eu-1", "postgres://one/db"), pair("us", "postgres://two/db")]);
}

#[test]
fn a_cell_is_named_by_1_to_32_of_few_characters() {
    let url = "database_url = 'postgres://h/db'";
    for name in ["a", "0", "a-b-0", &"a".repeat(32)] {
        assert_eq!(databases(&right(&format!("[cells.{name}]\n{url}\n{NOOP}")))[0].0, name);
    }
    for name in ["\"\"", "A", "a_b", "-a", "a-", "\"a.b\"", "é", &"a".repeat(33)] {
        let problem = Config::parse(&format!("[cells.{name}]\n{url}\n{NOOP}"), "f").expect_err(name).to_string();
        assert!(problem.contains("must have a name of 1 to 32 of a-z 0-9 -") || name == "é", "{name}: {problem}");
    }
}

#[test]
fn a_cell_without_a_database_or_with_two_is_refused_with_the_remedy() {
    let cases = [
        (
            "",
            ":1: cells.eu-1 must have database_url or database_url_file; or leave the section out and set LONGSHORE_CELL_EU_1",
        ),
        (
            "database_url = 'postgres://h/db'\ndatabase_url_file = '/f'",
            ":3: cells.eu-1.database_url_file must not stand beside database_url: remove one",
        ),
        ("database_url_file = 'f'", ":2: cells.eu-1.database_url_file must be an absolute path without .., got \"f\""),
        (
            "schema = 'x'",
            ":2: cells.eu-1.schema is unknown: schema belongs to the top of the file, before the first section",
        ),
    ];
    for (lines, expected) in cases {
        assert!(wrong(&format!("[cells.eu-1]\n{lines}\n{NOOP}")).contains(expected), "{expected}");
    }
    let both = wrong(&format!("database_url = 'postgres://h/db'\n{TWO}{NOOP}"));
    assert_eq!(both, ":1: database_url must not stand beside [cells.NAME]: make it one of them, or remove them");
}

#[test]
fn cells_of_the_environment_win_by_their_names_and_need_no_section() {
    let file = temporary("cells", format!("{TWO}{NOOP}").as_bytes());
    let variables =
        [("LONGSHORE_CELL_EU_1", URL), ("LONGSHORE_CELL_AP_SOUTH_2", "postgres://three/db"), ("LONGSHORE_CELL_US", "")];
    let config = load(Some(&file), &variables).expect("a configuration");
    let expected = [pair("ap-south-2", "postgres://three/db"), pair("eu-1", URL), pair("us", "postgres://two/db")];
    assert_eq!(databases(&config), expected);
    std::fs::remove_file(file).expect("the file is ours");
    let of_environment = Cells::of(environment(&variables)).expect("cells");
    assert_eq!(of_environment.names().collect::<Vec<_>>(), ["ap-south-2", "eu-1"]);
}

#[test]
fn one_database_and_cells_exclude_each_other() {
    let cells = temporary("cells-or", format!("{TWO}{NOOP}").as_bytes());
    let one = temporary("one-or", format!("database_url = 'postgres://one/db'{NOOP}").as_bytes());
    let none = temporary("none-or", NOOP.as_bytes());
    let cell = ("LONGSHORE_CELL_EU", "postgres://eu/db");
    let because = "one database has a URL, several are cells with one each; remove one";
    for (file, variables, expected) in [
        (
            &cells,
            vec![("DATABASE_URL", URL)],
            format!("DATABASE_URL: must not stand beside the cells of {cells}: {because}"),
        ),
        (&one, vec![cell], format!("LONGSHORE_CELL_EU: must not stand beside database_url of {one}: {because}")),
        (
            &none,
            vec![cell, ("DATABASE_URL", URL)],
            format!("DATABASE_URL: must not stand beside LONGSHORE_CELL_EU: {because}"),
        ),
    ] {
        assert_eq!(load(Some(file), &variables).expect_err("both").to_string(), expected);
    }
    for file in [cells, one, none] {
        std::fs::remove_file(file).expect("the file is ours");
    }
}

#[test]
fn a_wrong_variable_of_a_cell_is_named_and_not_shown() {
    let refused = |name, value| Cells::of(environment(&[(name, value)])).expect_err(name).to_string();
    let error = refused("LONGSHORE_CELL_EU", "tcp://u:hunter2@h");
    assert!(error.starts_with("LONGSHORE_CELL_EU: must be a URL such as postgres://") && !error.contains("hunter2"));
    for name in ["LONGSHORE_CELL_", "LONGSHORE_CELL_eu", "LONGSHORE_CELL_A-B", "LONGSHORE_CELL__A"] {
        assert!(refused(name, URL).contains("must end in a cell's name (1 to 32 of a-z 0-9 -"), "{name}");
    }
}

#[test]
fn a_url_in_a_file_is_read_at_the_start() {
    let file = temporary("cell-url", format!("{URL}\n").as_bytes());
    let config = |path: &str| right(&format!("[cells.eu]\ndatabase_url_file = '{path}'\n{NOOP}"));
    assert_eq!(databases(&config(&file)), [pair("eu", URL)]);
    std::fs::write(&file, "hunter2").expect("the file is ours");
    let error = config(&file).databases().expect_err("no URL").to_string();
    assert!(error.starts_with(&format!("cells.eu.database_url_file: {file} must hold a URL such as ")), "{error}");
    assert!(!error.contains("hunter2"));
    std::fs::remove_file(&file).expect("the file is ours");
    let error = config(&file).databases().expect_err("no file").to_string();
    assert!(error.starts_with(&format!("cells.eu.database_url_file: {file} cannot be read: ")), "{error}");
}

#[test]
fn one_database_is_one_cell_and_there_is_a_bound_on_cells() {
    let twice = right(&format!("{}{NOOP}", TWO.replace("two", "one")));
    assert_eq!(twice.databases().expect_err("twice").to_string(), "f: cells eu-1 and us are one database: remove one");
    let many: String = (0..33).map(|cell| format!("[cells.c{cell}]\ndatabase_url = 'postgres://h/{cell}'\n")).collect();
    let error = right(&format!("{many}{NOOP}")).databases().expect_err("too many");
    assert_eq!(error.to_string(), "f: must have at most 32 cells, got 33");
}
