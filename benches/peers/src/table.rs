//! The table, as Markdown.

use crate::{
    handlers::Case,
    measure::Results,
    request::Size,
    rows::{Kind, ROWS, Row},
};

pub fn print(results: &Results, rounds: usize) {
    println!("| session | case | row | ns | allocations | bytes allocated | its time / ours |");
    println!("|---|---|---|--:|--:|--:|--:|");
    for size in Size::ALL {
        for case in Case::ALL {
            for row in &ROWS {
                let Some(measured) = results.get(row.name, size, case) else {
                    continue;
                };
                let ratio = match results.ns(row.ours, size, case) {
                    Some(ours) if row.kind != Kind::Ours => format!("{:.2}", measured.ns / ours),
                    _ => String::new(),
                };
                println!(
                    "| {} | {} | {} | {:.0} | {} | {} | {ratio} |",
                    size.name(),
                    case.name(),
                    row.title(),
                    measured.ns,
                    measured.allocations.count,
                    measured.allocations.bytes,
                );
            }
        }
    }
    println!();
    println!("| cookie, name and value, bytes | small | large |");
    println!("|---|--:|--:|");
    for row in &ROWS {
        if let (Some(small), Some(large)) = (
            results.cookie(row.name, Size::Small),
            results.cookie(row.name, Size::Large),
        ) {
            println!("| {} | {small} | {large} |", row.title());
        }
    }
    println!();
    println!(
        "Median of {rounds} rounds; half of a cell's repetitions lie within {:.1} % of its median.",
        results.spread() * 100.0
    );
}

impl Row {
    /// With the version that was built.
    pub fn title(&self) -> String {
        match self.package.and_then(version) {
            Some(version) => format!("{} ({} {version})", self.name, self.package.unwrap_or_default()),
            None => self.name.to_owned(),
        }
    }
}

/// The newest version of a package in the lock file.
fn version(package: &str) -> Option<&'static str> {
    let lock = include_str!("../Cargo.lock");
    let start = format!("name = \"{package}\"\nversion = \"");
    let (_, rest) = lock.rsplit_once(&start)?;
    rest.split('"').next()
}
