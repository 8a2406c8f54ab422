//! The figures: a table, and the same as JSON.

use serde_json::{Value, json};

use super::contender::{Contender, Way};
use crate::debian;

/// All rows of one run.
#[derive(Debug)]
pub(super) struct Report {
    /// In the order of the table.
    pub(super) rows: Vec<Row>,
    /// What is measured, in one word.
    pub(super) what: &'static str,
    rounds: u32,
    left_out: Vec<(String, String)>,
}

/// One contender's figures.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) floor: &'static str,
    pub(super) min_us: u64,
    pub(super) p10_us: u64,
    pub(super) median_us: u64,
    pub(super) p90_us: u64,
    pub(super) resident_kib: Option<u64>,
}

impl Row {
    /// Figures of times in ascending order.
    pub(super) fn new(
        contender: &Contender,
        nanoseconds: &[u64],
        resident_kib: Option<u64>,
    ) -> Row {
        let at = |permille: usize| {
            let index = nanoseconds.len().saturating_sub(1) * permille / 1000;
            nanoseconds.get(index).copied().unwrap_or_default() / 1000
        };
        Row {
            name: contender.name,
            floor: contender.floor,
            min_us: at(0),
            p10_us: at(100),
            median_us: at(500),
            p90_us: at(900),
            resident_kib,
        }
    }
}

impl Report {
    /// An empty one.
    pub(super) fn new(what: &'static str, rounds: u32) -> Report {
        Report {
            rows: Vec::new(),
            what,
            rounds,
            left_out: Vec::new(),
        }
    }

    /// How often each is measured.
    pub(super) fn rounds(&self) -> u32 {
        self.rounds
    }

    /// Says that something is not measured, and why.
    pub(super) fn left_out(&mut self, name: &str, why: impl Into<String>) {
        self.left_out.push((name.into(), why.into()));
    }

    /// Starts each once; those that do not start are left out with the reason.
    pub(super) fn keep_those_that_start(&mut self, contenders: Vec<Contender>) -> Vec<Contender> {
        let mut kept = Vec::new();
        for mut contender in contenders {
            match contender.try_once() {
                Ok(()) => kept.push(contender),
                Err(failure) => {
                    let hint = advice(&contender);
                    self.left_out(contender.name, format!("{failure}{hint}"));
                }
            }
        }
        kept
    }

    /// Adds a row.
    pub(super) fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// The median against that of the row's floor, in thousandths.
    pub(super) fn ratio_permille(&self, row: &Row) -> Option<u64> {
        let floor = self.rows.iter().find(|floor| floor.name == row.floor)?;
        (row.median_us * 1000).checked_div(floor.median_us)
    }

    /// Prints the table.
    pub(super) fn print(&self) {
        println!(
            "\n{:<26} {:>9} {:>9} {:>9} {:>9} {:>10} {:>9}",
            format!("µs per {}", self.what),
            "median",
            "min",
            "p10",
            "p90",
            "to floor",
            "peak KiB"
        );
        for row in &self.rows {
            let ratio = self.ratio_permille(row).map_or("-".into(), permille);
            let resident = row.resident_kib.map_or("-".into(), |kib| kib.to_string());
            println!(
                "{:<26} {:>9} {:>9} {:>9} {:>9} {ratio:>10} {resident:>9}",
                row.name, row.median_us, row.min_us, row.p10_us, row.p90_us
            );
        }
        for (name, why) in &self.left_out {
            println!("not measured: {name}: {why}");
        }
    }

    /// Everything, for programs.
    pub(super) fn to_json(&self) -> Value {
        let rows: Vec<Value> = self.rows.iter().map(|row| self.row_json(row)).collect();
        let left_out = self
            .left_out
            .iter()
            .map(|(name, why)| json!({"name": name, "why": why}));
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        json!({
            "rounds": self.rounds,
            "kernel": kernel.trim(),
            "cpus": std::thread::available_parallelism().map_or(0, usize::from),
            "rows": rows,
            "left_out": left_out.collect::<Vec<_>>(),
        })
    }

    fn row_json(&self, row: &Row) -> Value {
        json!({
            "name": row.name,
            "floor": row.floor,
            "median_us": row.median_us,
            "min_us": row.min_us,
            "p10_us": row.p10_us,
            "p90_us": row.p90_us,
            "to_floor_permille": self.ratio_permille(row),
            "resident_kib": row.resident_kib,
        })
    }
}

/// `1.234`.
pub(super) fn permille(value: u64) -> String {
    format!("{}.{:03}", value / 1000, value % 1000)
}

fn advice(contender: &Contender) -> String {
    let Way::Program(words, _) = &contender.way else {
        return String::new();
    };
    let program = words
        .first()
        .and_then(|word| word.to_str())
        .unwrap_or_default();
    let name = program.rsplit('/').next().unwrap_or_default();
    let peer = debian::PEERS
        .iter()
        .find(|peer| peer.file.ends_with(&format!("/{name}")));
    match peer {
        Some(peer) if !peer.is_met() => format!("; to get it: apt-get install {}", peer.package),
        Some(_) if name == "crun" => "; it refuses hosts that have v1 and v2: --view v1".into(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &'static str, floor: &'static str, times_us: &[u64]) -> Row {
        let contender = Contender {
            name,
            floor,
            way: Way::Program(Vec::new(), "/".into()),
        };
        let nanoseconds: Vec<u64> = times_us.iter().map(|us| us * 1000).collect();
        Row::new(&contender, &nanoseconds, None)
    }

    #[test]
    fn figures_are_those_of_the_sorted_times() {
        let times: Vec<u64> = (1..=41).collect();
        let row = row("a", "a", &times);
        assert_eq!(
            (row.min_us, row.p10_us, row.median_us, row.p90_us),
            (1, 5, 21, 37)
        );
    }

    #[test]
    fn ratio_is_to_the_rows_own_floor() {
        let mut report = Report::new("start", 1);
        report.add(row("floor", "floor", &[400]));
        report.add(row("other", "floor", &[500]));
        report.add(row("lost", "nowhere", &[500]));
        let ratios: Vec<_> = report
            .rows
            .iter()
            .map(|row| report.ratio_permille(row))
            .collect();
        assert_eq!(ratios, [Some(1000), Some(1250), None]);
        assert_eq!(permille(1250), "1.250");
    }
}
