//! Examples as processes of their own.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, clippy::panic)]

use std::{
    env,
    ffi::OsStr,
    io::{BufRead as _, BufReader},
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
};

use serde_json::Value;

/// The binary of an example; `cargo test` has built it already, unless it was asked for one test alone.
pub fn build(name: &str) -> PathBuf {
    let mut cargo = command(env!("CARGO"));
    cargo.args([
        "build",
        "--quiet",
        "--locked",
        "--all-features",
        "--message-format=json",
        "--example",
        name,
    ]);
    let output = cargo
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "{name} does not build");
    let messages = output
        .stdout
        .split(|&byte| byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    let built = messages
        .filter(|message| message["target"]["name"] == name)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from));
    built.unwrap_or_else(|| panic!("cargo has built no {name}"))
}

/// A command that may call cargo. What cargo tells a test about its package would have it build dependencies anew.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in env::vars_os() {
        if name
            .to_str()
            .is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
        {
            command.env_remove(name);
        }
    }
    command
}

/// A port that nobody listens on.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A running program. It ends with the test.
pub struct Server(Child);

impl Server {
    /// Starts it and waits until it has printed a line that begins so.
    pub fn start(command: &mut Command, ready: &str) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let server = Self(child);
        let is_ready = lines
            .by_ref()
            .any(|line| line.is_ok_and(|line| line.starts_with(ready)));
        assert!(is_ready, "it ended without {ready:?}");
        // Or it would wait when the pipe is full.
        thread::spawn(|| lines.for_each(drop));
        server
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Sends a signal and waits for the end.
    #[cfg(unix)]
    pub fn stop(mut self, signal: &str) -> ExitStatus {
        let kill = format!("kill -{signal} {}", self.0.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
        self.0.wait().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
