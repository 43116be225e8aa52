use crate::{Folder, stderr, stdout};

#[test]
fn a_configuration_is_checked_with_what_it_names_and_printed_without_its_secrets() {
    let folder = Folder::new("config");
    let good = "[actions.a]\nexecutor = \"command\"\nargv = [\"cat\"]\nenv = { TOKEN = \"hunter2\" }\n";
    folder.write("longshore.toml", good);
    let checked = folder.longshore(&["config", "check"]).output().expect("output");
    assert_eq!((checked.status.code(), stdout(&checked).as_str()), (Some(0), "longshore.toml: can be used\n"));
    assert!(stderr(&checked).contains("names no database, and neither does the environment"), "{}", stderr(&checked));
    let printed = folder.longshore(&["config", "check", "--print"]).output().expect("output");
    let text = stdout(&printed);
    assert!(text.contains("TOKEN = \"(not shown)\"") && text.contains("lease = \"15s\""), "{text}");
    assert!(!text.contains("hunter2"), "{text}");

    let bad = "[actions.a]\nexecutor = \"command\"\nargv = [\"no-such-program\"]\n";
    folder.write("bad.toml", bad);
    let expected =
        "bad.toml: actions.a.argv must begin with a program that can be run: there is no \"no-such-program\"";
    for arguments in [&["config", "check", "bad.toml"][..], &["worker", "--config", "bad.toml"]] {
        let output =
            folder.longshore(arguments).env("DATABASE_URL", "postgres://localhost/none").output().expect("output");
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(expected), "{arguments:?}: {}", stderr(&output));
    }
    folder.write("worse.toml", "[worker]\nleese = \"15s\"\n[actions.a]\nexecutor = \"nope\"\n");
    let worse = folder.longshore(&["config", "check", "worse.toml"]).output().expect("output");
    assert_eq!(worse.status.code(), Some(64));
    assert!(stderr(&worse).contains("leese") && stderr(&worse).contains("actions.a.executor"), "{}", stderr(&worse));
}

#[test]
fn completions_are_printed_for_each_shell_and_know_the_commands() {
    let folder = Folder::new("complete");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = folder.longshore(&["completions", shell]).output().expect("output");
        assert_eq!(output.status.code(), Some(0), "{shell}: {}", stderr(&output));
        assert!(stdout(&output).contains("queues"), "{shell}");
    }
    assert_eq!(folder.longshore(&["completions", "csh"]).output().expect("output").status.code(), Some(2));
}
