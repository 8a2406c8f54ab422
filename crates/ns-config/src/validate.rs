//! Placeholder.
use crate::{Config, Problems};
impl Config {
    /// Checks.
    ///
    /// # Errors
    /// All.
    pub fn validate(&self) -> Result<(), Problems> {
        Problems::default().into_result()
    }
}
