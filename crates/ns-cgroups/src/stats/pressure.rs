//! Time lost by waiting for processors, memory and block devices.

use super::{malformed, number};
use crate::error::Result;

/// Pressure by resource; `None` where the kernel does not count it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PressureStats {
    /// Waiting for a processor.
    pub cpu: Option<Pressure>,
    /// Waiting for memory.
    pub memory: Option<Pressure>,
    /// Waiting for block devices.
    pub io: Option<Pressure>,
}

/// Pressure on one resource.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pressure {
    /// At least one process waited.
    pub some: PressureTimes,
    /// All that could run waited.
    pub full: Option<PressureTimes>,
}

/// Shares of the last seconds, and the sum since the group was made.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PressureTimes {
    /// Of the last 10 seconds.
    pub avg10_percent: f64,
    /// Of the last 60 seconds.
    pub avg60_percent: f64,
    /// Of the last 300 seconds.
    pub avg300_percent: f64,
    /// In all.
    pub total_us: u64,
}

pub(super) fn read(read: impl Fn(&str) -> Result<Option<String>>) -> Result<PressureStats> {
    let one = |file: &str| read(file)?.map(|text| parse(file, &text)).transpose();
    Ok(PressureStats {
        cpu: one("cpu.pressure")?,
        memory: one("memory.pressure")?,
        io: one("io.pressure")?,
    })
}

/// `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`, and a line that begins with `full`.
fn parse(file: &str, text: &str) -> Result<Pressure> {
    let mut pressure = Pressure::default();
    for line in text.lines() {
        match line.split_once(' ') {
            Some(("some", rest)) => pressure.some = times(file, rest)?,
            Some(("full", rest)) => pressure.full = Some(times(file, rest)?),
            _ => return Err(malformed(file, line)),
        }
    }
    Ok(pressure)
}

fn times(file: &str, text: &str) -> Result<PressureTimes> {
    let mut times = PressureTimes::default();
    for word in text.split_whitespace() {
        let percent = |value: &str| value.parse::<f64>().map_err(|_| malformed(file, word));
        match word.split_once('=') {
            Some(("avg10", value)) => times.avg10_percent = percent(value)?,
            Some(("avg60", value)) => times.avg60_percent = percent(value)?,
            Some(("avg300", value)) => times.avg300_percent = percent(value)?,
            Some(("total", value)) => times.total_us = number(file, value)?,
            _ => return Err(malformed(file, word)),
        }
    }
    Ok(times)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::tests::files;

    #[test]
    fn pressure_lines_are_read() {
        let text = "some avg10=1.50 avg60=0.20 avg300=0.00 total=123\n\
                    full avg10=0.00 avg60=0.00 avg300=0.00 total=7\n";
        let pressure = read(files(&[("cpu.pressure", text)])).unwrap();
        let cpu = pressure.cpu.unwrap();
        assert_eq!((cpu.some.avg10_percent, cpu.some.total_us), (1.5, 123));
        assert_eq!(cpu.full.unwrap().total_us, 7);
        assert_eq!(pressure.io, None);
        assert!(read(files(&[("io.pressure", "some avg10=x")])).is_err());
    }
}
