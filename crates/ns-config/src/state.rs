//! placeholder
/// State.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {}
