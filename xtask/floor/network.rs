//! Interfaces by messages that are handed over ready-made, but for what is known only now.

use crate::arch::{CLOSE, IOCTL, RECVFROM, SENDTO, SOCKET};
use crate::{Word, call, must, text};

/// A message in hexadecimal digits.
struct Message {
    bytes: [u8; 512],
    length: usize,
}

impl Message {
    fn read(word: Word) -> Self {
        let digits = word.bytes();
        let value = |digit: u8| match digit {
            b'a'..=b'f' => digit - b'a' + 10,
            _ => digit - b'0',
        };
        let mut message = Message {
            bytes: [0; 512],
            length: digits.len() / 2,
        };
        for at in 0..message.length {
            message.bytes[at] = value(digits[2 * at]) << 4 | value(digits[2 * at + 1]);
        }
        message
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Sends it, and reads the acknowledgement.
    fn exchange(&self, name: &[u8]) {
        // AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE.
        let socket = must(call(SOCKET, [16, 3 | 0o2_000_000, 0, 0, 0, 0]), name);
        must(
            call(SENDTO, [socket, text(&self.bytes), self.length, 0, 0, 0]),
            name,
        );
        let mut answer = [0_u8; 512];
        let received = call(
            RECVFROM,
            [socket, answer.as_mut_ptr() as usize, 512, 0, 0, 0],
        );
        must(received, name);
        let errno = i32::from_ne_bytes([answer[16], answer[17], answer[18], answer[19]]);
        must(errno as isize, name);
        call(CLOSE, [socket, 0, 0, 0, 0, 0]);
    }
}

/// The pair has the new process's number as the place of its other end, and in its name on the host.
pub(crate) fn send_from_host(word: Word, pid_at: usize, name_at: usize, pid: usize) {
    let mut message = Message::read(word);
    message.put(pid_at, &(pid as u32).to_ne_bytes());
    let mut rest = pid;
    for digit in (0..7).rev() {
        message.put(name_at + digit, &[b'0' + (rest % 10) as u8]);
        rest /= 10;
    }
    message.exchange(b"the pair");
}

/// `index_at` is where the number of `eth0` belongs.
pub(crate) fn send_from_inside(word: Word, index_at: usize) {
    let mut request = [0_u8; 40];
    request[..4].copy_from_slice(b"eth0");
    let socket = must(call(SOCKET, [2, 2 | 0o2_000_000, 0, 0, 0, 0]), b"socket");
    // SIOCGIFINDEX.
    let found = call(
        IOCTL,
        [socket, 0x8933, request.as_mut_ptr() as usize, 0, 0, 0],
    );
    must(found, b"eth0");
    call(CLOSE, [socket, 0, 0, 0, 0, 0]);
    let mut message = Message::read(word);
    message.put(
        index_at,
        &[request[16], request[17], request[18], request[19]],
    );
    message.exchange(b"address or route");
}
