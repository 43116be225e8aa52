use std::fs::File;
use std::process::{Child, Stdio};

use crate::{Folder, pg_bin, read, signal, stderr, stdout, wait_for};

#[test]
fn a_demo_ends_well_and_leaves_nothing() {
    let folder = Folder::new("demo");
    let output = folder.longshore(&["demo", "--tasks", "300"]).args(pg_bin()).output().expect("output");
    let printed = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{printed}{}", stderr(&output));
    for told in ["p50 ", "throughput: ", "ok      worker_killed: 1 complete/success", "every task ended as it should"] {
        assert!(printed.contains(told), "no {told:?} in {printed}");
    }
    assert!(!printed.contains("FAILED"), "{printed}");
    folder.assert_nothing_runs();
    assert_eq!(std::fs::read_dir(&folder.0).expect("the folder").count(), 0, "files are left");
}

/// A demo that has just killed one of its workers.
fn start(folder: &Folder) -> Child {
    let log = folder.0.join("log");
    let mut command = folder.longshore(&["demo", "--tasks", "100"]);
    command.args(pg_bin()).stdout(File::create(&log).expect("a log")).stderr(Stdio::null());
    let demo = command.spawn().expect("a demo");
    wait_for("a worker is killed", || read(&log).contains("killed worker").then_some(()));
    let processes = folder.processes();
    assert!(processes.iter().filter(|line| line.contains("longshore worker")).count() >= 2, "{processes:?}");
    demo
}

#[test]
fn a_demo_that_is_interrupted_fails_and_leaves_nothing() {
    let folder = Folder::new("int");
    let mut demo = start(&folder);
    signal("-INT", demo.id());
    assert_eq!(demo.wait().expect("its end").code(), Some(1));
    folder.assert_nothing_runs();
}

#[cfg(target_os = "linux")]
#[test]
fn a_demo_that_is_killed_leaves_nothing() {
    let folder = Folder::new("kill");
    let mut demo = start(&folder);
    signal("-KILL", demo.id());
    demo.wait().expect("its end");
    wait_for("no process is left", || folder.processes().is_empty().then_some(()));
}
