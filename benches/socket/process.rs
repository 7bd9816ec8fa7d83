//! The server's process: on which core, and what CPU time it has used.

use std::{
    env, fs,
    io::{BufRead as _, BufReader, ErrorKind},
    process::{Child, Command, Stdio},
};

use crate::case::Case;

/// A core for the server and one for who asks it; `None` is not pinned.
pub struct Cores {
    pub server: Option<String>,
    pub load: Option<String>,
}

impl Cores {
    /// The first two cores that this process may run on.
    pub fn choose() -> Self {
        let status = fs::read_to_string("/proc/self/status").expect("the cores, which Linux has in /proc");
        let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        let cores = list.expect("a list of cores").trim().split(',').flat_map(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            first.parse::<u32>().unwrap()..=last.parse::<u32>().unwrap()
        });
        let [server, load] = cores.take(2).collect::<Vec<_>>()[..] else {
            println!("There is one core only: nothing is pinned, and server and load generator share it.");
            return Self {
                server: None,
                load: None,
            };
        };
        require("taskset", "util-linux");
        println!("The server is pinned to core {server}, the load generator to core {load}.");
        Self {
            server: Some(server.to_string()),
            load: Some(load.to_string()),
        }
    }
}

/// Fails if the tool is not there.
pub fn require(tool: &str, package: &str) {
    match Command::new(tool).arg("--version").output() {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {
            eprintln!("`{tool}` is not installed: apt-get install {package}");
            std::process::exit(1);
        }
        Err(error) => panic!("{tool}: {error}"),
    }
}

/// The program on that core. `taskset` becomes the program, so the process is the same.
pub fn pinned(core: Option<&str>, program: &str) -> Command {
    match core {
        Some(core) => {
            let mut command = Command::new("taskset");
            command.args(["-c", core, program]);
            command
        }
        None => Command::new(program),
    }
}

/// A server. Dropped, it is stopped.
pub struct Process {
    child: Child,
    pub port: u16,
    /// Of a session that it knows.
    pub cookie: String,
}

impl Process {
    pub fn start(case: Case, core: Option<&str>) -> Self {
        let program = env::current_exe().unwrap();
        let mut child = pinned(core, program.to_str().unwrap())
            .args(["--serve", &case.name()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let (port, cookie) = line.trim().split_once(' ').expect("the server's port and a cookie");
        Self {
            child,
            port: port.parse().unwrap(),
            cookie: cookie.to_owned(),
        }
    }

    /// Seconds of CPU time so far: in the program, and in the kernel for it.
    pub fn cpu(&self) -> [f64; 2] {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("a running server");
        // Behind the name, which may have blanks.
        let (_, fields) = text.rsplit_once(") ").unwrap();
        let mut fields = fields.split(' ').skip(11);
        // 100 ticks a second on every Linux that a program can see.
        [(); 2].map(|()| fields.next().unwrap().parse::<f64>().unwrap() / 100.0)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
