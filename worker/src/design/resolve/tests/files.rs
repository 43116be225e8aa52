//! Files: what lies below the root, and every way out of it.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::*;

/// A folder with a root in it and a secret beside; it goes with this value.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("longshore-files-{}-{number}", std::process::id()));
        let root = folder.join("root");
        fs::create_dir_all(root.join("deep/er")).unwrap();
        fs::write(folder.join("secret"), "hunter2").unwrap();
        fs::write(root.join("site.yaml"), "a: 1\n").unwrap();
        fs::write(root.join("deep/er/a%2e%2eb"), "b: 2\n").unwrap();
        symlink("../secret", root.join("link")).unwrap();
        symlink("site.yaml", root.join("inside")).unwrap();
        symlink("..", root.join("up")).unwrap();
        symlink("/", root.join("deep/slash")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        symlink("/proc/self/root", root.join("magic")).unwrap();
        Self(folder)
    }

    fn root(&self) -> PathBuf {
        self.0.join("root")
    }

    fn resolver(&self, more: &str) -> Resolver {
        resolver(&format!("file_root = '{}'\n{more}", self.root().display()))
    }

    /// What comes of a path below the root.
    async fn told(&self, path: &str) -> String {
        told(&self.resolver("max_bytes = 1000"), &format!("file://{}/{path}", self.root().display())).await
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

#[tokio::test]
async fn a_file_below_the_root_is_read_and_nothing_else() {
    let folder = Folder::new();
    assert_eq!(folder.told("site.yaml").await, "a: 1\n");
    assert_eq!(folder.told("site.yaml/").await, "a: 1\n", "a slash behind it says nothing");
    assert_eq!(folder.told("deep/er/a%2e%2eb?query#fragment").await, "b: 2\n");
    assert_eq!(folder.told(".//deep/./er//a%2e%2eb").await, "b: 2\n");
    let root = folder.root();
    mknodat(CWD, root.join("pipe"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    let socket = UnixListener::bind(root.join("socket")).unwrap();
    fs::write(root.join("large"), "x".repeat(1001)).unwrap();
    fs::write(root.join("exact"), "x".repeat(1000)).unwrap();
    assert_eq!(folder.told("exact").await.len(), 1000);
    for (path, problem) in [
        ("nothing", "there is no such file"),
        ("site.yaml/nothing", "there is no such file"),
        ("", "not a regular file"),
        ("deep", "not a regular file"),
        ("pipe", "not a regular file"),
        ("socket", "not a regular file"),
        ("link", "the path holds a symbolic link, which is not followed"),
        ("inside", "the path holds a symbolic link, which is not followed"),
        ("loop", "the path holds a symbolic link, which is not followed"),
        ("up/secret", "the path holds a symbolic link, which is not followed"),
        ("up/root/site.yaml", "the path holds a symbolic link, which is not followed"),
        ("deep/slash/etc/passwd", "the path holds a symbolic link, which is not followed"),
        ("magic/etc/passwd", "the path holds a symbolic link, which is not followed"),
        ("../secret", "the file is not below [design] file_root"),
        ("deep/../site.yaml", "the file is not below [design] file_root"),
        ("large", "is larger than [design] max_bytes, 1000 bytes"),
    ] {
        let told = folder.told(path).await;
        let expected = format!("Permanent design reference file://{}/{path}: {problem}", folder.root().display());
        assert_eq!(told, expected);
    }
    drop(socket);
}

#[tokio::test]
async fn without_a_root_no_file_is_read_and_beside_it_none() {
    let folder = Folder::new();
    let site = format!("file://{}/site.yaml", folder.root().display());
    let off = told(&resolver(""), &site).await;
    assert!(off.ends_with("files are read only below [design] file_root, and none is configured"), "{off}");
    for path in
        ["/etc/passwd", "/", &format!("{}x/site.yaml", folder.root().display()), &folder.0.display().to_string()]
    {
        let told = told(&folder.resolver(""), &format!("file://{path}")).await;
        assert!(told.ends_with(": the file is not below [design] file_root"), "{told}");
    }
    fs::remove_dir_all(folder.root()).unwrap();
    let gone = told(&folder.resolver(""), &site).await;
    assert!(gone.contains(": cannot be read: [design] file_root: No such file"), "{gone}");
}

#[tokio::test]
async fn neither_devices_nor_proc_lead_anywhere() {
    let devices = resolver("file_root = '/dev'\nmax_bytes = 1000");
    for device in ["zero", "null", "full", "random"] {
        let told = told(&devices, &format!("file:///dev/{device}")).await;
        assert!(told.ends_with(": not a regular file"), "{told}");
    }
    let proc = resolver("file_root = '/proc'\nmax_bytes = 1000000");
    let pid = std::process::id();
    for path in [
        "self/environ",
        "thread-self/root/etc/passwd",
        &format!("{pid}/root/etc/passwd"),
        &format!("{pid}/cwd/Cargo.toml"),
        &format!("{pid}/fd/0"),
        &format!("{pid}/exe"),
    ] {
        let told = told(&proc, &format!("file:///proc/{path}")).await;
        assert!(told.ends_with(": the path holds a symbolic link, which is not followed"), "{told}");
    }
}

/// Pieces of paths that lead out, or seem to.
const PIECES: [&str; 24] = [
    "..",
    "../..",
    ".",
    "",
    "/",
    "link",
    "up",
    "magic",
    "loop",
    "inside",
    "deep",
    "er",
    "slash",
    "secret",
    "root",
    "etc",
    "passwd",
    "site.yaml",
    "%2e%2e",
    "%2f",
    "..%2f",
    "．．",
    "‥",
    "a%2e%2eb",
];

#[tokio::test]
async fn no_path_leads_out_of_the_root() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let folder = Folder::new();
    let root = rustix::fs::openat(CWD, folder.root(), rustix::fs::OFlags::DIRECTORY, Mode::empty()).unwrap();
    let resolver = folder.resolver("");
    let mut read = 0;
    for _ in 0..5000 {
        let path = (0..random.usize(1..7)).map(|_| PIECES[random.usize(..PIECES.len())]).collect::<Vec<_>>().join("/");
        let told = told(&resolver, &format!("file://{}/{path}", folder.root().display())).await;
        let inside = ["a: 1\n", "b: 2\n"].contains(&told.as_str());
        assert!(inside || told.starts_with("Permanent "), "seed {seed}: {path}: {told}");
        read += u32::from(inside);
        // the way without the kernel's guard reads the same
        let path = Path::new(&path);
        if path.components().all(|part| matches!(part, std::path::Component::Normal(_)))
            && path.components().count() > 0
        {
            let walked = super::super::file::walk_below(&root, path).map_err(super::super::file::refused);
            let walked = walked.and_then(|file| super::super::file::read_regular(file, 1000));
            let walked = walked.map(|bytes| String::from_utf8(bytes).unwrap());
            assert_eq!(walked.ok(), inside.then_some(told), "seed {seed}: {path:?}");
        }
    }
    println!("{read} of 5000 lay inside");
    assert!(read > 10, "seed {seed}");
}

#[tokio::test]
async fn on_the_command_line_a_path_is_its_own_root() {
    let folder = Folder::new();
    let server = Server::start(|_| ok("page")).await;
    let resolver = loopback("max_bytes = 1000");
    let told = async |argument: &str| match within(resolver.resolve_local_or_ref(argument)).await {
        Ok(resolved) => String::from_utf8(resolved.bytes().to_vec()).unwrap(),
        Err(error) => error.to_string(),
    };
    let root = folder.root().display().to_string();
    assert_eq!(told(&format!("{root}/site.yaml")).await, "a: 1\n");
    assert_eq!(told(&format!("{root}/inside")).await, "a: 1\n", "a person may follow a link");
    assert_eq!(told(&format!("file://{root}/site.yaml")).await, "a: 1\n");
    fs::write(folder.root().join("with space: and colon"), "c: 3\n").unwrap();
    assert_eq!(told(&format!("{root}/with space: and colon")).await, "c: 3\n");
    assert_eq!(told(&server.url("/")).await, "page");
    assert_eq!(told("nothing.yaml").await, "design reference nothing.yaml: there is no such file");
    assert_eq!(told("site:nothing.yaml").await, "design reference site:nothing.yaml: there is no such file");
    assert_eq!(told(&root).await, format!("design reference {root}: not a regular file"));
    assert_eq!(told("/dev/zero").await, "design reference /dev/zero: is larger than [design] max_bytes, 1000 bytes");
    assert!(told("ftp://h/a").await.contains("the scheme ftp is unknown"));
    assert!(told("http://u:hunter2@h/a").await.starts_with("design reference http:…: holds a user or password"));
}
