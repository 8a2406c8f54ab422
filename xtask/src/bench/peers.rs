//! The other programs, told to make the same.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::contender::{Contender, Way};
use super::place::Place;
use super::recipe::Recipe;
use crate::debian;
use crate::failure::{Result, While};

/// bubblewrap with the namespaces, mounts and links of the recipe; it has no masks.
pub(super) fn bubblewrap(recipe: &Recipe, directory: &Path) -> Contender {
    let mut words: Vec<OsString> = vec![path_of("bwrap").into()];
    for (flag, option) in [
        (0x2000_0000, "--unshare-pid"),
        (0x0800_0000, "--unshare-ipc"),
        (0x0400_0000, "--unshare-uts"),
        (0x4000_0000, "--unshare-net"),
        (0x0200_0000, "--unshare-cgroup"),
        (0x1000_0000, "--unshare-user"),
    ] {
        if recipe.namespaces & flag != 0 {
            words.push(option.into());
        }
    }
    for step in &recipe.steps {
        let fields: Vec<&str> = step.split('\u{1}').collect();
        words.extend(bubblewrap_words(&fields).into_iter().map(OsString::from));
    }
    words.extend(["--", "/true"].map(OsString::from));
    program("bwrap", "floor sandbox", words, directory)
}

fn bubblewrap_words(fields: &[&str]) -> Vec<String> {
    let inside = |path: &str| format!("/{path}");
    match fields {
        // What lies below /dev comes with --dev, what lies below /proc is a mask.
        [_, path, ..] | [_, _, path, ..]
            if path.starts_with("dev/") || path.starts_with("proc/") =>
        {
            Vec::new()
        }
        ["b", _, path, _] if path.starts_with("proc/") => Vec::new(),
        ["n", _, path, ..] if path.starts_with("dev/") || path.starts_with("proc/") => Vec::new(),
        ["n", "proc", path, ..] => vec!["--proc".into(), inside(path)],
        ["n", "tmpfs", "dev", ..] => vec!["--dev".into(), inside("dev")],
        ["n", "tmpfs", path, ..] => vec!["--tmpfs".into(), inside(path)],
        // The null device over a file.
        ["b", "/dev/null", ..] => Vec::new(),
        ["b", source, path, "0"] if source.starts_with('/') => {
            vec!["--bind".into(), (*source).into(), inside(path)]
        }
        ["b", source, path, _] if source.starts_with('/') => {
            vec!["--ro-bind".into(), (*source).into(), inside(path)]
        }
        ["l", path, target] => vec!["--symlink".into(), (*target).into(), inside(path)],
        _ => Vec::new(),
    }
}

/// runc and crun with the default configuration of `runc spec`, without a terminal.
pub(super) fn engines(place: &Place) -> Result<Vec<Contender>> {
    let Some(bundle) = bundle(place, "bundle", |_| {})? else {
        return Ok(Vec::new());
    };
    let engine = |name: &'static str| {
        let words = [path_of(name), "run", "{id}"].map(OsString::from).to_vec();
        program(name, "floor run", words, &bundle)
    };
    Ok(vec![engine("runc"), engine("crun")])
}

/// A bundle for runc and crun with the changes of `change`; none when there is no runc.
pub(super) fn bundle(
    place: &Place,
    name: &str,
    change: impl FnOnce(&mut Value),
) -> Result<Option<PathBuf>> {
    let bundle = place.directory.join(name);
    crate::tree::make_directory(&bundle)?;
    let file = bundle.join("config.json");
    if file.exists() {
        fs::remove_file(&file).while_doing(file.display())?;
    }
    let spec = Command::new(path_of("runc"))
        .arg("spec")
        .current_dir(&bundle)
        .status();
    if !spec.is_ok_and(|status| status.success()) {
        return Ok(None);
    }
    let text = fs::read(&file).while_doing(file.display())?;
    let mut config: Value = serde_json::from_slice(&text).while_doing(file.display())?;
    config["process"]["terminal"] = json!(false);
    config["process"]["args"] = json!(["/true"]);
    config["root"]["path"] = json!(place.rootfs);
    change(&mut config);
    fs::write(&file, config.to_string()).while_doing(file.display())?;
    Ok(Some(bundle))
}

/// Where Debian puts the program; its name alone when it is not there.
pub(super) fn path_of(name: &'static str) -> &'static str {
    let is_it = |file: &&str| file.ends_with(&format!("/{name}"));
    let found = debian::PEERS
        .iter()
        .filter(|peer| peer.is_met())
        .map(|peer| peer.file)
        .find(is_it);
    found.unwrap_or(name)
}

/// A contender that is a program of its own.
pub(super) fn program(
    name: &'static str,
    floor: &'static str,
    words: Vec<OsString>,
    directory: &Path,
) -> Contender {
    Contender {
        name,
        floor,
        way: Way::Program(words, PathBuf::from(directory)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_become_words_of_bubblewrap() {
        for (step, expected) in [
            (vec!["b", "/usr", "usr", "7"], "--ro-bind /usr /usr"),
            (vec!["b", "/dev/null", "etc/shadow", "0"], ""),
            (vec!["b", "proc/sys", "proc/sys", "1"], ""),
            (vec!["n", "proc", "proc", "14", ""], "--proc /proc"),
            (vec!["n", "tmpfs", "dev", "2", "mode=755"], "--dev /dev"),
            (vec!["n", "devpts", "dev/pts", "2", ""], ""),
            (vec!["n", "tmpfs", "tmp", "2", ""], "--tmpfs /tmp"),
            (vec!["l", "bin", "usr/bin"], "--symlink usr/bin /bin"),
            (vec!["d", "usr"], ""),
            (vec!["f", ".", "3"], ""),
        ] {
            assert_eq!(bubblewrap_words(&step).join(" "), expected);
        }
    }
}
