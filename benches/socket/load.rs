//! wrk, which asks as fast as it is answered.

use crate::{
    case::Case,
    client::{cookie, lines},
    process::{Cores, Process, pinned, require},
};

pub const CONNECTIONS: usize = 32;

/// What one case did in one round.
pub struct Sample {
    pub per_second: f64,
    /// Microseconds of the server's CPU time per request: in the program, and in the kernel for it.
    pub program: f64,
    pub kernel: f64,
    /// How much of the time the server ran.
    pub busy: f64,
}

pub fn require_wrk() {
    require("wrk", "wrk");
}

pub fn run(server: &Process, case: Case, cores: &Cores, seconds: usize) -> Sample {
    let mut command = pinned(cores.load.as_deref(), "wrk");
    command.args(["--threads=1", &format!("--connections={CONNECTIONS}")]);
    command.arg(format!("--duration={seconds}s"));
    for line in lines(cookie(server, case)) {
        command.args(["--header", &line]);
    }
    command.arg(format!("http://127.0.0.1:{}/", server.port));
    let before = server.cpu();
    let output = command.output().unwrap();
    let after = server.cpu();
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    // wrk names both only if there were any.
    let has_failed = text.contains("Non-2xx or 3xx responses") || text.contains("Socket errors");
    assert!(
        output.status.success() && !has_failed,
        "{}: {text}{errors}",
        case.name()
    );

    // "  123456 requests in 2.00s, 15.12MB read"
    let (requests, rest) = text
        .lines()
        .find_map(|line| line.trim().split_once(" requests in "))
        .unwrap_or_else(|| panic!("no number of requests: {text}"));
    let requests: f64 = requests.parse().unwrap();
    let elapsed: f64 = rest.split_once("s,").unwrap().0.parse().unwrap();
    let per_second = text.lines().find_map(|line| line.strip_prefix("Requests/sec:"));
    let per_second: f64 = per_second.expect("requests per second").trim().parse().unwrap();
    let [program, kernel] = [0, 1].map(|part: usize| after[part] - before[part]);
    Sample {
        per_second,
        program: program / requests * 1e6,
        kernel: kernel / requests * 1e6,
        busy: (program + kernel) / elapsed,
    }
}
