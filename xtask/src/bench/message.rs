//! Messages of rtnetlink for the floor program, in hexadecimal digits.
//!
//! Numbers: `include/uapi/linux/{netlink,rtnetlink,if_link,if_addr,veth}.h`.

/// A message that is put together from the start to the end.
struct Message(Vec<u8>);

/// A veth pair, the end on the host up and a port of the bridge of this index; with the offsets of the
/// number of the process that gets the other end, and of the digits in the name on the host.
pub(super) fn pair(bridge_index: u32) -> (String, usize, usize) {
    const NEW_LINK: u16 = 16;
    let mut message = Message::new(NEW_LINK);
    message.link_that_is_up();
    let name_at = message.attribute(3, b"fl0000000\0") + 2;
    message.attribute(10, &bridge_index.to_ne_bytes());
    let mut pid_at = 0;
    message.nest(18, |message| {
        message.attribute(1, b"veth\0");
        message.nest(2, |message| {
            message.nest(1, |message| {
                message.0.extend([0; 16]);
                message.attribute(3, b"eth0\0");
                pid_at = message.attribute(19, &[0; 4]);
            });
        });
    });
    (message.finish(), pid_at, name_at)
}

/// An interface that comes up, with the offset of its index.
pub(super) fn up() -> (String, usize) {
    const SET_LINK: u16 = 19;
    let mut message = Message::new(SET_LINK);
    message.link_that_is_up();
    (message.finish(), 20)
}

/// The address of an interface, with the offset of its index.
pub(super) fn address(address: [u8; 4], prefix_len: u8, broadcast: [u8; 4]) -> (String, usize) {
    const NEW_ADDRESS: u16 = 20;
    let mut message = Message::new(NEW_ADDRESS);
    message.0.extend([AF_INET, prefix_len, 0, 0]);
    let index_at = message.0.len();
    message.0.extend([0; 4]);
    message.attribute(2, &address);
    message.attribute(1, &address);
    message.attribute(4, &broadcast);
    (message.finish(), index_at)
}

/// The default route, with the offset of the interface's index.
pub(super) fn default_route(gateway: [u8; 4]) -> (String, usize) {
    const NEW_ROUTE: u16 = 24;
    // RT_TABLE_MAIN, RTPROT_BOOT, RT_SCOPE_UNIVERSE, RTN_UNICAST.
    let header = [AF_INET, 0, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0];
    let mut message = Message::new(NEW_ROUTE);
    message.0.extend(header);
    message.attribute(5, &gateway);
    let index_at = message.attribute(4, &[0; 4]);
    (message.finish(), index_at)
}

const AF_INET: u8 = 2;

impl Message {
    fn new(kind: u16) -> Self {
        // NLM_F_REQUEST, ACK, EXCL, CREATE.
        const FLAGS: u16 = 0x605;
        let mut bytes = vec![0; 4];
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(FLAGS.to_ne_bytes());
        bytes.extend(1_u32.to_ne_bytes());
        bytes.extend([0; 4]);
        Message(bytes)
    }

    /// `struct ifinfomsg` with `IFF_UP`.
    fn link_that_is_up(&mut self) {
        self.0.extend([0; 8]);
        self.0.extend([1_u32, 1].map(u32::to_ne_bytes).concat());
    }

    /// Gives the offset of the value.
    fn attribute(&mut self, kind: u16, value: &[u8]) -> usize {
        let mut at = 0;
        self.nest(kind, |message| {
            at = message.0.len();
            message.0.extend(value);
        });
        at
    }

    fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Message)) {
        let start = self.0.len();
        self.0.extend([0; 2]);
        self.0.extend(kind.to_ne_bytes());
        fill(self);
        let length = u16::try_from(self.0.len() - start).unwrap_or(u16::MAX);
        self.0[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    fn finish(mut self) -> String {
        let length = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        self.0[..4].copy_from_slice(&length.to_ne_bytes());
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_those_of_the_values() {
        let at = |text: &str, offset: usize, n_bytes: usize| {
            text[2 * offset..2 * (offset + n_bytes)].to_owned()
        };
        let (text, pid_at, name_at) = pair(7);
        assert_eq!(at(&text, name_at, 8), "3030303030303000", "seven digits");
        assert_eq!(at(&text, pid_at, 4), "00000000");
        assert_eq!(pid_at + 4, text.len() / 2, "the last attribute");
        let length = u32::try_from(text.len() / 2).expect("short");
        let head: String = length
            .to_ne_bytes()
            .map(|byte| format!("{byte:02x}"))
            .concat();
        assert_eq!(at(&text, 0, 4), head);
        let (text, index_at) = default_route([10, 9, 0, 1]);
        assert_eq!(at(&text, index_at - 4, 4), "08000400");
    }
}
