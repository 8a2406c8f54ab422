//! The nearest accepted word to a mistyped one.

/// The candidate nearest to `word` without regard to case, when it is near enough to be meant.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    // A hostile document may hold huge keys; nothing that long is a typo.
    if word.len() > 64 {
        return None;
    }
    let word = word.to_ascii_lowercase();
    let limit = (word.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .map(|candidate| (distance(&word, &candidate.to_ascii_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Edits (insert, delete, replace, swap of neighbours) between two words.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().collect();
    let b: Vec<char> = b.chars().collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for a_idx in 0..a.len() {
        let mut row = vec![a_idx + 1];
        for b_idx in 0..b.len() {
            let replaced = last[b_idx] + usize::from(a[a_idx] != b[b_idx]);
            let mut best = replaced.min(last[b_idx + 1] + 1).min(row[b_idx] + 1);
            let swapped =
                a_idx > 0 && b_idx > 0 && a[a_idx] == b[b_idx - 1] && a[a_idx - 1] == b[b_idx];
            if swapped {
                best = best.min(before_last[b_idx - 1] + 1);
            }
            row.push(best);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_finds_typos_and_ignores_strangers() {
        let words = ["hostname", "user", "cgroups", "NEWPID", "NEWNET"];
        for (typo, expected) in [
            ("hostnam", Some("hostname")),
            ("Hostanme", Some("hostname")),
            ("cgroup", Some("cgroups")),
            ("NEWPIDS", Some("NEWPID")),
            ("newnet", Some("NEWNET")),
            ("entirely", None),
            ("", None),
        ] {
            assert_eq!(nearest(typo, words), expected, "{typo:?}");
        }
    }
}
