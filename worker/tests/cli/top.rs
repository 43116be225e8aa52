//! `longshore top` on a terminal.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetattr, tcsetwinsize};

use crate::schedules::with_database;
use crate::{Folder, signal, wait_for};

/// To the other screen without a cursor, and back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// A terminal with a program on it.
struct Terminal {
    keys: File,
    shown: Arc<Mutex<String>>,
    child: Child,
}

impl Terminal {
    fn start(command: &Command) -> Self {
        let keys = File::from(openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal"));
        grantpt(&keys).and_then(|()| unlockpt(&keys)).expect("its other end");
        resize(&keys, 24, 80);
        let name = ptsname(&keys, Vec::new()).expect("its name").into_string().expect("text");
        let end = || {
            let flags = i32::try_from(OpenptFlags::NOCTTY.bits()).expect("a flag");
            OpenOptions::new().read(true).write(true).custom_flags(flags).open(&name).expect("its other end")
        };
        // a session of its own, of which this is the terminal: keys are signals
        let mut setsid = Command::new("setsid");
        setsid.arg("--ctty").arg(command.get_program()).args(command.get_args());
        setsid.current_dir(command.get_current_dir().expect("a folder"));
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => setsid.env(name, value),
                None => setsid.env_remove(name),
            };
        }
        let child = setsid.stdin(end()).stdout(end()).stderr(end()).spawn().expect("setsid of util-linux");
        let shown = Arc::new(Mutex::new(String::new()));
        let (mut screen, text) = (keys.try_clone().expect("a clone"), Arc::clone(&shown));
        std::thread::spawn(move || {
            let mut some = [0; 4096];
            // it fails once nobody has the other end
            while let Ok(count @ 1..) = screen.read(&mut some) {
                text.lock().expect("no panic").push_str(&String::from_utf8_lossy(&some[..count]));
            }
        });
        Self { keys, shown, child }
    }

    /// Waits until this was shown after what was waited for before.
    fn shows(&self, text: &str) {
        wait_for(text, || {
            let mut shown = self.shown.lock().expect("no panic");
            let at = shown.find(text)?;
            shown.drain(..at + text.len());
            Some(())
        });
    }

    fn types(&mut self, key: u8) {
        self.keys.write_all(&[key]).expect("a key");
    }

    /// Whether keys come one by one.
    fn is_raw(&self) -> bool {
        !tcgetattr(&self.keys).expect("its modes").local_modes.intersects(LocalModes::ICANON | LocalModes::ECHO)
    }

    fn is_stopped(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" T"))
    }

    fn ends(&mut self) {
        assert_eq!(self.child.wait().expect("its end").code(), Some(0));
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn resize(terminal: &File, rows: u16, columns: u16) {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(terminal, size).expect("a size");
}

#[tokio::test]
async fn top_leaves_the_terminal_as_it_was_when_it_ends_and_while_it_is_suspended() {
    let folder = Folder::new("terminal");
    let insert = "INSERT INTO tasks (action, queue) SELECT 'a', 'queue' || n FROM generate_series(1, 40) AS n";
    let (_, url) = with_database(&folder, insert).await;
    let mut command = folder.longshore(&["top", "--interval", "1h"]);
    command.env("DATABASE_URL", &url);
    for key in [b'q', 0x03, 0x1c] {
        let mut top = Terminal::start(&command);
        let before = tcgetattr(&top.keys).expect("its modes");
        top.shows(ENTER);
        top.shows("and 23 more: longshore top --once prints all");
        assert!(top.is_raw());
        resize(&top.keys, 12, 60);
        // at once, not at the next look
        top.shows("and 35 more: longshore top --once prints all");
        top.types(0x1a);
        top.shows(LEAVE);
        wait_for("it is stopped", || top.is_stopped().then_some(()));
        assert!(!top.is_raw());
        // a shell sets its own, and they stay
        tcsetattr(&top.keys, rustix::termios::OptionalActions::Now, &before).expect("its modes");
        signal("-CONT", top.child.id());
        top.shows(ENTER);
        top.shows("and 35 more");
        assert!(top.is_raw());
        top.types(key);
        top.shows(LEAVE);
        top.ends();
        let after = tcgetattr(&top.keys).expect("its modes");
        assert_eq!(format!("{before:?}"), format!("{after:?}"));
    }
}
