//! What the layer costs a server that is asked over a socket: requests per second, and CPU time of the server per request.
//!
//! ```sh
//! apt-get install wrk
//! cargo bench --features memory --bench socket                             # five minutes
//! cargo bench --features memory --bench socket -- --rounds 3 --seconds 1   # quickly, to see that it works
//! ```
//!
//! A hyper server, HTTP/1.1 with keep-alive, has a process, a thread and a core of its own, and `wrk` another core, on
//! loopback. All cases run in turn, round after round, so that whatever else the machine does hits all of them; the server and
//! its keys are new each time. CPU time is the kernel's accounting, in steps of 10 ms.
//!
//! Without `--bench`, as `cargo test --benches` runs it, every case only proves that it does what it says.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::panic)]

mod support;

#[path = "socket/case.rs"]
mod case;
#[path = "socket/client.rs"]
mod client;
#[path = "socket/load.rs"]
mod load;
#[path = "socket/process.rs"]
mod process;
#[path = "socket/server.rs"]
mod server;
#[path = "socket/table.rs"]
mod table;

use std::{env, fs};

use case::Case;
use load::Sample;
use process::{Cores, Process};

fn main() {
    let arguments: Vec<String> = env::args().collect();
    let option = |name: &str| arguments.iter().position(|argument| argument == name);
    let value = |name: &str| option(name).map(|at| arguments.get(at + 1).expect("a value").as_str());
    if let Some(name) = value("--serve") {
        server::run(Case::named(name));
    } else if option("--bench").is_some() {
        let number = |name, otherwise| value(name).map_or(otherwise, |text| text.parse().expect("a number"));
        measure(number("--rounds", 7), number("--seconds", 2));
    } else {
        for case in Case::all() {
            client::prove(&Process::start(case, None), case);
            println!("{}: as it should be", case.name());
        }
    }
}

fn measure(rounds: usize, seconds: usize) {
    assert!(rounds > 0 && seconds > 0, "at least one round of one second");
    load::require_wrk();
    let cores = Cores::choose();
    let average = fs::read_to_string("/proc/loadavg").expect("the load of the machine, which Linux has in /proc");
    println!("Load of the machine before: {}", average.trim());
    let cases = Case::all();
    let mut samples: Vec<Vec<Sample>> = cases.iter().map(|_| Vec::new()).collect();
    for round in 1..=rounds {
        eprintln!("round {round} of {rounds}");
        for (case, samples) in cases.iter().zip(&mut samples) {
            let server = Process::start(*case, cores.server.as_deref());
            client::prove(&server, *case);
            load::run(&server, *case, &cores, 1);
            samples.push(load::run(&server, *case, &cores, seconds));
        }
    }
    println!("{rounds} rounds of {seconds} s, {} connections:\n", load::CONNECTIONS);
    table::print(&cases, &samples);
}
