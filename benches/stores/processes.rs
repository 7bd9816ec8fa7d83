//! What processes use, as Linux tells. Elsewhere all of it is 0.

use std::fs;

/// CPU time of a process in seconds, with that of the children it has waited for. In steps of 10 ms.
pub fn cpu(process: u32) -> f64 {
    // Seconds are at most 100 ticks on every Linux that a program can see.
    let fields = stat(process);
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    // utime, stime, cutime, cstime
    (11..15).map(ticks).sum::<f64>() / 100.0
}

/// The process and those that it has started.
pub fn family(process: u32) -> Vec<u32> {
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let children = all
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|child| stat(*child).get(1).is_some_and(|parent| *parent == process.to_string()));
    std::iter::once(process).chain(children).collect()
}

/// The fields behind the name, which may have blanks.
fn stat(process: u32) -> Vec<String> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let (_, fields) = text.rsplit_once(") ").unwrap_or_default();
    fields.split(' ').map(str::to_owned).collect()
}

/// Memory that this process has, in bytes.
pub fn resident() -> u64 {
    let text = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * 4_096
}
