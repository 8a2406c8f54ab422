//! Printing a plan, and what the doctor found.

use std::ffi::OsString;

use ns_config::Config;
use ns_exec::Start;
use serde_json::{Value, json};

use crate::report::{EXIT_OURS, Failure, print};
use crate::verbs::{append, print_json};

pub(crate) fn explain(
    config: &Config,
    command: Vec<OsString>,
    as_json: bool,
) -> Result<u8, Failure> {
    let prepared = Start::new(config, command).prepare()?;
    let steps = prepared.plan().explain();
    if as_json {
        let steps: Vec<Value> = steps
            .iter()
            .map(|step| json!({"what": step.what, "call": step.call, "pointer": step.pointer}))
            .collect();
        print_json(
            &json!({"clone_flags": prepared.clone_flags(), "caller_flags": prepared.caller_flags(),
            "steps": steps}),
        )?;
        return Ok(0);
    }
    let mut text = format!("clone3({:#x})\n", prepared.clone_flags());
    if prepared.caller_flags() != 0 {
        let flags = prepared.caller_flags();
        append(
            &mut text,
            format_args!("unshare({flags:#x}) in a thread of the caller, meanwhile\n"),
        );
    }
    for (index, step) in steps.iter().enumerate() {
        let pointer = step
            .pointer
            .as_deref()
            .map_or_else(String::new, |pointer| format!("  # {pointer}"));
        append(
            &mut text,
            format_args!("{index:4}  {}: {}{pointer}\n", step.what, step.call),
        );
    }
    print(&text)?;
    Ok(0)
}

/// Exits with 125 when something does not work.
pub(crate) fn doctor(as_json: bool) -> Result<u8, Failure> {
    let findings = ns_exec::doctor();
    let all_work = findings.iter().all(|finding| finding.works);
    if as_json {
        let findings: Vec<Value> = findings
            .iter()
            .map(|finding| {
                json!({"subject": finding.subject, "works": finding.works, "detail": finding.detail,
                       "remedy": finding.remedy})
            })
            .collect();
        print_json(&Value::Array(findings))?;
    } else {
        let mut text = String::new();
        for finding in &findings {
            let mark = if finding.works { "yes" } else { "NO " };
            append(
                &mut text,
                format_args!("{mark}  {:<15} {}\n", finding.subject, finding.detail),
            );
            if let Some(remedy) = &finding.remedy {
                append(
                    &mut text,
                    format_args!("     {:<15} to change it: {remedy}\n", ""),
                );
            }
        }
        print(&text)?;
    }
    Ok(if all_work { 0 } else { EXIT_OURS })
}
