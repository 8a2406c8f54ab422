//! Starts `true` in a sandbox and prints how long each step took.
#![expect(clippy::print_stdout, reason = "an example shows something")]

use ns_exec::{Sandbox, Start};

fn main() -> ns_exec::Result<()> {
    let config = Sandbox::default().config()?;
    let process = Start::new(&config, ["true"]).trace().prepare()?.start()?;
    process.wait()?;
    let mut before = 0;
    for (step, after) in process.op_times().iter().filter(|(_, after)| *after > 0) {
        println!(
            "{:>8.1} us  {}: {}",
            (after - before) as f64 / 1000.0,
            step.what,
            step.call
        );
        before = *after;
    }
    Ok(())
}
