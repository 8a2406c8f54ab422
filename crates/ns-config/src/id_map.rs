//! Id maps of user namespaces (`user_namespaces(7)`).

use serde::{Deserialize, Serialize};

use crate::error::{Kind, Problem, Problems};

/// One line of `/proc/PID/uid_map` or `gid_map`.
///
/// # Examples
/// ```
/// use ns_config::IdMap;
///
/// let maps = [IdMap { container_id: 0, host_id: 100_000, size: 65_536 }];
/// assert_eq!(IdMap::host_id(&maps, 33), Some(100_033));
/// assert_eq!(IdMap::render(&maps), "0 100000 65536\n");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdMap {
    /// First id inside.
    pub container_id: u32,
    /// First id outside.
    pub host_id: u32,
    /// How many ids, at least 1.
    pub size: u32,
}

impl IdMap {
    /// The most lines that the kernel takes for one map (since 4.15).
    pub const MAX_LINES: usize = 340;

    /// The id outside that `id` inside stands for; `None` when no line covers it.
    pub fn host_id(maps: &[IdMap], id: u32) -> Option<u32> {
        maps.iter().find_map(|map| {
            let offset = id
                .checked_sub(map.container_id)
                .filter(|offset| *offset < map.size)?;
            map.host_id.checked_add(offset)
        })
    }

    /// The id inside that `id` outside is seen as; `None` when no line covers it.
    pub fn container_id(maps: &[IdMap], id: u32) -> Option<u32> {
        let swapped: Vec<IdMap> = maps.iter().map(IdMap::swapped).collect();
        IdMap::host_id(&swapped, id)
    }

    /// The text for `/proc/PID/uid_map` and `gid_map`: a line `inside outside count` each.
    pub fn render(maps: &[IdMap]) -> String {
        let line = |map: &IdMap| format!("{} {} {}\n", map.container_id, map.host_id, map.size);
        maps.iter().map(line).collect()
    }

    /// Checks what the kernel would refuse with a bare EINVAL.
    ///
    /// # Errors
    /// A problem per line that has no ids, that reaches 4294967295 (which is no id), or that
    /// overlaps an earlier line on either side; and one for more than 340 lines. Pointers are
    /// `<pointer>/<index>`.
    pub fn check(maps: &[IdMap], pointer: &str) -> Result<(), Problems> {
        let mut problems = Problems::none();
        if maps.len() > IdMap::MAX_LINES {
            let problem = Problem::new(Kind::Limit, pointer, maps.len(), "has too many id maps");
            problems.push(problem.accepted("at most 340"));
        }
        for (map_idx, map) in maps.iter().enumerate().take(IdMap::MAX_LINES) {
            if let Some(rule) = map.fault(&maps[..map_idx]) {
                let pointer = format!("{pointer}/{map_idx}");
                problems.push(Problem::new(Kind::InvalidValue, &pointer, map.text(), rule));
            }
        }
        problems.into_result()
    }

    fn fault(&self, earlier: &[IdMap]) -> Option<&'static str> {
        let reaches_end = |first: u32| first.checked_add(self.size).is_none();
        let overlaps = |side: fn(&IdMap) -> u32| {
            earlier.iter().any(|other| {
                let (a, b) = (u64::from(side(self)), u64::from(side(other)));
                a < b + u64::from(other.size) && b < a + u64::from(self.size)
            })
        };
        if self.size == 0 {
            Some("id map has size 0")
        } else if reaches_end(self.container_id) || reaches_end(self.host_id) {
            Some("id map goes beyond the last id, 4294967294")
        } else if overlaps(|map| map.container_id) {
            Some("id map overlaps an earlier one inside the container")
        } else if overlaps(|map| map.host_id) {
            Some("id map overlaps an earlier one on the host")
        } else {
            None
        }
    }

    fn swapped(&self) -> IdMap {
        IdMap {
            container_id: self.host_id,
            host_id: self.container_id,
            size: self.size,
        }
    }

    fn text(&self) -> String {
        format!("{} {} {}", self.container_id, self.host_id, self.size)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn map(container_id: u32, host_id: u32, size: u32) -> IdMap {
        IdMap {
            container_id,
            host_id,
            size,
        }
    }

    #[test]
    fn id_maps_of_the_seeds_userns_sample_are_looked_up_and_rendered() {
        let maps = [map(0, 1000, 1), map(1, 1, 999), map(1001, 1001, 9000)];
        assert!(IdMap::check(&maps, "/uid_mappings").is_ok());
        for (inside, outside) in [
            (0, Some(1000)),
            (1, Some(1)),
            (999, Some(999)),
            (1000, None),
            (10000, Some(10000)),
        ] {
            assert_eq!(IdMap::host_id(&maps, inside), outside, "{inside}");
        }
        assert_eq!(IdMap::container_id(&maps, 1000), Some(0));
        assert_eq!(IdMap::render(&maps), "0 1000 1\n1 1 999\n1001 1001 9000\n");
    }

    #[test]
    fn id_map_that_the_kernel_refuses_is_a_problem_with_its_index() {
        for (maps, pointer) in [
            (vec![map(0, 0, 0)], "/m/0"),
            (vec![map(0, 5, u32::MAX)], "/m/0"),
            (vec![map(u32::MAX, 0, 1)], "/m/0"),
            (vec![map(0, 0, 10), map(9, 100, 1)], "/m/1"),
            (vec![map(0, 0, 10), map(10, 9, 1)], "/m/1"),
            (vec![map(0, 0, 1); 341], "/m"),
        ] {
            let problems = IdMap::check(&maps, "/m").unwrap_err();
            assert_eq!(
                problems.iter().next().unwrap().pointer,
                pointer,
                "{}",
                maps.len()
            );
        }
        assert!(
            IdMap::check(&[map(0, 0, u32::MAX)], "/m").is_ok(),
            "the host's own full map"
        );
    }

    fn any_maps() -> impl Strategy<Value = Vec<IdMap>> {
        let id = prop_oneof![0_u32..40, any::<u32>()];
        let size = prop_oneof![0_u32..20, any::<u32>()];
        let map = (id.clone(), id, size).prop_map(|(c, h, s)| map(c, h, s));
        prop::collection::vec(map, 0..5)
    }

    proptest! {
        #[test]
        fn id_maps_that_pass_are_one_to_one(maps in any_maps(), id in 0_u32..60) {
            prop_assume!(IdMap::check(&maps, "").is_ok());
            let outside = IdMap::host_id(&maps, id);
            prop_assert_ne!(outside, Some(u32::MAX));
            if let Some(outside) = outside {
                prop_assert_eq!(IdMap::container_id(&maps, outside), Some(id));
            }
        }

        #[test]
        fn id_maps_never_overflow(maps in any_maps(), id: u32) {
            let covered = maps.iter().any(|map| {
                let first = u64::from(map.container_id);
                (first..first + u64::from(map.size)).contains(&u64::from(id))
            });
            prop_assert!(covered || IdMap::host_id(&maps, id).is_none());
        }
    }
}
