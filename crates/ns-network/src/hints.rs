//! Advice for errors that mislead: (step, errno) to a sentence.

use crate::{
    link::{ADD_TO_BRIDGE, CREATE, MOVE},
    netns::ENTER,
    new_netns::MAKE,
    route::{ADD_ADDRESS, ADD_ROUTE},
};

/// The way out of a failed step, where one is known.
pub(crate) fn hint(step: &'static str, errno: i32) -> Option<&'static str> {
    let hint = match (step, errno) {
        (ENTER, libc::EPERM) => {
            "entering takes CAP_SYS_ADMIN in the own user namespace and over the network namespace"
        }
        (ENTER, libc::ESRCH) => "the process has ended",
        (MAKE, libc::EPERM) => {
            "a network namespace takes CAP_SYS_ADMIN, or a user namespace with it"
        }
        (MAKE, libc::ENOSPC) => {
            "the limit of network namespaces is reached; see /proc/sys/user/max_net_namespaces"
        }
        (_, libc::EPERM) => {
            "this takes CAP_NET_ADMIN over the network namespaces of both ends; a user namespace \
             of its own gives no right over the host's interfaces"
        }
        (CREATE, libc::EOPNOTSUPP) => {
            "the kernel has no interfaces of this kind; load its module, or build it in"
        }
        (CREATE | ADD_TO_BRIDGE, libc::EBUSY) => {
            "the interface on the host already belongs to a bridge, bond, macvlan or ipvlan"
        }
        (ADD_TO_BRIDGE, libc::EXFULL) => "a bridge has at most 1023 ports",
        (MOVE, libc::EINVAL) => "some interfaces belong to their namespace and cannot be moved",
        (ADD_ADDRESS, libc::EEXIST) => "the interface has this address already",
        (ADD_ROUTE, libc::ENETUNREACH | libc::EHOSTUNREACH) => {
            "the gateway must lie in the network of an address of the interface, or of an earlier \
             route"
        }
        (ADD_ROUTE, libc::EEXIST) => "there is a route to this destination already",
        (ADD_ADDRESS | ADD_ROUTE, libc::EACCES) => {
            "IPv6 is switched off; see net.ipv6.conf.*.disable_ipv6"
        }
        _ => return None,
    };
    Some(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_that_mislead_have_advice() {
        for (step, errno, word) in [
            (ENTER, libc::EPERM, "CAP_SYS_ADMIN"),
            (ENTER, libc::ESRCH, "ended"),
            (MAKE, libc::EPERM, "CAP_SYS_ADMIN"),
            (MAKE, libc::ENOSPC, "max_net_namespaces"),
            (CREATE, libc::EPERM, "CAP_NET_ADMIN"),
            (CREATE, libc::EOPNOTSUPP, "module"),
            (ADD_TO_BRIDGE, libc::EBUSY, "already belongs"),
            (ADD_TO_BRIDGE, libc::EXFULL, "1023"),
            (MOVE, libc::EINVAL, "cannot be moved"),
            (ADD_ADDRESS, libc::EEXIST, "has this address"),
            (ADD_ROUTE, libc::ENETUNREACH, "gateway"),
            (ADD_ROUTE, libc::EEXIST, "route to this destination"),
            (ADD_ADDRESS, libc::EACCES, "disable_ipv6"),
        ] {
            assert!(hint(step, errno).unwrap().contains(word), "{step} {errno}");
        }
        assert_eq!(hint(ADD_ROUTE, libc::EIO), None);
    }
}
