//! Requests to the kernel and its answers.
//!
//! The kernel answers a request before the call that sends it returns, so that reading blocks for
//! nothing else: a request costs two system calls, and takes no thread.

use std::cell::Cell;

use netlink_packet_core::{
    Emitable, NLM_F_ACK, NLM_F_ACK_TLVS, NLM_F_CAPPED, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST,
    NLMSG_DONE, NLMSG_ERROR, NLMSG_NOOP, NLMSG_OVERRUN, NetlinkBuffer, NetlinkHeader, NlasIterator,
};
use netlink_sys::{Socket, SocketAddr};

use crate::{
    error::{Error, Kind, Result},
    netns::{NetnsFd, OPEN_SOCKET, open_socket},
};

/// A netlink socket in one network namespace.
pub(crate) struct Netlink {
    socket: Socket,
    sequence_number: Cell<u32>,
}

/// What is sent: its type (`RTM_*`), flags (`NLM_F_*`) and content, and what it is for.
pub(crate) struct Request<'a> {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) body: &'a dyn Emitable,
    pub(crate) step: &'static str,
}

impl Netlink {
    /// A socket in the namespace of the calling thread.
    pub(crate) fn here() -> Result<Self> {
        open_socket(OPEN_SOCKET).map(Netlink::of_socket)
    }

    /// A socket in another namespace.
    pub(crate) fn inside(netns: &NetnsFd) -> Result<Self> {
        netns.socket().map(Netlink::of_socket)
    }

    fn of_socket(socket: Socket) -> Self {
        Netlink {
            socket,
            sequence_number: Cell::new(0),
        }
    }

    /// Asks for a change, and waits until the kernel has made or refused it.
    pub(crate) fn change(
        &self,
        mut request: Request<'_>,
        call: impl FnOnce() -> String,
    ) -> Result<()> {
        request.flags |= NLM_F_ACK;
        let asked = self.exchange(&request, &mut |_, _| {});
        asked.map_err(|refusal| refusal.into_error(request.step, call()))?;
        Ok(())
    }

    /// Asks for one object, which comes as its type and content. Without an answer there is none.
    pub(crate) fn query<T>(
        &self,
        mut request: Request<'_>,
        mut read: impl FnMut(u16, &[u8]) -> Option<T>,
        call: impl FnOnce() -> String,
    ) -> Result<Option<T>> {
        request.flags |= NLM_F_ACK;
        let mut found = None;
        let asked = self.exchange(&request, &mut |kind, body| found = read(kind, body));
        asked.map_err(|refusal| refusal.into_error(request.step, call()))?;
        Ok(found)
    }

    /// Asks for all objects that match.
    pub(crate) fn list<T>(
        &self,
        mut request: Request<'_>,
        mut read: impl FnMut(u16, &[u8]) -> Option<T>,
        call: impl FnOnce() -> String,
    ) -> Result<Vec<T>> {
        request.flags |= NLM_F_DUMP;
        let mut read_all = || -> Result<Vec<T>, Refusal> {
            for _ in 0..LIST_TRIES {
                let mut all = Vec::new();
                if self.exchange(&request, &mut |kind, body| all.extend(read(kind, body)))? {
                    return Ok(all);
                }
            }
            Err(Refusal::of_number(libc::EAGAIN))
        };
        read_all().map_err(|refusal| refusal.into_error(request.step, call()))
    }

    /// False when a list changed while the kernel wrote it, so that objects may be missing or there twice.
    fn exchange(
        &self,
        request: &Request<'_>,
        take: &mut dyn FnMut(u16, &[u8]),
    ) -> Result<bool, Refusal> {
        let mut is_consistent = true;
        let sequence_number = self.sequence_number.get().wrapping_add(1);
        self.sequence_number.set(sequence_number);
        let message = request.encode(sequence_number);
        self.socket.send_to(&message, &SocketAddr::new(0, 0), 0)?;
        let mut received = Vec::with_capacity(MAX_ANSWER_BYTES);
        loop {
            self.receive(&mut received)?;
            let mut rest = received.as_slice();
            while let Ok(answer) = NetlinkBuffer::new_checked(rest) {
                if answer.sequence_number() == sequence_number {
                    let (kind, flags) = (answer.message_type(), answer.flags());
                    is_consistent &= flags & NLM_F_DUMP_INTR == 0;
                    if is_end(kind, flags, answer.payload(), take)? {
                        return Ok(is_consistent);
                    }
                }
                let length = usize::try_from(answer.length()).unwrap_or(usize::MAX);
                rest = rest.get(aligned(length)..).unwrap_or_default();
            }
        }
    }

