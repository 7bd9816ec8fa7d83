//! What comes out.

use crate::{case::Case, load::Sample};

/// Of all rounds.
struct Figure {
    median: f64,
    lowest: f64,
    highest: f64,
}

fn figure(samples: &[Sample], of: impl Fn(&Sample) -> f64) -> Figure {
    let mut values: Vec<f64> = samples.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    let last = values.len() - 1;
    Figure {
        median: f64::midpoint(values[last / 2], values[last.div_ceil(2)]),
        lowest: values[0],
        highest: values[last],
    }
}

pub fn print(cases: &[Case], samples: &[Vec<Sample>]) {
    println!(
        "| | requests/s | lowest–highest | against no layer | CPU µs each | lowest–highest | against no layer | in the kernel |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|--:|");
    let rate = |at: usize| figure(&samples[at], |sample| sample.per_second);
    let cpu = |at: usize| figure(&samples[at], |sample| sample.program + sample.kernel);
    for (at, case) in cases.iter().enumerate() {
        let bare = cases.iter().position(|other| *other == case.bare()).unwrap();
        let against = |own: &Figure, bare: &Figure| {
            if *case == case.bare() {
                return String::new();
            }
            format!("{:+.1} %", (own.median / bare.median - 1.0) * 100.0)
        };
        let (rate_here, cpu_here) = (rate(at), cpu(at));
        let kernel = figure(&samples[at], |sample| sample.kernel / (sample.program + sample.kernel));
        println!(
            "| {} | {} | {}–{} | {} | {:.2} | {:.2}–{:.2} | {} | {:.0} % |",
            case.title(),
            thousands(rate_here.median),
            thousands(rate_here.lowest),
            thousands(rate_here.highest),
            against(&rate_here, &rate(bare)),
            cpu_here.median,
            cpu_here.lowest,
            cpu_here.highest,
            against(&cpu_here, &cpu(bare)),
            kernel.median * 100.0,
        );
    }
    let mut busy: Vec<f64> = samples.iter().flatten().map(|sample| sample.busy * 100.0).collect();
    busy.sort_by(f64::total_cmp);
    println!(
        "\nThe server ran {:.0} % of the time in the median, {:.0} % where it was least.",
        busy[busy.len() / 2],
        busy[0],
    );
}

fn thousands(number: f64) -> String {
    let number = number.round() as u64;
    match number / 1000 {
        0 => number.to_string(),
        thousands => format!("{thousands},{:03}", number % 1000),
    }
}
