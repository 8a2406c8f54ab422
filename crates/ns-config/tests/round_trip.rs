//! Whatever `container.json` can express is written so that it is read back the same.

mod generate;

use std::{collections::BTreeMap, ffi::OsString, os::unix::ffi::OsStringExt};

use generate::{config, namespaces, user_mount, whole};
use ns_config::{Config, ContainerState, state::Phase};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn config_that_is_written_is_read_back_the_same(config in whole()) {
        let written = config.to_seed().map_err(|error| TestCaseError::fail(error.to_string()))?;
        let read = Config::from_seed(written.as_bytes())
            .map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(read.without_pointers(), config, "{}", written);
    }

    #[test]
    fn config_in_a_container_state_is_read_back_the_same(
        config in config(),
        bytes: Vec<u8>,
        namespaces in namespaces(),
        mounts in prop::collection::vec(user_mount(), 0..3),
    ) {
        let mut config = Config { namespaces, mounts, ..config };
        config.process.environment.push(OsString::from_vec(bytes));
        let state = ContainerState {
            schema_version: ContainerState::SCHEMA_VERSION,
            id: "box".to_owned(),
            boot_id: "b".to_owned(),
            init_pid: 1,
            init_start_ticks: 1,
            namespace_inodes: BTreeMap::new(),
            cgroup_paths: BTreeMap::new(),
            made_cgroup_paths: Vec::new(),
            host_interfaces: Vec::new(),
            phase: Phase::Running,
            command: vec!["sh".into()],
            config,
        };
        let read = ContainerState::from_json(state.to_json().as_bytes());
        prop_assert_eq!(read.map_err(|error| TestCaseError::fail(error.to_string()))?, state);
    }

    #[test]
    fn reader_and_validator_of_any_text_never_panic(text in "[\\[\\]{}:,\"a-z0-9_ -]{0,60}") {
        if let Ok(config) = Config::from_seed(text.as_bytes()) {
            let problems = config.validate();
            prop_assert!(problems.is_ok() || problems.is_err_and(|problems| !problems.is_empty()));
        }
    }

    #[test]
    fn reader_of_a_sample_with_one_byte_changed_never_panics(place: prop::sample::Index, byte: u8) {
        let mut text = include_bytes!("data/every_key.json").to_vec();
        let place = place.index(text.len());
        text[place] = byte;
        if let Ok(config) = Config::from_seed(&text) {
            let again = config.to_seed().unwrap();
            let read = Config::from_seed(again.as_bytes()).unwrap();
            prop_assert_eq!(read.without_pointers(), config.without_pointers());
        }
    }
}
