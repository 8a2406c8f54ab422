//! What runs in a container, or looks into it, instead of a command: `nsinit exec --func NAME`.

use std::ffi::OsString;
use std::fmt::Write as _;

use ns_config::{Device, DeviceKind};
use ns_exec::{Container, Interface};

use crate::report::{Failure, print};

/// The table that `--list` prints.
pub(super) const LIST: &str = "NAME\tUSAGE\n\
    exec\texecute a command\n\
    ip\tlist the network interfaces\n\
    mknod\tmake a device node: mknod PATH TYPE MAJOR MINOR\n";

/// A function other than exec.
#[derive(Clone, Copy, Debug)]
pub(super) enum Function {
    Mknod,
    Ip,
}

impl Function {
    /// `None` for `exec`, which is no function but the command itself.
    pub(super) fn parse(name: &str) -> Result<Option<Self>, Failure> {
        match name {
            "exec" => Ok(None),
            "mknod" => Ok(Some(Function::Mknod)),
            "ip" => Ok(Some(Function::Ip)),
            name => Err(
                Failure::new(format!("--func {name}: there is no such function"))
                    .with_hint("nsinit exec --list tells which there are"),
            ),
        }
    }

    pub(super) fn call(self, container: &Container<'_>, words: &[OsString]) -> Result<u8, Failure> {
        match self {
            Function::Mknod => container.make_node(&device(words)?)?,
            Function::Ip if words.is_empty() => print(&table(&container.interfaces()?))?,
            Function::Ip => return Err(Failure::new("--func ip takes no arguments".to_owned())),
        }
        Ok(0)
    }
}

/// The first letter of the type counts, as ever; mode 0 and root as owner, too.
fn device(words: &[OsString]) -> Result<Device, Failure> {
    let usage = |what: String| {
        Failure::new(format!("--func mknod: {what}")).with_hint(
            "nsinit exec --func mknod -- PATH TYPE MAJOR MINOR, such as /dev/fuse c 10 229",
        )
    };
    let texts: Option<Vec<&str>> = words.iter().map(|word| word.to_str()).collect();
    let [path, kind, major, minor] = texts.as_deref().unwrap_or_default() else {
        return Err(usage("takes a path, a type and two numbers".to_owned()));
    };
    let number = |text: &str| {
        text.parse::<u32>()
            .map_err(|error| usage(format!("{text:?}: {error}")))
    };
    let kind = match kind.chars().next() {
        Some('c' | 'u') => DeviceKind::Char,
        Some('b') => DeviceKind::Block,
        Some('p') => DeviceKind::Fifo,
        _ => return Err(usage(format!("{kind:?} is no type; c, b and p are"))),
    };
    let (major, minor) = (number(major)?, number(minor)?);
    Ok(Device {
        kind,
        ..Device::char(path, major, minor, 0)
    })
}

fn table(interfaces: &[Interface]) -> String {
    let rows = interfaces.iter().map(|one| {
        let addresses: Vec<String> = one.addresses.iter().map(ToString::to_string).collect();
        [
            // Somebody inside chose it.
            one.name.escape_debug().to_string(),
            one.mtu_bytes
                .map_or_else(String::new, |mtu| mtu.to_string()),
            one.mac_address
                .map_or_else(String::new, |mac| mac.to_string()),
            one.flag_words(),
            addresses.join(","),
        ]
    });
    let heads = ["NAME", "MTU", "MAC", "FLAG", "ADDRS"].map(str::to_owned);
    let rows: Vec<[String; 5]> = std::iter::once(heads).chain(rows).collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let widest = rows.iter().map(|row| row[column].chars().count()).max();
            let width = widest.unwrap_or_default() + 2;
            let _fits = write!(line, "{cell:width$}");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_mknod_are_four() {
        let read = |words: &[&str]| {
            let words: Vec<OsString> = words.iter().map(OsString::from).collect();
            device(&words).ok()
        };
        let fuse = read(&["/dev/fuse", "char", "10", "229"]).unwrap();
        assert_eq!(fuse, Device::char("/dev/fuse", 10, 229, 0));
        for words in [
            &["/dev/fuse", "c", "10"][..],
            &["/dev/fuse", "x", "10", "229"],
            &["/dev/fuse", "", "10", "229"],
            &["/dev/fuse", "c", "-1", "229"],
            &["/dev/fuse", "c", "10", "229", "0"],
        ] {
            assert_eq!(read(words), None, "{words:?}");
        }
    }
}
