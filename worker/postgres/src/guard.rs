//! The shell that cleans up after this process, even after a SIGKILL.

use std::io::{self, PipeWriter, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::Pid;

/// Reads the pid of each server that is started, until the end of its input, which only our
/// process holds open. Then it ends the last server where it still runs, and removes the folder
/// where one was named.
///
/// A pid is signalled only while its command line names the data folder: it may belong to someone
/// else by then (`a_guard_spares_a_process_that_inherited_the_pid`).
const SCRIPT: &str = r#"
trap '' HUP INT TERM
data=$1 folder=$2 server= tries=0
while read -r pid; do server=$pid; done
running() {
  { tr '\0' ' ' <"/proc/$server/cmdline" || ps -ww -o args= -p "$server"; } | grep -qF -e "-D $data "
}
while [ -n "$server" ] && running && [ $tries -lt 350 ]; do
  case $tries in 0) kill -INT "$server" ;; 300) kill -QUIT "$server" ;; esac
  tries=$((tries + 1))
  sleep 0.1
done
while [ -n "$folder" ] && [ -e "$folder" ] && [ $tries -lt 450 ]; do
  rm -rf "$folder" && break
  tries=$((tries + 1))
  sleep 0.1
done
"#;

/// Holds the shell's input open. Dropping it lets the shell clean up, and waits until it has.
#[derive(Debug)]
pub(crate) struct Guard {
    shell: Child,
    /// Open until drop.
    input: Option<PipeWriter>,
}

impl Guard {
    /// Starts the shell for the server in `data_dir`; it removes `folder` where one is named.
    pub(crate) fn start(data_dir: &Path, folder: Option<&Path>) -> io::Result<Self> {
        // Both ends are close-on-exec: no other child can keep the shell waiting.
        let (reader, writer) = io::pipe()?;
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, "longshore-postgres-guard"]);
        command.arg(data_dir).arg(folder.unwrap_or(Path::new("")));
        command.current_dir("/").stdin(reader).stdout(Stdio::null()).stderr(Stdio::null());
        own_session(&mut command);
        Ok(Self { shell: command.spawn()?, input: Some(writer) })
    }

    /// Names the server to end.
    pub(crate) fn watch(&mut self, server: Pid) -> io::Result<()> {
        self.input.as_mut().map_or(Ok(()), |input| writeln!(input, "{}", server.as_raw_nonzero()))
    }
}

#[allow(unsafe_code, reason = "the standard library's own `setsid` is not stable")]
fn own_session(command: &mut Command) {
    // SAFETY: the closure makes one system call, and neither allocates nor takes a lock.
    unsafe { command.pre_exec(|| Ok(rustix::process::setsid().map(drop)?)) };
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.input.take());
        // Nothing is left to do where the shell is already gone.
        self.shell.wait().ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guard_spares_a_process_that_inherited_the_pid() {
        let mut bystander = Command::new("sleep").arg("600").spawn().expect("sleep");
        let mut guard = Guard::start(Path::new("/no/such/folder"), None).expect("a guard");
        guard.watch(Pid::from_child(&bystander)).expect("told");
        drop(guard);
        assert!(bystander.try_wait().expect("its state").is_none(), "the guard ended a bystander");
        bystander.kill().expect("killed");
        bystander.wait().expect("its end");
    }
}
