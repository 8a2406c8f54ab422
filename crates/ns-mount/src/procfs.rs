//! A procfs that nobody else can see, and what is written through it.

use ns_config::{Config, sysctl_namespace, sysctl_path};
use ns_init::{Op, PlanBuilder, Slot};

use crate::attribute::{NODEV, NOEXEC, NOSUID};
use crate::error::{Error, Kind, Planned, Result};
use crate::tree::new_filesystem;

/// Plans a procfs that is never attached, so that no mount of the container can stand in front of
/// the files that [`Op::WriteProc`] writes: kernel settings and security labels.
///
/// # Privileges
/// `CAP_SYS_ADMIN` in the user namespace that owns the process namespace; in a user namespace the
/// kernel also wants a procfs without masks to be mounted already.
///
/// # Errors
/// | kind | when |
/// |---|---|
/// | `Limit` | the plan would exceed 4 GiB |
///
/// # References
/// `fsopen(2)`; CVE-2019-16884, CVE-2025-52881.
pub fn private_procfs(plan: &mut PlanBuilder) -> Result<Slot> {
    let closed = NOSUID | NODEV | NOEXEC;
    new_filesystem("proc", &[("source", "proc")], closed, plan)
}

/// Plans the kernel settings of the configuration, written through `procfs`.
///
/// # Order
/// After the process has joined the namespaces that own the settings.
///
/// # Errors
/// | kind | when |
/// |---|---|
/// | `InvalidValue` | a name is no kernel setting, or belongs to no namespace |
/// | `Denied` | a name belongs to a namespace that is shared with the caller |
/// | `Limit` | the plan would exceed 4 GiB |
///
/// # References
/// `proc_sys(5)`.
pub fn sysctl(config: &Config, procfs: Slot, plan: &mut PlanBuilder) -> Result<()> {
    for setting in &config.sysctl {
        let pointer = setting.pointer.as_str();
        let kind = sysctl_namespace(&setting.name)
            .map_err(|error| Error::from_config(STEP, error).at(pointer))?;
        if !config.namespaces.contains(kind) {
            let call = format!(
                "{} belongs to the {kind:?} namespace, which is the host's",
                setting.name
            );
            return Err(Error::new(Kind::Denied, STEP, call)
                .with_hint("give the container a namespace of this kind")
                .at(pointer));
        }
        let path = sysctl_path(&setting.name).ok_or_else(|| {
            let call = format!("{:?} is not a kernel setting", setting.name);
            Error::new(Kind::InvalidValue, STEP, call).at(pointer)
        })?;
        plan.at(pointer);
        let path = plan.text(format!("sys/{path}")).planning()?;
        let contents = plan.bytes(setting.value.as_bytes()).planning()?;
        plan.push(
            "write the kernel setting",
            Op::WriteProc {
                procfs,
                path,
                contents,
            },
        );
    }
    Ok(())
}

const STEP: &str = "plan a kernel setting";
