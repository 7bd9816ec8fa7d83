//! The rounds: every row in turn, case by case.

use std::collections::HashMap;

use http::{HeaderMap, HeaderValue};

use crate::{
    allocations::Allocations,
    handlers::{Case, Task},
    request::{Cookies, Size, forged, headers, pair},
    rows::{self, Contender, ROWS, Row},
    runner::{BATCH, Runner},
};

/// Batches of one repetition, and those before them that fill caches and teach the branch predictor.
const BATCHES: usize = 12;
const WARM_UP: usize = 2;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Cell {
    pub row: &'static str,
    pub size: Size,
    pub case: Case,
}

#[derive(Clone, Copy)]
pub struct Measured {
    /// Median of the repetitions.
    pub ns: f64,
    /// Half of the repetitions lie within this range.
    pub middle: (f64, f64),
    pub allocations: Allocations,
}

pub struct Results {
    cells: HashMap<Cell, Measured>,
    /// Name and value of the session cookie, in bytes.
    cookies: HashMap<(&'static str, Size), usize>,
}

impl Results {
    pub fn get(&self, row: &'static str, size: Size, case: Case) -> Option<&Measured> {
        self.cells.get(&Cell { row, size, case })
    }

    pub fn ns(&self, row: &'static str, size: Size, case: Case) -> Option<f64> {
        self.get(row, size, case).map(|measured| measured.ns)
    }

    pub fn cookie(&self, row: &'static str, size: Size) -> Option<usize> {
        self.cookies.get(&(row, size)).copied()
    }

    /// How far apart the middle half of the repetitions is, as a part of their median: the median of all cells.
    pub fn spread(&self) -> f64 {
        let spread = |measured: &Measured| (measured.middle.1 - measured.middle.0) / measured.ns;
        quantile(&mut self.cells.values().map(spread).collect::<Vec<_>>(), 0.5)
    }
}

pub fn measure(rounds: usize) -> Results {
    let mut times: HashMap<Cell, Vec<f64>> = HashMap::new();
    let mut allocations = HashMap::new();
    let mut cookies = HashMap::new();
    for round in 0..rounds.max(1) {
        // One row spawns a task for each layer. They are never run, and end with the runtime.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime");
        let _context = runtime.enter();
        // Stores are new in each round, or those that never forget would grow all the time.
        let contenders: Vec<(&Row, Box<dyn Contender>)> = ROWS.iter().map(|row| (row, (row.make)())).collect();
        for size in Size::ALL {
            let mut known: Vec<_> = contenders
                .iter()
                .map(|(row, contender)| (row.name, &**contender, cookie(&**contender, size)))
                .collect();
            if round == 0 {
                for (row, contender, cookie) in &known {
                    check(row, *contender, cookie.as_deref());
                    if let Some(cookie) = cookie {
                        cookies.insert((*row, size), cookie.len());
                    }
                }
            }
            // No row has the same neighbours or the same place in every round.
            let len = known.len();
            known.rotate_left(round % len);
            for case in Case::ALL.into_iter().filter(|case| case.applies_to(size)) {
                for (row, contender, cookie) in &known {
                    let Some((mut runner, headers)) = set_up(*contender, cookie.as_deref(), case) else {
                        continue;
                    };
                    let cell = Cell { row, size, case };
                    if round == 0 {
                        allocations.insert(cell, count(&mut *runner, &headers));
                    }
                    times.entry(cell).or_default().push(repetition(&mut *runner, &headers));
                }
            }
        }
    }
    let cells = times.into_iter().map(|(cell, mut times)| {
        let measured = Measured {
            ns: quantile(&mut times, 0.5),
            middle: (quantile(&mut times, 0.25), quantile(&mut times, 0.75)),
            allocations: allocations[&cell],
        };
        (cell, measured)
    });
    Results {
        cells: cells.collect(),
        cookies,
    }
}

/// Sends requests of one cell and nothing else, for a profiler.
pub fn repeat(row: &str, size: Size, case: Case, requests: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let _context = runtime.enter();
    let row = ROWS.iter().find(|known| known.name == row).expect("the name of a row");
    let contender = (row.make)();
    let cookie = cookie(&*contender, size);
    let (mut runner, headers) = set_up(&*contender, cookie.as_deref(), case).expect("a case of this row");
    for _ in 0..requests.div_ceil(BATCH) {
        runner.batch(&headers);
    }
}

/// The cookie of a known client; `None` where a row has no sessions.
fn cookie(contender: &dyn Contender, size: Size) -> Option<String> {
    let (lines, _) = contender.runner(Task::Seed(size))?.once(&headers(Cookies::Nothing));
    session_cookie(&lines)
}

fn session_cookie(lines: &[HeaderValue]) -> Option<String> {
    let name = format!("{}=", rows::NAME);
    lines
        .iter()
        .map(pair)
        .find(|pair| pair.starts_with(&name) || pair.starts_with("session="))
}

fn set_up(contender: &dyn Contender, cookie: Option<&str>, case: Case) -> Option<(Box<dyn Runner>, HeaderMap)> {
    let runner = contender.runner(case.task())?;
    let stand_in = format!("{}={}", rows::NAME, "A".repeat(220));
    let headers = match case {
        Case::Anonymous => headers(Cookies::Others),
        Case::Create => headers(Cookies::Nothing),
        Case::Known => headers(Cookies::Session(cookie.unwrap_or(&stand_in))),
        Case::Read | Case::Write => headers(Cookies::Session(cookie?)),
        Case::Forged => headers(Cookies::Session(&forged(cookie?))),
    };
    Some((runner, headers))
}

/// Whether the row does what it is measured for.
fn check(row: &str, contender: &dyn Contender, cookie: Option<&str>) {
    let Some(cookie) = cookie else {
        return;
    };
    let send = |task, cookies| contender.runner(task).expect("a case").once(&headers(cookies)).0;
    send(Task::Read, Cookies::Session(cookie));
    let forged = forged(cookie);
    send(Task::Reject, Cookies::Session(&forged));
    send(Task::Reject, Cookies::Others);
    let created = session_cookie(&send(Task::Create, Cookies::Nothing));
    assert!(created.is_some(), "{row} creates no session");
    // Where a store has the session, the client may not need another cookie.
    let written = session_cookie(&send(Task::Write, Cookies::Session(cookie)));
    let written = written.as_deref().unwrap_or(cookie);
    send(Task::Verify, Cookies::Session(written));
}

fn count(runner: &mut dyn Runner, headers: &HeaderMap) -> Allocations {
    let mut counts: Vec<_> = (0..9).map(|_| runner.once(headers).1).collect();
    counts.sort_unstable();
    counts[counts.len() / 2]
}

fn repetition(runner: &mut dyn Runner, headers: &HeaderMap) -> f64 {
    for _ in 0..WARM_UP {
        runner.batch(headers);
    }
    let mut times: Vec<f64> = (0..BATCHES)
        .map(|_| runner.batch(headers).as_nanos() as f64 / BATCH as f64)
        .collect();
    quantile(&mut times, 0.5)
}

fn quantile(values: &mut [f64], part: f64) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * part).round() as usize]
}
