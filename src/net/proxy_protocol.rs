//! PROXY protocol, versions 1 and 2: a load balancer in front sends the address of the client.
//!
//! Source: "The PROXY protocol" of HAProxy, versions 1 and 2, sections 2.1 and 2.2. Headers are read only from the networks in
//! `listen.proxy_protocol_from`; from elsewhere they are read as TLS, and fail.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use tokio::{io::AsyncReadExt, net::TcpStream};

/// A line of version 1, its end included (section 2.1).
const LINE_BYTES_MAX: usize = 107;
/// The signature of version 2.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, command, family and length.
const FIXED_BYTES: usize = 16;
/// Maximum of the rest in version 2: two addresses (UNIX sockets: 216) and 320 bytes of extensions.
const REST_BYTES_MAX: usize = 536;
/// Length of the longest header.
pub const HEADER_BYTES_MAX: usize = FIXED_BYTES + REST_BYTES_MAX;

/// Contents of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {
    /// A connection of the load balancer itself, such as a health check, or one with unknown addresses.
    Local,
    /// A forwarded connection from this client address.
    From(SocketAddr),
}

/// Invalid header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

impl From<Malformed> for io::Error {
    fn from(_: Malformed) -> Self {
        Self::new(io::ErrorKind::InvalidData, "invalid PROXY header")
    }
}

/// Parses the header at the start of a connection, and its length. `None` while more bytes are needed.
///
/// # Errors
/// [`Malformed`], as soon as the bytes cannot be the start of a header of at most [`HEADER_BYTES_MAX`].
pub fn parse(bytes: &[u8]) -> Result<Option<(Header, usize)>, Malformed> {
    let begins = |with: &[u8]| bytes.iter().zip(with).all(|(have, want)| have == want);
    if begins(&SIGNATURE) {
        binary(bytes)
    } else if begins(b"PROXY ") {
        line(bytes)
    } else {
        Err(Malformed)
    }
}

/// Version 2 (section 2.2).
fn binary(bytes: &[u8]) -> Result<Option<(Header, usize)>, Malformed> {
    let Some(fixed) = bytes.first_chunk::<FIXED_BYTES>() else { return Ok(None) };
    let [.., command, family, high, low] = *fixed;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if command >> 4 != 2 || REST_BYTES_MAX < length {
        return Err(Malformed);
    }
    let end = FIXED_BYTES.saturating_add(length);
    let Some(rest) = bytes.get(FIXED_BYTES..end) else { return Ok(None) };
    let header = match (command & 0x0f, family) {
        // Whatever follows is skipped.
        (0, _) => Header::Local,
        (1, 0x11) => ends(rest, |end: [u8; 4]| Ipv4Addr::from(end).into())?,
        (1, 0x21) => ends(rest, |end: [u8; 16]| Ipv6Addr::from(end).into())?,
        // UNSPEC, UNIX sockets: no address that could be used. Datagrams are no connection.
        (1, 0x00 | 0x31) => Header::Local,
        _ => return Err(Malformed),
    };
    Ok(Some((header, end)))
}

/// Source and destination address, source and destination port, and perhaps more.
fn ends<const N: usize>(rest: &[u8], address: impl Fn([u8; N]) -> IpAddr) -> Result<Header, Malformed> {
    let (source, rest) = rest.split_first_chunk::<N>().ok_or(Malformed)?;
    let (_destination, ports) = rest.split_first_chunk::<N>().ok_or(Malformed)?;
    let port = ports.first_chunk::<4>().and_then(|ports| ports.first_chunk::<2>()).ok_or(Malformed)?;
    Ok(Header::From(SocketAddr::new(address(*source), u16::from_be_bytes(*port))))
}

/// Version 1 (section 2.1).
fn line(bytes: &[u8]) -> Result<Option<(Header, usize)>, Malformed> {
    let Some(end) = bytes.iter().take(LINE_BYTES_MAX).position(|byte| *byte == b'\n') else {
        return if bytes.len() < LINE_BYTES_MAX { Ok(None) } else { Err(Malformed) };
    };
    let text = bytes[..end].strip_suffix(b"\r").and_then(|line| std::str::from_utf8(line).ok()).ok_or(Malformed)?;
    let mut words = text.split(' ').skip(1);
    let header = match words.next() {
        // What follows is not said to mean anything.
        Some("UNKNOWN") => Header::Local,
        Some("TCP4") => addressed::<Ipv4Addr>(words)?,
        Some("TCP6") => addressed::<Ipv6Addr>(words)?,
        _ => return Err(Malformed),
    };
    Ok(Some((header, end.saturating_add(1))))
}

