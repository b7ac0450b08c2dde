//! Request targets: path, query, application, and the parameters of OGC services; the answers of `urls.py`,
//! `applications/__init__.py` and `ogc.read_parameters`.

use std::ops::Range;

/// Columns that parameters fill, and the longest name of one; see `column`.
const COLUMNS: usize = 13;
const LONGEST_PARAMETER: usize = 13;
const LONGEST_FOLDER: usize = 64;

/// Path of a target.
pub enum Path<'a> {
    None,
    AsLogged(&'a [u8]),
    /// Where it is among the decoded texts.
    Decoded(Range<usize>),
}

impl<'a> Path<'a> {
    /// The path; `decoded` is what `split` appended to.
    pub fn text(&self, decoded: &'a [u8]) -> Option<&'a [u8]> {
        match self {
            Path::None => None,
            Path::AsLogged(text) => Some(text),
            Path::Decoded(range) => Some(&decoded[range.clone()]),
        }
    }
}

/// Path, percent-decoded if it has to be, at the end of `decoded`, and raw query of a request target (RFC 9112, section 3.2).
pub fn split<'a>(target: &'a [u8], decoded: &mut Vec<u8>) -> (Path<'a>, Option<&'a [u8]>) {
    let mut rest = target;
    let mut is_root = false;
    if !target.starts_with(b"/") {
        if let Some(authority) = authority(target) {
            rest = &target[authority..];
            is_root = rest.is_empty() || rest[0] == b'?';
        } else if is_host_and_port(target) {
            return (Path::None, None);
        }
    }
    let (path, query) = match memchr::memchr(b'?', rest) {
        Some(mark) => (&rest[..mark], Some(&rest[mark + 1..])),
        None => (rest, None),
    };
    if is_root {
        return (Path::AsLogged(b"/"), query);
    }
    if memchr::memchr(b'%', path).is_none() {
        return (Path::AsLogged(path), query);
    }
    let begin = decoded.len();
    percent_decode(path, decoded);
    (Path::Decoded(begin..decoded.len()), query)
}

/// Bytes of `scheme://host` at the beginning.
fn authority(target: &[u8]) -> Option<usize> {
    let scheme = target
        .iter()
        .position(|byte| !(byte.is_ascii_alphanumeric() || b"+.-".contains(byte)))?;
    if !target[0].is_ascii_alphabetic() || !target[scheme..].starts_with(b"://") {
        return None;
    }
    let host = &target[scheme + 3..];
    let end = host
        .iter()
        .position(|byte| b"/?#".contains(byte))
        .unwrap_or(host.len());
    Some(scheme + 3 + end)
}

/// `host:443`, as CONNECT has it.
fn is_host_and_port(target: &[u8]) -> bool {
    let Some(colon) = target.iter().rposition(|byte| *byte == b':') else {
        return false;
    };
    let port = &target[colon + 1..];
    (1..=5).contains(&port.len())
        && port.iter().all(u8::is_ascii_digit)
        && !target[..colon].iter().any(|byte| b"/?".contains(byte))
}

/// Decode runs of escapes; what is no UTF-8 and what would become a control character stays encoded.
fn percent_decode(text: &[u8], out: &mut Vec<u8>) {
    let mut bytes = Vec::new();
    let mut place = 0;
    while place < text.len() {
        let run = place;
        bytes.clear();
        while let Some(byte) = escape(&text[place..]) {
            bytes.push(byte);
            place += 3;
        }
        if bytes.is_empty() {
            out.push(text[place]);
            place += 1;
        } else {
            decode_run(&text[run..place], &bytes, out);
        }
    }
}

fn escape(text: &[u8]) -> Option<u8> {
    match text {
        [b'%', high, low, ..] => Some((nibble(*high)? << 4) | nibble(*low)?),
        _ => None,
    }
}

fn nibble(byte: u8) -> Option<u8> {
    (byte as char).to_digit(16).map(|digit| digit as u8)
}

fn decode_run(run: &[u8], bytes: &[u8], out: &mut Vec<u8>) {
    let mut begin = 0;
    while begin < bytes.len() {
        let (valid, after) = match std::str::from_utf8(&bytes[begin..]) {
            Ok(_) => (bytes.len(), bytes.len()),
            Err(error) => {
                let end = begin + error.valid_up_to();
                (
                    end,
                    error.error_len().map_or(bytes.len(), |length| end + length),
                )
            }
        };
        for &byte in &bytes[begin..valid] {
            if byte < b' ' || byte == 0x7F {
                out.extend_from_slice(format!("%{byte:02X}").as_bytes());
            } else {
                out.push(byte);
            }
        }
        out.extend_from_slice(&run[3 * valid..3 * after]);
        begin = after;
    }
}

