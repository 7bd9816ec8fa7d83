//! What a session costs per request: this crate, its peers, and the arithmetic alone, on the same requests in one process.

mod allocations;
mod chart;
mod handlers;
mod lost_updates;
mod measure;
mod request;
mod rows;
mod runner;
mod table;
mod targets;

use std::{env, fs, process::exit};

use handlers::Case;
use request::Size;

const USAGE: &str = "usage: peers [--rounds N] [--chart FILE]
       peers --repeat ROW SIZE CASE REQUESTS
       peers --lost-updates
SIZE: small, large; CASE: anonymous, known, read, write, create, forged; ROW: a name from the table, without the version";

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (mut rounds, mut chart) = (41, None);
    match arguments[..] {
        ["--lost-updates"] => return lost_updates::print(),
        ["--repeat", row, size, case, requests] => {
            let size = Size::ALL.into_iter().find(|known| known.name() == size);
            let case = Case::ALL
                .into_iter()
                .find(|known| format!("{known:?}").eq_ignore_ascii_case(case));
            let (Some(size), Some(case), Ok(requests)) = (size, case, requests.parse()) else {
                fail();
            };
            return measure::repeat(row, size, case, requests);
        }
        ref options => {
            for option in options.chunks(2) {
                match option {
                    ["--rounds", number] => rounds = number.parse().unwrap_or_else(|_| fail()),
                    ["--chart", file] => chart = Some(*file),
                    _ => fail(),
                }
            }
        }
    }
    let results = measure::measure(rounds);
    table::print(&results, rounds);
    println!();
    targets::print(&results);
    if let Some(file) = chart {
        fs::write(file, chart::draw(&results)).expect("the chart's file can be written");
    }
}

fn fail() -> ! {
    eprintln!("{USAGE}");
    exit(2);
}