fn addressed<'a, A>(words: impl Iterator<Item = &'a str>) -> Result<Header, Malformed>
where
    A: std::str::FromStr + Into<IpAddr>,
{
    let words: Vec<_> = words.take(5).collect();
    let [source, destination, port, destination_port] = words[..] else { return Err(Malformed) };
    let port_of = |text: &str| match text.as_bytes() {
        [b'0', _, ..] | [b'+', ..] => Err(Malformed),
        _ => text.parse::<u16>().map_err(|_| Malformed),
    };
    let _: A = destination.parse().map_err(|_| Malformed)?;
    let _ = port_of(destination_port)?;
    let source: A = source.parse().map_err(|_| Malformed)?;
    Ok(Header::From(SocketAddr::new(source.into(), port_of(port)?)))
}

/// Reads the header from a connection, and no byte after it.
///
/// # Errors
/// `InvalidData` for an invalid header, `UnexpectedEof`, and errors of the connection.
pub async fn read(stream: &mut TcpStream) -> io::Result<Header> {
    let mut bytes = [0; HEADER_BYTES_MAX];
    let mut taken = 0;
    loop {
        // All of what has been taken belongs to the header: it was not whole.
        let there = stream.peek(&mut bytes[taken..]).await?.saturating_add(taken);
        let found = parse(&bytes[..there])?;
        let end = found.map_or(there, |(_, length)| length);
        if end == taken {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        stream.read_exact(&mut bytes[taken..end]).await?;
        taken = end;
        if let Some((header, _)) = found {
            return Ok(header);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).expect("short").to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, rest].concat()
    }

    fn four() -> Vec<u8> {
        [&[192, 0, 2, 1, 198, 51, 100, 2][..], &5000_u16.to_be_bytes(), &443_u16.to_be_bytes()].concat()
    }

    fn six() -> Vec<u8> {
        let (from, to): (Ipv6Addr, Ipv6Addr) = ("2001:db8::1".parse().expect("legal"), Ipv6Addr::LOCALHOST);
        [&from.octets()[..], &to.octets(), &5000_u16.to_be_bytes(), &443_u16.to_be_bytes()].concat()
    }

    fn from(text: &str) -> Option<Header> {
        Some(Header::From(text.parse().expect("an address")))
    }

    #[test]
    fn a_header_says_whose_connection_it_is_wherever_it_is_cut() {
        for (bytes, header) in [
            (b"PROXY TCP4 192.0.2.1 198.51.100.2 5000 443\r\n".to_vec(), from("192.0.2.1:5000")),
            (b"PROXY TCP6 2001:db8::1 ::1 5000 443\r\n".to_vec(), from("[2001:db8::1]:5000")),
            (b"PROXY UNKNOWN\r\n".to_vec(), Some(Header::Local)),
            (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(), Some(Header::Local)),
            (v2(0x21, 0x11, &four()), from("192.0.2.1:5000")),
            (v2(0x21, 0x11, &[four(), vec![4, 0, 1, 0]].concat()), from("192.0.2.1:5000")),
            (v2(0x21, 0x21, &six()), from("[2001:db8::1]:5000")),
            (v2(0x20, 0x11, &four()), Some(Header::Local)),
            (v2(0x20, 0x00, &[]), Some(Header::Local)),
            (v2(0x21, 0x00, &[]), Some(Header::Local)),
            (v2(0x21, 0x31, &[0; 216]), Some(Header::Local)),
            (v2(0x21, 0x00, &[0; REST_BYTES_MAX]), Some(Header::Local)),
        ] {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let whole = [&bytes[..], b"\x16\x03\x01"].concat();
            assert_eq!(parse(&whole), Ok(header.map(|header| (header, bytes.len()))), "{text:?}");
            for cut in 0..bytes.len() {
                assert_eq!(parse(&bytes[..cut]), Ok(None), "{text:?} {cut}");
            }
        }
    }

    #[test]
    fn what_is_no_header_is_refused_as_soon_as_it_shows() {
        let long = format!("PROXY UNKNOWN {}", "x".repeat(LINE_BYTES_MAX - 14));
        for bytes in [
            &b"\x16\x03\x01"[..],
            b"GET / HTTP/1.1\r\n",
            b"PROXY\r",
            b"PROXY TCP4 192.0.2.1 198.51.100.2 5000\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.2 5000 443 1\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.2 5000 443\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.2 05000 443\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.2 70000 443\r\n",
            b"PROXY TCP4 ::1 ::1 5000 443\r\n",
            b"PROXY TCP6 192.0.2.1 198.51.100.2 5000 443\r\n",
            b"PROXY  TCP4 192.0.2.1 198.51.100.2 5000 443\r\n",
            b"PROXY UDP4 192.0.2.1 198.51.100.2 5000 443\r\n",
            b"PROXY TCP4 \xff 198.51.100.2 5000 443\r\n",
            long.as_bytes(),
            &v2(0x11, 0x11, &four()),
            &v2(0x22, 0x11, &four()),
            &v2(0x21, 0x12, &four()),
            &v2(0x21, 0x11, &four()[..11]),
            &v2(0x21, 0x21, &four()),
            &v2(0x21, 0x11, &[0; REST_BYTES_MAX + 1]),
        ] {
            assert_eq!(parse(bytes), Err(Malformed), "{:?}", String::from_utf8_lossy(bytes));
        }
    }
}
