//! Clients and visitors; the answers of `privacy.py` and `siphash.py`.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The two words of an address in its usual spelling; its /24 or /48 network is appended to `network` as text.
pub fn address(text: &[u8], network: &mut Vec<u8>) -> Option<(u64, u64)> {
    if text.len() > 45 {
        return None;
    }
    let name = std::str::from_utf8(text).ok()?;
    if let Ok(address) = name.parse::<Ipv4Addr>() {
        // Only the usual spelling is parsed, so that all but the last number is there already.
        let last = text.iter().rposition(|byte| *byte == b'.')?;
        network.extend_from_slice(&text[..=last]);
        network.push(b'0');
        return Some(words(address));
    }
    let address: Ipv6Addr = name.parse().ok()?;
    if let Some(inside) = to_mapped(address) {
        let [a, b, c, _] = inside.octets();
        network.extend_from_slice(format!("{a}.{b}.{c}.0").as_bytes());
        return Some(words(inside));
    }
    let bits = u128::from(address);
    let prefix = Ipv6Addr::from(bits >> 80 << 80);
    network.extend_from_slice(prefix.to_string().as_bytes());
    Some(((bits >> 64) as u64, bits as u64))
}

fn to_mapped(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let bits = u128::from(address);
    (bits >> 32 == 0xFFFF).then(|| Ipv4Addr::from(bits as u32))
}

/// An IPv4 address mapped into IPv6 (RFC 4291, section 2.5.5.2).
fn words(address: Ipv4Addr) -> (u64, u64) {
    (0, 0xFFFF << 32 | u64::from(u32::from(address)))
}

/// SipHash-2-4 of 64-bit words (Aumasson and Bernstein, 2012, sections 2.2 to 2.4).
pub fn siphash_2_4(key: [u64; 2], words: [u64; 4]) -> u64 {
    let [first, second] = key;
    let mut state = [
        first ^ 0x736F_6D65_7073_6575,
        second ^ 0x646F_7261_6E64_6F6D,
        first ^ 0x6C79_6765_6E65_7261,
        second ^ 0x7465_6462_7974_6573,
    ];
    // The last word holds the length in bytes in its top byte; whole words leave the rest zero.
    for word in words.into_iter().chain([(8 * words.len() as u64) << 56]) {
        state[3] ^= word;
        round(&mut state);
        round(&mut state);
        state[0] ^= word;
    }
    state[2] ^= 0xFF;
    for _ in 0..4 {
        round(&mut state);
    }
    state[0] ^ state[1] ^ state[2] ^ state[3]
}

fn round(state: &mut [u64; 4]) {
    let [mut a, mut b, mut c, mut d] = *state;
    a = a.wrapping_add(b);
    b = b.rotate_left(13) ^ a;
    a = a.rotate_left(32);
    c = c.wrapping_add(d);
    d = d.rotate_left(16) ^ c;
    a = a.wrapping_add(d);
    d = d.rotate_left(21) ^ a;
    c = c.wrapping_add(b);
    b = b.rotate_left(17) ^ c;
    c = c.rotate_left(32);
    *state = [a, b, c, d];
}
