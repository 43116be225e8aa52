//! What the section `[design]` may say, and what is said about a wrong one.

use super::*;

fn design(text: &str) -> Design {
    right(&format!("{text}{NOOP}")).design
}

/// What is wrong with a section of credentials.
fn credential(lines: &str) -> String {
    wrong_in("design.credentials.c", lines)
}

fn keystone(lines: &str) -> String {
    wrong_in("design.keystone", lines)
}

#[test]
fn without_a_section_nothing_private_and_no_file_is_read() {
    let design = design("");
    assert_eq!(design, Design::default());
    assert!(design.file_root.is_none() && design.allow.is_empty() && design.credentials.is_empty());
    assert!(design.keystone.is_none() && design.ca_file.is_none());
    assert_eq!((design.redirects, design.max_bytes), (0, 64 * 1024 * 1024));
    assert_eq!((design.connect_timeout, design.timeout), (Duration::from_secs(10), Duration::from_secs(30)));
    assert_eq!((design.cache_bytes, design.cache_entries), (128 * 1024 * 1024, 256));
    assert_eq!(design.cache_ttl, Duration::from_secs(60));
    assert!(design.content_types.contains(&"application/x-yaml".to_owned()));
}

#[test]
fn an_action_says_in_which_form_it_wants_a_design() {
    let action = |lines: &str| format!("[actions.a]\nexecutor = 'noop'\n{lines}");
    let wants = |lines: &str| right(&action(lines)).actions["a"].design;
    assert_eq!(wants(""), None);
    let bytes = ActionDesign { form: DesignForm::Bytes, applies_filter: false, timeout: Duration::from_secs(60) };
    assert_eq!(wants("design = { as = 'bytes' }"), Some(bytes));
    let quick = ActionDesign { timeout: Duration::from_millis(10), ..bytes };
    assert_eq!(wants("design = { as = 'bytes', timeout = '10ms' }"), Some(quick));
    let documents = ActionDesign { form: DesignForm::Documents, ..bytes };
    assert_eq!(wants("design = { as = 'documents', node_filter = 'none' }"), Some(documents));
    let model = ActionDesign { form: DesignForm::Model, applies_filter: true, ..bytes };
    assert_eq!(wants("design = { as = 'model', node_filter = 'task' }"), Some(model));
    for (lines, expected) in [
        ("design = {}", ":3: actions.a.design.as is missing: write as = \"bytes\""),
        (
            "design = { as = 'modell' }",
            ":3: actions.a.design.as must be \"bytes\", \"documents\" or \"model\", got \"modell\"",
        ),
        (
            "design = { as = 'model', node_filter = 'all' }",
            ":3: actions.a.design.node_filter must be \"none\" or \"task\", got \"all\"",
        ),
        (
            "design = { as = 'bytes', node_filter = 'task' }",
            ":3: actions.a.design.node_filter must be \"none\" for as = \"bytes\", whose nodes are not known: write as = \"documents\" or \"model\"",
        ),
        ("design = 'bytes'", ":3: actions.a.design must be a section [actions.a.design], got a string"),
        ("design = { as = 'bytes', timeout = '9ms' }", ":3: actions.a.design.timeout must be at least 10ms, got 9ms"),
        (
            "design = { as = 'bytes', form = 1 }",
            ":3: actions.a.design.form is unknown: known here are as, node_filter, timeout",
        ),
    ] {
        let problems = wrong(&action(lines));
        assert!(problems.lines().any(|line| line == expected), "{problems}");
    }
}

#[test]
fn what_checks_designs_reads_them_itself() {
    let action = |form: &str| format!("[actions.a]\nexecutor = 'validate_design'\ndesign = {{ as = '{form}' }}");
    assert_eq!(right(&action("bytes")).actions["a"].design.map(|design| design.form), Some(DesignForm::Bytes));
    let expected = ":3: actions.a.design must have as = \"bytes\" for executor = \"validate_design\", which reads the documents itself";
    assert_eq!(wrong(&action("model")), expected);
}

#[test]
fn networks_origins_and_paths_are_read_or_refused() {
    let cases = [
        (
            "allow = ['10.1.0.0/8']",
            "allow must hold networks such as 10.0.0.0/8 or origins such as http://deckhand:9000, got \"10.1.0.0/8\": it begins elsewhere: write 10.0.0.0/8",
        ),
        (
            "allow = ['http://h/path']",
            "allow must hold networks such as 10.0.0.0/8 or origins such as http://deckhand:9000, got \"http://h/path\": an origin is http:// or https://, a host and perhaps a port, nothing else",
        ),
        ("allow = []", "allow must hold 1 to 256 strings, got 0: leave it out for none"),
        ("file_root = 'designs'", "file_root must be an absolute path without .., got \"designs\""),
        ("file_root = '/srv/../etc'", "file_root must be an absolute path without .., got \"/srv/../etc\""),
        ("ca_file = 'ca.pem'", "ca_file must be an absolute path without .., got \"ca.pem\""),
        ("max_bytes = 0", "max_bytes must be at least 1, got 0"),
        ("max_bytes = 1073741825", "max_bytes must be at most 1073741824, got 1073741825"),
        ("connect_timeout = '9ms'", "connect_timeout must be at least 10ms, got 9ms"),
        ("timeout = '2h'", "timeout must be at most 1h, got 2h"),
        ("redirects = 21", "redirects must be at most 20, got 21"),
        ("cache_bytes = 68719476737", "cache_bytes must be at most 68719476736, got 68719476737"),
        ("cache_entries = 0", "cache_entries must be at least 1, got 0"),
        ("cache_ttl = '2d'", "cache_ttl must be at most 1d, got 2d"),
        ("alow = []", "alow is unknown: did you mean allow?"),
    ];
    for (line, expected) in cases {
        assert_eq!(wrong_in("design", line), format!(":2: design.{expected}"));
    }
    let read = design("[design]\nallow = ['10.0.0.0/8', 'http://Deckhand:80']\ncontent_types = ['Text/YAML']");
    let shown: Vec<String> = read.allow.iter().map(|one| format!("{one:?}")).collect();
    assert!(shown[0].contains("10.0.0.0") && shown[1].contains("deckhand"), "{shown:?}");
    assert_eq!(read.content_types, ["text/yaml"]);
}

