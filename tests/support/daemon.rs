//! Real servers as processes of their own: in a temporary folder, on a free port, never one that happens to run.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, clippy::panic)]

use std::{
    env, fs, io,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

/// The first of these programs that is installed. `None` leaves out the test that needs it, which is printed; in CI nothing may
/// be left out.
pub fn find(programs: &[&str]) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    // Where Debian keeps server programs: they are not on everybody's path.
    let postgres = (13..=19)
        .rev()
        .map(|version| format!("/usr/lib/postgresql/{version}/bin").into());
    let folders: Vec<PathBuf> = env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .chain(postgres)
        .collect();
    let wanted = env::var_os("HTTP_SESSION_NO_SERVERS").is_none();
    let found = programs
        .iter()
        .flat_map(|program| folders.iter().map(move |folder| folder.join(program)))
        .find(|path| wanted && path.is_file());
    if found.is_none() {
        left_out(programs[0]);
    }
    found
}

/// This program, if it is there.
pub fn installed(program: PathBuf) -> Option<PathBuf> {
    let wanted = env::var_os("HTTP_SESSION_NO_SERVERS").is_none();
    if wanted && program.is_file() {
        return Some(program);
    }
    left_out(&program.display().to_string());
    None
}

fn left_out(program: &str) {
    let ci = env::var("CI").is_ok_and(|ci| !ci.is_empty() && ci != "false");
    assert!(!ci, "{program} is not installed, and in CI nothing is left out");
    println!("left out: {program} is not installed; tests/run installs it");
}

/// A folder that is removed with the test.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("http-session-{name}-{}-{count}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A port that nobody listens on. Below those that the system gives to clients, or one of them might have it when a server
/// that was killed comes back.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let count = NEXT.fetch_add(1, Ordering::Relaxed);
        // Processes at the same time begin at different places.
        let port = 12_000 + (std::process::id().wrapping_mul(97).wrapping_add(count)) % 9_000;
        let port = u16::try_from(port).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A running server. It is killed with the test.
pub struct Daemon(Child);

impl Daemon {
    /// Starts it; what it prints goes to a file.
    pub fn start(command: &mut Command, log: &Path) -> Self {
        let log = fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Self(child)
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// kill -9, and waits until it is gone.
    pub fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Sends a signal, as `TERM`.
    pub fn signal(&self, signal: &str) {
        let id = self.0.id().to_string();
        assert!(
            Command::new("kill")
                .args([&format!("-{signal}"), &id])
                .status()
                .unwrap()
                .success()
        );
    }

    pub fn wait(mut self) {
        self.0.wait().unwrap();
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits for a condition of another process, at most a minute. The one place where a test waits for real time.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(60), "waited a minute for {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until somebody listens on the port.
pub fn until_listening(port: u16) {
    until("a server", || {
        TcpStream::connect(("127.0.0.1", port))
            .map(drop)
            .map_err(|_: io::Error| ())
            .is_ok()
    });
}
