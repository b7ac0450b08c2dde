//! One line of a log in the common or combined format, cut if it is regular.
//!
//! Regular is what `regular.py` calls so: quotes, blanks, brackets and digits are exactly where the general path would
//! find them. Whatever is doubtful is `None`, and left to Python.

const METHODS: [&[u8]; 9] = [
    b"GET ",
    b"POST ",
    b"HEAD ",
    b"PUT ",
    b"DELETE ",
    b"OPTIONS ",
    b"PATCH ",
    b"TRACE ",
    b"CONNECT ",
];
const PROTOCOLS: [&[u8]; 4] = [b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/3.0"];
const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];
/// Text from the blank before the timestamp to the blank before the request: ` [17/May/2015:10:05:03 +0000] `.
const TO_TIME: usize = 30;
const NO_BYTES: i64 = -1;

/// A regular line; texts are as logged.
#[derive(Debug, PartialEq)]
pub struct Line<'a> {
    pub client: &'a [u8],
    pub user: &'a [u8],
    /// Microseconds since 1970.
    pub ts: i64,
    /// Numbers of method and protocol; `None` for what is no request, which is kept whole as the url.
    pub request: Option<(u8, u8)>,
    pub url: &'a [u8],
    pub status: i32,
    pub bytes: i64,
    pub referrer: &'a [u8],
    pub agent: &'a [u8],
}

/// Reads timestamps; remembers the last one, as most lines have that of the line before them.
pub struct Clock {
    text: [u8; TO_TIME],
    ts: i64,
}

impl Clock {
    pub fn new() -> Clock {
        Clock {
            text: [0; TO_TIME],
            ts: 0,
        }
    }

    fn read(&mut self, text: &[u8]) -> Option<i64> {
        let text: [u8; TO_TIME] = text.try_into().ok()?;
        if text != self.text {
            (self.ts, self.text) = (timestamp(&text)?, text);
        }
        Some(self.ts)
    }
}

/// Cut a line at its quotes.
///
/// `text` has no line end; `quotes` are the positions of all of its quotes.
pub fn cut<'a>(text: &'a [u8], quotes: &[usize], clock: &mut Clock) -> Option<Line<'a>> {
    let (opening, closing) = match quotes {
        [opening, closing] => (*opening, *closing),
        [opening, closing, referrer, referrer_end, agent, agent_end] => {
            let plain = *agent == referrer_end + 2
                && agent_end + 1 == text.len()
                && text[referrer - 1] == b' '
                && text[referrer_end + 1] == b' '
                && text[referrer_end - 1] != b'\\'
                && text[agent_end - 1] != b'\\';
            if !plain {
                return None;
            }
            (*opening, *closing)
        }
        _ => return None,
    };
    let (numbers_end, referrer, agent) = match quotes {
        [_, _, a, b, c, d] => (a - 1, &text[a + 1..*b], &text[c + 1..*d]),
        _ => (text.len(), &b""[..], &b""[..]),
    };
    if opening < TO_TIME + 4 {
        return None;
    }
    let ts = clock.read(&text[opening - TO_TIME..opening])?;
    let (status, bytes) = numbers(text.get(closing + 1..numbers_end)?)?;
    let (client, user) = head(&text[..opening - TO_TIME])?;
    let quoted = &text[opening + 1..closing];
    let (request, url) = match target(quoted) {
        Some((method, protocol, url)) => (Some((method, protocol)), url),
        None if is_no_request(quoted) => (None, quoted),
        None => return None,
    };
    Some(Line {
        client,
        user,
        ts,
        request,
        url,
        status,
        bytes,
        referrer,
        agent,
    })
}

/// Client and user of `client - user`; anything else, such as a virtual host before it, is not regular.
fn head(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let blank = memchr::memchr(b' ', text)?;
    let user = text[blank..].strip_prefix(b" - ")?;
    (blank > 0).then_some((&text[..blank], user))
}

/// One of the usual methods, a target, one of the usual protocols.
fn target(quoted: &[u8]) -> Option<(u8, u8, &[u8])> {
    let method = METHODS
        .iter()
        .position(|method| quoted.starts_with(method))?;
    let (rest, protocol) = quoted.split_at(quoted.len().checked_sub(8)?);
    let protocol = PROTOCOLS.iter().position(|name| *name == protocol)?;
    let url = rest.get(METHODS[method].len()..)?.strip_suffix(b" ")?;
    (!url.is_empty()).then_some((method as u8, protocol as u8, url))
}