#[test]
fn a_credential_is_a_user_or_a_token_for_one_origin() {
    let origin = "origin = 'https://h'";
    for (lines, expected) in [
        (
            "username = 'u'\npassword = 'p'",
            ":1: design.credentials.c.origin is missing: write origin = \"https://host:port\"",
        ),
        (
            &format!("{origin}\nusername = 'u'\ntoken = 't'"),
            ":3: design.credentials.c.username belongs to a user, this credential has a token: remove one",
        ),
        (
            origin,
            ":1: design.credentials.c must have username and password, or a token (each of the two secrets may be in a file)",
        ),
        (
            &format!("{origin}\npassword = 'p'"),
            ":1: design.credentials.c.username is missing: write username = \"longshore\"",
        ),
        (&format!("{origin}\nusername = 'u'"), ":1: design.credentials.c must have password or password_file"),
        (
            &format!("{origin}\nusername = 'u:v'\npassword = 'p'"),
            ":3: design.credentials.c.username must hold no colon, which ends it in a header",
        ),
        (
            &format!("{origin}\ntoken = 't'\ntoken_file = '/t'"),
            ":4: design.credentials.c.token_file must not stand beside token: remove one",
        ),
        (
            "origin = 'https://h/path'\ntoken = 't'",
            ":2: design.credentials.c.origin must be an origin such as https://host:port: an origin is http:// or https://, a host and perhaps a port, nothing else",
        ),
    ] {
        assert_eq!(credential(lines), expected);
    }
    let twice = "[design.credentials.a]\norigin = 'https://h'\ntoken = 't'\n[design.credentials.b]\norigin = 'https://H:443/'\ntoken = 'u'";
    let problem = wrong(&format!("{twice}{NOOP}"));
    assert_eq!(problem, ":5: design.credentials.b.origin must have one credential, and a is it");
}

#[test]
fn keystone_says_who_asks_and_where_a_token_may_go() {
    let all = "auth_url = 'http://k'\norigins = ['http://d']\nusername = 'u'\npassword = 'p'\nproject_id = 'j'";
    let read = design(&format!("[design.keystone]\n{all}")).keystone.expect("a section");
    assert_eq!(read.user_domain_name, "Default");
    assert_eq!(read.password, SecretSource::Here(Secret::new("p")));
    assert_eq!(
        keystone("username = 'u'"),
        [
            ":1: design.keystone must have password or password_file",
            ":1: design.keystone.auth_url is missing: write auth_url = \"https://keystone:5000/v3\"",
            ":1: design.keystone.origins is missing: write origins = [\"http://deckhand:9000\"]",
            ":1: design.keystone.project_id is missing: write project_id = \"…\"",
        ]
        .join("\n")
    );
    let file = all.replace("password = 'p'", "password_file = '/run/secrets/k'");
    let read = design(&format!("[design.keystone]\n{file}")).keystone.expect("a section");
    assert_eq!(read.password, SecretSource::File("/run/secrets/k".into()));
}

#[test]
fn no_secret_of_a_design_reaches_an_error_or_debug() {
    for lines in [
        "design.keystone = { password = ['hunter2'] }",
        "design.keystone = { password = \"hunter2\\n\" }",
        "design.keystone = { auth_url = 'http://u:hunter2@k' }",
        "design.keystone = { origins = ['http://u:hunter2@k'] }",
        "design.allow = ['http://u:hunter2@k']",
        "design.credentials.c = { origin = 'http://u:hunter2@h', token = 't' }",
        "design.credentials.c = { origin = 'http://h', token = \"hunter2\\u0000\" }",
        "design.credentials.c = { origin = 'http://h', token = \"hunter2\\n\" }",
        "design.credentials.c = { origin = 'http://h', password = 'hunter2' }",
        "design.credentials.c = { origin = 'http://h', token = 'hunter2', token_file = '/t' }",
    ] {
        let error = Config::parse(&format!("{lines}{NOOP}"), "f").expect_err(lines);
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    }
    let taken = design(
        "[design.credentials.c]\norigin = 'http://h'\ntoken = 'hunter2'\n[design.credentials.d]\norigin = 'http://i'\n\
         username = 'u'\npassword = 'hunter2'\n[design.keystone]\nauth_url = 'http://k'\norigins = ['http://d']\n\
         username = 'u'\npassword = 'hunter2'\nproject_id = 'j'",
    );
    assert!(!format!("{taken:?} {taken:#?}").contains("hunter2"));
    assert_eq!(taken.credentials.len(), 2);
}

#[test]
fn validate_design_has_a_design_without_saying_so_and_may_say_how_long_it_takes() {
    let of = |more: &str| right(&format!("[actions.v]\nexecutor = 'validate_design'\n{more}")).actions["v"].clone();
    let timeout = |action: crate::config::Action| action.design.expect("a design").timeout;
    assert_eq!(of("").executor, crate::config::ActionExecutor::ValidateDesign);
    assert_eq!(timeout(of("")), Duration::from_secs(60));
    assert_eq!(timeout(of("[actions.v.design]\nas = 'bytes'\ntimeout = '5s'\n")), Duration::from_secs(5));
}