    /// One datagram of the kernel. Whoever may configure the namespace can send to this socket,
    /// too: the container itself, in a namespace that is joined.
    fn receive(&self, received: &mut Vec<u8>) -> Result<(), Refusal> {
        loop {
            received.clear();
            match self.socket.recv_from(received, libc::MSG_TRUNC) {
                Ok((_, sender)) if sender.port_number() != 0 => {}
                Ok((length, _)) if length > received.len() => return Err(Refusal::TooLong(length)),
                Ok(_) => return Ok(()),
                Err(error) if error.raw_os_error() == Some(libc::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl<'a> Request<'a> {
    /// Without flags.
    pub(crate) fn new(kind: u16, body: &'a dyn Emitable, step: &'static str) -> Self {
        Request {
            kind,
            flags: 0,
            body,
            step,
        }
    }

    fn encode(&self, sequence_number: u32) -> Vec<u8> {
        let length = NETLINK_HEADER_BYTES + self.body.buffer_len();
        let mut header = NetlinkHeader::default();
        header.length = u32::try_from(length).unwrap_or(u32::MAX);
        header.message_type = self.kind;
        header.flags = self.flags | NLM_F_REQUEST;
        header.sequence_number = sequence_number;
        let mut bytes = vec![0; length];
        let (start, end) = bytes.split_at_mut(NETLINK_HEADER_BYTES);
        header.emit(start);
        self.body.emit(end);
        bytes
    }
}

/// Looks at one message of an answer, and gives it to `take` if it is an object.
fn is_end(
    kind: u16,
    flags: u16,
    payload: &[u8],
    take: &mut dyn FnMut(u16, &[u8]),
) -> Result<bool, Refusal> {
    match kind {
        NLMSG_NOOP => Ok(false),
        NLMSG_OVERRUN => Err(Refusal::of_number(libc::ENOBUFS)),
        // A list that ends early says why in the same place as a refusal.
        NLMSG_ERROR | NLMSG_DONE => match payload.first_chunk().map(|n| i32::from_ne_bytes(*n)) {
            None | Some(0..) => Ok(true),
            Some(number) => Err(Refusal::Errno {
                errno: number.saturating_neg(),
                text: payload.get(4..).and_then(|rest| kernel_text(flags, rest)),
            }),
        },
        _ => {
            take(kind, payload);
            Ok(false)
        }
    }
}

/// Why there is no answer; the step and the call are put in front of it.
enum Refusal {
    Errno { errno: i32, text: Option<String> },
    TooLong(usize),
    Io(std::io::Error),
}

impl Refusal {
    fn of_number(errno: i32) -> Self {
        Refusal::Errno { errno, text: None }
    }

    fn into_error(self, step: &'static str, call: String) -> Error {
        match self {
            Refusal::Errno { errno, text } => {
                Error::from_errno(step, call, errno).with_kernel_text(text)
            }
            Refusal::Io(error) => Error::from_io(step, call, &error),
            Refusal::TooLong(length) => Error::new(
                Kind::Kernel,
                step,
                format!("{call}: an answer of {length} bytes"),
            ),
        }
    }
}

impl From<std::io::Error> for Refusal {
    fn from(error: std::io::Error) -> Self {
        Refusal::Io(error)
    }
}

/// The sentence in a refusal: after the header of the request, or after the request when the
/// kernel repeats it whole, come attributes.
fn kernel_text(flags: u16, payload: &[u8]) -> Option<String> {
    if flags & NLM_F_ACK_TLVS == 0 {
        return None;
    }
    let length = u32::from_ne_bytes(*payload.first_chunk()?);
    let skipped = match flags & NLM_F_CAPPED {
        0 => usize::try_from(length).ok()?,
        _ => NETLINK_HEADER_BYTES,
    };
    let (_, text) = attributes(payload.get(aligned(skipped)..)?)
        .find(|(kind, _)| *kind == NLMSGERR_ATTR_MSG)?;
    Some(text_of(text))
}

/// Types and values of the attributes in these bytes, up to the first that is cut off.
pub(crate) fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let attributes = NlasIterator::new(bytes).map_while(std::result::Result::ok);
    attributes.map(|attribute| {
        let end = usize::from(attribute.length());
        let value = attribute.into_inner().get(ATTRIBUTE_HEADER_BYTES..end);
        (attribute.kind(), value.unwrap_or_default())
    })
}

/// Text up to the byte that ends it.
pub(crate) fn text_of(value: &[u8]) -> String {
    let text = value.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

fn aligned(length: usize) -> usize {
    length.saturating_add(3) & !3
}

/// Source: include/uapi/linux/netlink.h, also below.
const NETLINK_HEADER_BYTES: usize = 16;
const ATTRIBUTE_HEADER_BYTES: usize = 4;
const NLMSGERR_ATTR_MSG: u16 = 1;
/// How often a list is read anew that changes meanwhile.
const LIST_TRIES: u32 = 64;
/// The kernel puts as much as fits into an answer with many objects; one object has a few KiB.
const MAX_ANSWER_BYTES: usize = 32768;

#[cfg(test)]
mod tests {
    use netlink_packet_core::DefaultNla;
    use netlink_sys::protocols::NETLINK_ROUTE;

    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = u16::try_from(4 + value.len())
            .unwrap()
            .to_ne_bytes()
            .to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(aligned(bytes.len()), 0);
        bytes
    }

    #[test]
    fn sentence_of_the_kernel_is_found_behind_other_attributes() {
        let mut capped = vec![0; NETLINK_HEADER_BYTES];
        capped[0] = 200;
        capped.extend(attribute(2, &[1, 2, 3, 4]));
        capped.extend(attribute(NLMSGERR_ATTR_MSG, b"Invalid\0"));
        let flags = NLM_F_ACK_TLVS | NLM_F_CAPPED;
        assert_eq!(kernel_text(flags, &capped).as_deref(), Some("Invalid"));

        let mut whole = vec![0; 22];
        whole[0] = 22;
        whole.resize(24, 0);
        whole.extend(attribute(NLMSGERR_ATTR_MSG, b"Other\0"));
        assert_eq!(
            kernel_text(NLM_F_ACK_TLVS, &whole).as_deref(),
            Some("Other")
        );
        assert_eq!(kernel_text(NLM_F_CAPPED, &capped), None);
    }

    #[test]
    fn refusal_cut_off_anywhere_has_no_sentence_and_no_panic() {
        let mut capped = vec![0; NETLINK_HEADER_BYTES];
        capped.extend(attribute(NLMSGERR_ATTR_MSG, b"Invalid\0"));
        for end in 0..capped.len() {
            let flags = NLM_F_ACK_TLVS | NLM_F_CAPPED;
            assert_eq!(kernel_text(flags, &capped[..end]), None, "{end}");
        }
        let endless = [[0; NETLINK_HEADER_BYTES].as_slice(), &[0; 16]].concat();
        assert_eq!(kernel_text(NLM_F_ACK_TLVS | NLM_F_CAPPED, &endless), None);
    }

    #[test]
    fn answer_that_is_not_from_the_kernel_is_not_taken() {
        let mut netlink = Netlink::here().unwrap();
        let own_port = netlink.socket.bind_auto().unwrap();
        // "Done", to the request that comes next.
        let message = Request {
            kind: NLMSG_ERROR,
            flags: 0,
            body: &DefaultNla::new(0, Vec::new()),
            step: "",
        };
        let mut forged = message.encode(1);
        forged[NETLINK_HEADER_BYTES..].fill(0);
        let forger = Socket::new(NETLINK_ROUTE).unwrap();
        if let Err(error) = forger.send_to(&forged, &own_port, 0) {
            println!("SKIP answer_that_is_not_from_the_kernel_is_not_taken: {error}");
            return;
        }
        let error = netlink.link("ns-no-such").unwrap_err();
        assert_eq!(error.errno(), Some(libc::ENODEV), "{error}");
    }

    #[test]
    fn attributes_end_where_one_is_cut_off() {
        let mut bytes = attribute(3, b"eth0\0");
        bytes.extend(attribute(4, &[1, 0, 0, 0]));
        let read = |bytes: &[u8]| attributes(bytes).map(|(kind, _)| kind).collect::<Vec<_>>();
        assert_eq!(read(&bytes), [3, 4]);
        assert_eq!(read(&bytes[..bytes.len() - 1]), [3]);
        assert_eq!(attributes(&bytes).next(), Some((3, b"eth0\0".as_slice())));
        assert_eq!(read(&[0; 8]), [0; 0]);
    }
}
