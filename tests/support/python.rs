//! A Python program that answers JSON lines with JSON lines.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, clippy::panic)]

use std::{
    env,
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use serde_json::Value;

/// Lines that are sent before their answers are read: far less than a pipe holds.
const AHEAD: usize = 8;

pub struct Python {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Python {
    /// Starts a script of `tests/python`. Without a Python that has what the script needs there is none; `tests/run` sets
    /// one up, and in CI it must be there.
    pub fn start(script: &str) -> Option<Self> {
        let Some(python) = env::var_os("HTTP_SESSION_PYTHON") else {
            let ci = env::var("CI").is_ok_and(|ci| !ci.is_empty() && ci != "false");
            assert!(!ci, "HTTP_SESSION_PYTHON is not set, and in CI nothing is left out");
            println!(
                "left out: HTTP_SESSION_PYTHON does not name a Python that can run {script}; tests/run sets one up"
            );
            return None;
        };
        let mut child = Command::new(python)
            .arg(format!("{}/tests/python/{script}", env!("CARGO_MANIFEST_DIR")))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("HTTP_SESSION_PYTHON names a Python");
        Some(Self {
            stdin: child.stdin.take(),
            stdout: BufReader::new(child.stdout.take().unwrap()),
            child,
        })
    }

    pub fn ask(&mut self, question: &Value) -> Value {
        self.send(question);
        self.receive(question)
    }

    pub fn ask_all(&mut self, questions: &[Value]) -> Vec<Value> {
        let mut answers = Vec::new();
        // The script works on one line while the next ones are written and the last ones are read.
        for (at, question) in questions.iter().enumerate() {
            self.send(question);
            if at >= AHEAD {
                answers.push(self.receive(&questions[at - AHEAD]));
            }
        }
        while answers.len() < questions.len() {
            answers.push(self.receive(&questions[answers.len()]));
        }
        answers
    }

    fn send(&mut self, question: &Value) {
        let line = format!("{question}\n");
        self.stdin.as_mut().unwrap().write_all(line.as_bytes()).unwrap();
    }

    #[track_caller]
    fn receive(&mut self, question: &Value) -> Value {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        let answer: Value =
            serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line:?} is the answer to {question}"));
        assert!(answer.get("error").is_none(), "{answer} is the answer to {question}");
        answer
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        // The end of its input is the end of the program.
        drop(self.stdin.take());
        let _ = self.child.wait();
    }
}
