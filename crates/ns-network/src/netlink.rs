//! Requests to the kernel and its answers.
//!
//! The runtime lives on a thread of its own for one call, so that it can be used from any thread,
//! also from one that runs a runtime already, and is gone when the call returns.

use std::future::Future;

use futures::StreamExt;
use rtnetlink::{
    Handle,
    packet_core::{
        NLM_F_ACK, NLM_F_ACK_TLVS, NLM_F_CAPPED, NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage,
        NetlinkPayload,
    },
    packet_route::RouteNetlinkMessage,
    sys::{AsyncSocket, TokioSocket, protocols::NETLINK_ROUTE},
};
use tokio::runtime::{Builder, Handle as RuntimeHandle, Runtime};

use crate::{
    error::{Error, Kind, Result},
    netns::{NetnsFd, on_own_thread, within},
};

/// A runtime for the length of one call of this crate.
pub(crate) struct Session(Runtime);

/// A netlink socket in one network namespace.
pub(crate) struct Netlink(Handle);

/// What `work` gives on a thread with a runtime.
pub(crate) fn with_session<T: Send>(work: impl FnOnce(&Session) -> Result<T> + Send) -> Result<T> {
    on_own_thread(|| {
        let runtime = Builder::new_current_thread().enable_io().build();
        let runtime = runtime.map_err(|error| Error::from_io(OPEN, "epoll_create1()", &error))?;
        work(&Session(runtime))
    })
}

impl Session {
    /// A socket in the namespace of the calling thread.
    pub(crate) fn here(&self) -> Result<Netlink> {
        Ok(self.connect(open_socket(self.0.handle())?))
    }

    /// A socket in another namespace; the runtime never enters it.
    pub(crate) fn inside(&self, netns: &NetnsFd) -> Result<Netlink> {
        use std::os::fd::AsFd;
        let socket = within(netns.as_fd(), || open_socket(self.0.handle()))??;
        Ok(self.connect(socket))
    }

    /// Runs the work to its end.
    pub(crate) fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.0.block_on(work)
    }

    fn connect(&self, socket: TokioSocket) -> Netlink {
        let (connection, handle, _) = rtnetlink::from_socket(socket);
        // It ends with the runtime, which the session owns.
        drop(self.0.spawn(connection));
        Netlink(handle)
    }
}

/// The socket belongs to the network namespace of the thread that calls this.
fn open_socket(runtime: &RuntimeHandle) -> Result<TokioSocket> {
    let _registered_here = runtime.enter();
    let open = || {
        let socket = TokioSocket::new(NETLINK_ROUTE)?;
        // Refusals carry a sentence, do not repeat the request, and lists hold what was asked for.
        socket.socket_ref().set_ext_ack(true)?;
        socket.socket_ref().set_cap_ack(true)?;
        socket.socket_ref().set_netlink_get_strict_chk(true)?;
        Ok(socket)
    };
    open().map_err(|error: std::io::Error| {
        Error::from_io(OPEN, "socket(AF_NETLINK, NETLINK_ROUTE)", &error)
    })
}

impl Netlink {
    /// Asks for a change, and waits until the kernel has made or refused it.
    pub(crate) async fn change(
        &self,
        message: RouteNetlinkMessage,
        flags: u16,
        step: &'static str,
        call: impl FnOnce() -> String,
    ) -> Result<()> {
        self.exchange(message, flags | NLM_F_ACK, step, call)
            .await
            .map(drop)
    }

    /// Asks for one object. Without an answer the list is empty.
    ///
    /// The acknowledgement ends the wait even if the answer is one that cannot be decoded.
    pub(crate) async fn query(
        &self,
        message: RouteNetlinkMessage,
        step: &'static str,
        call: impl FnOnce() -> String,
    ) -> Result<Vec<RouteNetlinkMessage>> {
        self.exchange(message, NLM_F_ACK, step, call).await
    }

    /// Asks for all objects that match.
    pub(crate) async fn list(
        &self,
        message: RouteNetlinkMessage,
        step: &'static str,
        call: impl FnOnce() -> String,
    ) -> Result<Vec<RouteNetlinkMessage>> {
        self.exchange(message, NLM_F_DUMP, step, call).await
    }

    async fn exchange(
        &self,
        message: RouteNetlinkMessage,
        flags: u16,
        step: &'static str,
        call: impl FnOnce() -> String,
    ) -> Result<Vec<RouteNetlinkMessage>> {
        let mut message = NetlinkMessage::from(message);
        message.header.flags = NLM_F_REQUEST | flags;
        let closed = |call| Error::new(Kind::Kernel, step, format!("{call}: the socket closed"));
        let Ok(mut answers) = self.0.clone().request(message) else {
            return Err(closed(call()));
        };
        let mut objects = Vec::new();
        while let Some(answer) = answers.next().await {
            match answer.payload {
                NetlinkPayload::InnerMessage(object) => objects.push(object),
                NetlinkPayload::Error(error) => {
                    let text = kernel_text(answer.header.flags, &error.header);
                    let errno = error.raw_code().saturating_abs();
                    return Err(Error::from_errno(step, call(), errno).with_kernel_text(text));
                }
                NetlinkPayload::Overrun(_) => {
                    return Err(Error::from_errno(step, call(), libc::ENOBUFS));
                }
                _ => {}
            }
        }
        Ok(objects)
    }
}

/// The sentence in a refusal: after the header of the request, or after the request when the
/// kernel repeats it whole, come attributes.
fn kernel_text(flags: u16, payload: &[u8]) -> Option<String> {
    if flags & NLM_F_ACK_TLVS == 0 {
        return None;
    }
    let length = u32::from_ne_bytes(payload.get(..4)?.try_into().ok()?);
    let skipped = match flags & NLM_F_CAPPED {
        0 => usize::try_from(length).ok()?,
        _ => NETLINK_HEADER_BYTES,
    };
    let mut rest = payload.get(aligned(skipped)..)?;
    loop {
        let length = u16::from_ne_bytes(rest.get(..2)?.try_into().ok()?);
        let kind = u16::from_ne_bytes(rest.get(2..4)?.try_into().ok()?);
        let value = rest.get(4..usize::from(length))?;
        if kind == NLMSGERR_ATTR_MSG {
            let text = value.split(|byte| *byte == 0).next()?;
            return Some(String::from_utf8_lossy(text).into_owned());
        }
        rest = rest.get(aligned(length.into())..)?;
    }
}

fn aligned(length: usize) -> usize {
    length.next_multiple_of(4)
}

const OPEN: &str = "open a netlink socket";
/// Source: include/uapi/linux/netlink.h, also below.
const NETLINK_HEADER_BYTES: usize = 16;
const NLMSGERR_ATTR_MSG: u16 = 1;

#[cfg(test)]
mod tests {
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
}
