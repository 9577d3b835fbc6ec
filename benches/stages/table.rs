use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::Value;

/// Prints each measurement made since then, by the message: the median, and the fastest sample, which says more on a
/// busy machine.
pub fn print(since: SystemTime) {
    // Where criterion writes.
    let folder = std::env::var_os("CRITERION_HOME").map_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("criterion"), PathBuf::from);
    let mut rows = Vec::new();
    collect(&folder, since, &mut rows);
    if rows.is_empty() {
        return;
    }
    // In the order in which they were measured.
    rows.sort_by_key(|row| row.at);
    println!("\n{:<40} {:>12} {:>12}", "stage", "ns/message", "fastest");
    for Row { name, median, fastest, .. } in rows {
        println!("{name:<40} {median:>12.1} {fastest:>12.1}");
    }
}

struct Row {
    at: SystemTime,
    name: String,
    median: f64,
    fastest: f64,
}

fn collect(folder: &Path, since: SystemTime, rows: &mut Vec<Row>) {
    rows.extend(row(&folder.join("new")).filter(|row| row.at >= since));
    let Ok(entries) = fs::read_dir(folder) else { return };
    entries.flatten().filter(|entry| entry.path().is_dir()).for_each(|entry| collect(&entry.path(), since, rows));
}

/// What criterion wrote about one measurement.
fn row(folder: &Path) -> Option<Row> {
    let file = |name: &str| fs::read(folder.join(name)).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    let (estimates, benchmark, sample) = (file("estimates.json")?, file("benchmark.json")?, file("sample.json")?);
    let numbers = |name: &str| sample[name].as_array().into_iter().flatten().filter_map(Value::as_f64);
    let messages = benchmark["throughput"]["Elements"].as_f64().unwrap_or(1.0);
    Some(Row {
        at: fs::metadata(folder.join("estimates.json")).ok()?.modified().ok()?,
        name: benchmark["full_id"].as_str()?.to_owned(),
        median: estimates["median"]["point_estimate"].as_f64()? / messages,
        fastest: numbers("times").zip(numbers("iters")).map(|(time, rounds)| time / rounds / messages).fold(f64::INFINITY, f64::min),
    })
}
