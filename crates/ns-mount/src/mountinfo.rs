//! `/proc/PID/mountinfo`, read as bytes (`proc_pid_mountinfo(5)`).

use std::collections::HashSet;

use crate::error::{Error, Kind, Result};

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MountEntry {
    pub(crate) mount_point: Vec<u8>,
    pub(crate) fstype: Vec<u8>,
    pub(crate) super_options: Vec<u8>,
}

/// Every line, in the kernel's order.
///
/// # Errors
/// `InvalidValue` for a line that the kernel would not write.
pub(crate) fn parse(bytes: &[u8]) -> Result<Vec<MountEntry>> {
    let lines = bytes.split(|byte| *byte == b'\n');
    lines
        .filter(|line| !line.is_empty())
        .map(|line| {
            parse_line(line).ok_or_else(|| {
                let shown = String::from_utf8_lossy(line).into_owned();
                Error::new(
                    Kind::InvalidValue,
                    "read mountinfo",
                    format!("line {shown:?}"),
                )
            })
        })
        .collect()
}

/// The mount points that lie below no other but `/`, one entry per mount: stacked ones appear again.
pub(crate) fn top_mount_points(entries: &[MountEntry]) -> Vec<&[u8]> {
    let places = entries.iter().map(|entry| entry.mount_point.as_slice());
    let below_root = places.filter(|place| *place != b"/");
    let all: HashSet<&[u8]> = below_root.clone().collect();
    below_root
        .filter(|place| !parents(place).any(|parent| all.contains(parent)))
        .collect()
}

fn parents(place: &[u8]) -> impl Iterator<Item = &[u8]> {
    let slashes = place.iter().enumerate().skip(1);
    slashes
        .filter(|(_, byte)| **byte == b'/')
        .map(|(end, _)| &place[..end])
}

/// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`
fn parse_line(line: &[u8]) -> Option<MountEntry> {
    let mut fields = line.split(|byte| *byte == b' ');
    let mount_point = unescape(fields.nth(4)?);
    fields.find(|field| *field == b"-")?;
    let fstype = unescape(fields.next()?);
    let super_options = fields.nth(1)?.to_vec();
    Some(MountEntry {
        mount_point,
        fstype,
        super_options,
    })
}

/// Space, tab, newline and backslash stand as a backslash and three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        rest = match (first, octal(tail)) {
            (b'\\', Some(byte)) => {
                plain.push(byte);
                &tail[3..]
            }
            _ => {
                plain.push(*first);
                tail
            }
        };
    }
    plain
}

fn octal(digits: &[u8]) -> Option<u8> {
    let digits = digits.get(..3)?;
    let text = std::str::from_utf8(digits).ok()?;
    let octal_only = digits.iter().all(|digit| (b'0'..=b'7').contains(digit));
    octal_only.then(|| u8::from_str_radix(text, 8).ok())?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn mountinfo_of_the_manual_is_read() {
        let text =
            b"36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 - ext3 /dev/root rw,errors=x\n\
            37 36 0:5 / / rw - tmpfs none rw\n";
        let entries = parse(text).unwrap();
        assert_eq!(entries[0].mount_point, b"/mnt 2");
        assert_eq!(entries[0].fstype, b"ext3");
        assert_eq!(entries[0].super_options, b"rw,errors=x");
        assert_eq!(entries[1].mount_point, b"/", "no optional field is fine");
    }

    #[test]
    fn mountinfo_that_is_cut_off_is_refused() {
        for text in [
            "x",
            "1 2 3:4 / /",
            "1 2 3:4 / / rw - ext4",
            "1 2 3:4 / / rw - ext4 src",
        ] {
            assert_eq!(
                parse(text.as_bytes()).unwrap_err().kind(),
                Kind::InvalidValue
            );
        }
    }

    #[test]
    fn top_mount_points_leave_out_what_lies_below_and_repeat_what_is_stacked() {
        let line = |place: &str| format!("1 1 0:1 / {place} rw - tmpfs none rw\n");
        let text: String = ["/", "/dev", "/dev/pts", "/devel", "/run", "/run"]
            .map(line)
            .concat();
        let entries = parse(text.as_bytes()).unwrap();
        let found = top_mount_points(&entries);
        assert_eq!(found, [b"/dev".as_slice(), b"/devel", b"/run", b"/run"]);
    }

    proptest! {
        #[test]
        fn mountinfo_never_panics(bytes: Vec<u8>) {
            drop(parse(&bytes));
        }

        #[test]
        fn mountinfo_fields_survive_the_kernels_escapes(place in "/[ \\\\\\ta-z0-9]{0,20}") {
            let escaped: String = place.bytes().map(|byte| match byte {
                b' ' | b'\t' | b'\n' | b'\\' => format!("\\{byte:03o}"),
                _ => char::from(byte).to_string(),
            }).collect();
            let line = format!("1 1 0:1 / {escaped} rw shared:1 - tmpfs none rw");
            prop_assert_eq!(&parse(line.as_bytes()).unwrap()[0].mount_point, place.as_bytes());
        }
    }
}