/// Certainly no request line, which begins with a letter and has a blank.
fn is_no_request(quoted: &[u8]) -> bool {
    let no_letter = !quoted.first().is_some_and(u8::is_ascii_alphabetic);
    let no_blank = memchr::memchr(b' ', quoted).is_none();
    (no_letter || no_blank) && quoted.last() != Some(&b'\\')
}

/// Status and size of ` 200 1234`; a size is at most eight digits or a dash.
fn numbers(text: &[u8]) -> Option<(i32, i64)> {
    if text.len() < 6 || text[0] != b' ' || text[4] != b' ' {
        return None;
    }
    let status = digits(&text[1..4])? as i32;
    let size = &text[5..];
    match size {
        b"-" => Some((status, NO_BYTES)),
        _ if size.len() <= 8 => Some((status, digits(size)?)),
        _ => None,
    }
}

fn digits(text: &[u8]) -> Option<i64> {
    let mut number = 0;
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number * 10 + i64::from(digit);
    }
    Some(number)
}

/// Microseconds since 1970 of ` [17/May/2015:10:05:03 +0000] `, from 1970 to 2199 and without leap seconds.
fn timestamp(text: &[u8; TO_TIME]) -> Option<i64> {
    let fixed = [
        (0, b' '),
        (1, b'['),
        (4, b'/'),
        (8, b'/'),
        (13, b':'),
        (16, b':'),
        (19, b':'),
        (22, b' '),
        (28, b']'),
        (29, b' '),
    ];
    if fixed.iter().any(|&(place, byte)| text[place] != byte) {
        return None;
    }
    let month = MONTHS.iter().position(|name| name[..] == text[5..8])? as i64;
    let (day, year) = (digits(&text[2..4])?, digits(&text[9..13])?);
    let (hour, minute, second) = (
        digits(&text[14..16])?,
        digits(&text[17..19])?,
        digits(&text[20..22])?,
    );
    let (zone_hour, zone_minute) = (digits(&text[24..26])?, digits(&text[26..28])?);
    let sign = match text[23] {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let first = days_before(year, month);
    let fits = (1970..2200).contains(&year)
        && hour < 24
        && minute < 60
        && second < 60
        && zone_hour < 24
        && zone_minute < 60;
    if !fits || day == 0 || first + day > days_before(year, month + 1) {
        return None;
    }
    let zone = sign * (zone_hour * 60 + zone_minute);
    let minutes = ((first + day - 1) * 24 + hour) * 60 + minute - zone;
    Some((minutes * 60 + second) * 1_000_000)
}

/// Days from 1970 to the beginning of a month, counted from 0; 12 is the next year's first.
fn days_before(year: i64, month: i64) -> i64 {
    const BEFORE: [i64; 13] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365];
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let past = year - 1;
    let leaps = past / 4 - past / 100 + past / 400 - 477;
    (year - 1970) * 365 + leaps + BEFORE[month as usize] + i64::from(leap && month > 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut_text(text: &str) -> Option<Line<'_>> {
        let quotes: Vec<usize> = memchr::memchr_iter(b'"', text.as_bytes()).collect();
        cut(text.as_bytes(), &quotes, &mut Clock::new())
    }

    #[test]
    fn a_regular_line_is_cut() {
        let line = cut_text(
            r#"1.2.3.4 - bob [17/May/2015:10:05:03 +0200] "GET /a?b HTTP/1.1" 200 12 "-" "x y""#,
        )
        .unwrap();
        assert_eq!(
            (line.client, line.user, line.url),
            (&b"1.2.3.4"[..], &b"bob"[..], &b"/a?b"[..])
        );
        assert_eq!(
            (line.ts, line.status, line.bytes),
            (1_431_849_903_000_000, 200, 12)
        );
        assert_eq!(
            (line.request, line.referrer, line.agent),
            (Some((0, 0)), &b"-"[..], &b"x y"[..])
        );
    }

    #[test]
    fn what_is_doubtful_is_not() {
        assert_eq!(
            cut_text(r#"1.2.3.4 - - [30/Feb/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 12"#),
            None
        );
        assert_eq!(
            cut_text(r#"host 1.2.3.4 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 12"#),
            None
        );
        assert_eq!(
            cut_text(r#"1.2.3.4 - - [17/May/2015:10:05:03 +0000] "BREW / HTTP/1.1" 200 12"#),
            None
        );
        assert_eq!(
            cut_text(r#"1.2.3.4 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 123456789"#),
            None
        );
    }
}