/// The first folder of a path, if something follows it and it may be a name of an application.
pub fn folder(path: &[u8]) -> Option<&[u8]> {
    let rest = without_slashes(path)?;
    let end = rest
        .iter()
        .position(|byte| !(byte.is_ascii_alphanumeric() || b"_~-".contains(byte)))?;
    (end > 0 && end <= LONGEST_FOLDER && rest[end] == b'/').then(|| &rest[..end])
}

/// Which of the prefixes (longest first) a path is below, and the path behind it.
pub fn application<'a>(path: &'a [u8], prefixes: &[Vec<u8>]) -> Option<(usize, &'a [u8])> {
    let rest = without_slashes(path)?;
    prefixes.iter().enumerate().find_map(|(number, prefix)| {
        let behind = rest.strip_prefix(&prefix[..])?;
        (behind.is_empty() || behind[0] == b'/' || behind[0] == b';').then_some((number, behind))
    })
}

fn without_slashes(path: &[u8]) -> Option<&[u8]> {
    let slashes = path
        .iter()
        .position(|byte| *byte != b'/')
        .unwrap_or(path.len());
    (slashes > 0).then(|| &path[slashes..])
}

/// Append a newline and a value for each column that parameters fill: that of the first one that does, nothing if there is none.
/// A query that is not all ASCII is appended whole behind one newline: case is Unicode's there.
pub fn parameters(query: &[u8], out: &mut Vec<u8>) {
    if !query.is_ascii() {
        out.push(b'\n');
        out.extend_from_slice(query);
        return;
    }
    let mut values: [&[u8]; COLUMNS] = [b""; COLUMNS];
    let marks = memchr::memchr3_iter(b'&', b'?', b';', query);
    for begin in std::iter::once(0).chain(marks.map(|mark| mark + 1)) {
        if let Some((column, value)) = parameter(&query[begin..]) {
            if values[column].is_empty() {
                values[column] = value;
            }
        }
    }
    for value in values {
        out.push(b'\n');
        out.extend_from_slice(value);
    }
}

/// Column and value of the parameter that a text begins with, if it is read.
fn parameter(text: &[u8]) -> Option<(usize, &[u8])> {
    let equals = text
        .iter()
        .take(LONGEST_PARAMETER + 1)
        .position(|byte| *byte == b'=')?;
    let column = column(&text[..equals])?;
    let value = &text[equals + 1..];
    let length = memchr::memchr(b'&', value).unwrap_or(value.len());
    Some((column, &value[..length]))
}

/// The column that a parameter fills, whatever the case of its name: its place in `_PARAMETERS` of `ogc.py`.
fn column(name: &[u8]) -> Option<usize> {
    let mut lower = [0; LONGEST_PARAMETER];
    for (to, from) in lower.iter_mut().zip(name) {
        *to = from.to_ascii_lowercase();
    }
    match &lower[..name.len()] {
        b"service" => Some(0),
        b"request" => Some(1),
        b"layer" | b"layers" | b"typename" | b"typenames" | b"coverage" | b"coverageid"
        | b"query_layers" => Some(2),
        b"crs" | b"srs" | b"srsname" | b"outputcrs" | b"tilematrixset" => Some(3),
        b"format" | b"outputformat" => Some(4),
        b"width" => Some(5),
        b"height" => Some(6),
        b"tiled" => Some(7),
        b"resulttype" => Some(8),
        b"f" => Some(9),
        b"map" => Some(10),
        b"uuid" | b"_uuid" => Some(11),
        b"id" => Some(12),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(target: &str) -> (Option<String>, Option<String>) {
        let mut decoded = Vec::new();
        let (path, query) = split(target.as_bytes(), &mut decoded);
        let text = |part: Option<&[u8]>| part.map(|part| String::from_utf8(part.to_vec()).unwrap());
        (text(path.text(&decoded)), text(query))
    }

    #[test]
    fn targets_have_four_forms() {
        assert_eq!(
            parts("/a%C3%A9%0A%ff?q"),
            (Some("/aé%0A%ff".into()), Some("q".into()))
        );
        assert_eq!(parts("http://host?q"), (Some("/".into()), Some("q".into())));
        assert_eq!(parts("host:443"), (None, None));
        assert_eq!(parts("*"), (Some("*".into()), None));
    }

    #[test]
    fn of_parameters_for_one_column_the_first_counts() {
        let mut out = Vec::new();
        parameters(
            b"a=1&SERVICE=WMS&bbox=1,2;width=3&layers=&format=png;f=x&Width=4&layer=b",
            &mut out,
        );
        assert_eq!(out, b"\nWMS\n\nb\n\npng;f=x\n3\n\n\n\nx\n\n\n");
        out.clear();
        parameters("service=WMS&layers=\u{e9}".as_bytes(), &mut out);
        assert_eq!(out, "\nservice=WMS&layers=\u{e9}".as_bytes());
    }
}
