//! Types that a snapshot of a configuration writes as their text, and reads back by parsing it, so
//! that a damaged snapshot cannot hold a value that the parser refuses.

use crate::{error::Error, network::IpPrefix, rlimit::Resource, user::UserSpec};

macro_rules! text_form {
    ($($name:ty),*) => {$(
        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(text: String) -> Result<Self, Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }
    )*};
}

text_form!(IpPrefix, Resource, UserSpec);
