//! Blocks of lines as columns of numbers: distinct texts once, and for each row the number of its text.

use crate::bytes::bytes_of;
use crate::interner::{Interner, BATCH, NONE};
use crate::line::{cut, Clock, Line};
use crate::target::{application, folder, parameters, split};
use crate::visitor::{address, siphash_2_4};
use std::ops::Range;

const NO_REQUEST: u8 = 255;
const DAY: i64 = 86_400_000_000;
const ROOT: &[u8] = b"/";

pub struct Settings {
    key: [u64; 2],
    prefixes: Vec<Vec<u8>>,
    names: Vec<Vec<u8>>,
}

impl Settings {
    pub fn read(words: &[u64], mut texts: &[u8]) -> Option<Settings> {
        let (key, lengths) = (words.get(..2)?, words.get(2..)?);
        let mut settings = Settings {
            key: [key[0], key[1]],
            prefixes: Vec::new(),
            names: Vec::new(),
        };
        for pair in lengths.chunks_exact(2) {
            for (length, list) in [
                (pair[0], &mut settings.prefixes),
                (pair[1], &mut settings.names),
            ] {
                list.push(texts.get(..length as usize)?.to_vec());
                texts = &texts[length as usize..];
            }
        }
        Some(settings)
    }
}

/// What follows from a distinct target, as numbers of texts.
#[derive(Clone, Copy)]
struct Target {
    path: i32,
    query: i32,
    application: i32,
    request: i32,
}

const NO_TARGET: Target = Target {
    path: NONE,
    query: NONE,
    application: NONE,
    request: NONE,
};

/// Texts that follow from others, until all of a batch are looked up at once.
#[derive(Default)]
struct Derived {
    data: Vec<u8>,
    texts: Vec<Option<Range<usize>>>,
}

impl Derived {
    fn clear(&mut self) {
        self.data.clear();
        self.texts.clear();
    }

    /// Add the text that is appended while something is found out; none if that cannot be.
    fn add<T>(&mut self, find: impl FnOnce(&mut Vec<u8>) -> Option<T>) -> Option<T> {
        let begin = self.data.len();
        let found = find(&mut self.data);
        self.texts
            .push(found.as_ref().map(|_| begin..self.data.len()));
        found
    }

    fn iter(&self) -> impl Iterator<Item = Option<&[u8]>> + Clone {
        let text = |range: &Option<Range<usize>>| range.clone().map(|range| &self.data[range]);
        self.texts.iter().map(text)
    }
}

#[derive(Default)]
struct Rows {
    line: Vec<i64>,
    ts: Vec<i64>,
    status: Vec<i32>,
    bytes: Vec<i64>,
    method: Vec<u8>,
    protocol: Vec<u8>,
    client: Vec<i32>,
    user: Vec<i32>,
    url: Vec<i32>,
    path: Vec<i32>,
    query: Vec<i32>,
    application: Vec<i32>,
    request: Vec<i32>,
    referrer: Vec<i32>,
    agent: Vec<i32>,
}

pub struct Encoder {
    settings: Settings,
    rows: Rows,
    /// Two words a client, and the number of its network; -1 where Python has to read the address.
    client_words: Vec<u64>,
    client_networks: Vec<i32>,
    /// By the number of the url.
    targets: Vec<Target>,
    /// Number, begin and end of each line that was not cut.
    others: Vec<i64>,
    clients: Interner,
    pub networks: Interner,
    urls: Interner,
    paths: Interner,
    queries: Interner,
    applications: Interner,
    referrers: Interner,
    /// These three are remembered from block to block.
    pub agents: Interner,
    pub requests: Interner,
    pub users: Interner,
    decoded: Vec<u8>,
    numbers: Vec<i32>,
    derived: Derived,
}

impl Encoder {
    pub fn new(settings: Settings) -> Encoder {
        Encoder {
            settings,
            rows: Rows::default(),
            client_words: Vec::new(),
            client_networks: Vec::new(),
            targets: Vec::new(),
            others: Vec::new(),
            clients: Interner::new(),
            networks: Interner::new(),
            users: Interner::new(),
            urls: Interner::new(),
            paths: Interner::new(),
            queries: Interner::new(),
            applications: Interner::new(),
            referrers: Interner::new(),
            agents: Interner::new(),
            requests: Interner::new(),
            decoded: Vec::new(),
            numbers: Vec::new(),
            derived: Derived::default(),
        }
    }

    pub fn rows(&self) -> usize {
        self.rows.line.len()
    }

    pub fn encode(&mut self, text: &[u8], first_line: i64) -> i64 {
        self.rows.clear();
        self.client_words.clear();
        self.client_networks.clear();
        self.targets.clear();
        self.others.clear();
        for texts in [
            &mut self.clients,
            &mut self.networks,
            &mut self.urls,
            &mut self.paths,
            &mut self.queries,
            &mut self.applications,
            &mut self.referrers,
        ] {
            texts.clear();
        }
        let (mut begin, mut number, mut count) = (0, first_line, 0);
        let mut quotes = [0; 6];
        let mut clock = Clock::new();
        let mut ascii = Ascii::new(text);
        let mut lines = Vec::with_capacity(BATCH);
        let marks = memchr::memchr2_iter(b'"', b'\n', text);
        let last = (text.last() != Some(&b'\n') && !text.is_empty()).then_some(text.len());
        for mark in marks.chain(last) {
            if mark < text.len() && text[mark] == b'"' {
                if count < quotes.len() {
                    quotes[count] = mark - begin;
                }
                count += 1;
                continue;
            }
            let line = &text[begin..mark];
            // Bytes that are no UTF-8 become escapes, which is for Python to do.
            let usual = count <= quotes.len()
                && (ascii.reaches(begin, mark) || std::str::from_utf8(line).is_ok());
            let whole = line.strip_suffix(b"\r").unwrap_or(line);
            match usual.then(|| cut(whole, &quotes[..count], &mut clock)) {
                Some(Some(line)) => {
                    self.rows.line.push(number);
                    lines.push(line);
                    if lines.len() == BATCH {
                        self.take(&lines);
                        lines.clear();
                    }
                }
                _ => {
                    let end = text.len().min(mark + 1);
                    self.others.extend([number, begin as i64, end as i64]);
                }
            }
            (begin, number, count) = (mark + 1, number + 1, 0);
        }
        self.take(&lines);
        self.rows() as i64
    }

    /// Take at most `BATCH` lines.
    fn take<'a>(&mut self, lines: &[Line<'a>]) {
        let rows = &mut self.rows;
        let first = rows.ts.len();
        let request = |line: &Line| line.request.unwrap_or((NO_REQUEST, NO_REQUEST));
        rows.ts.extend(lines.iter().map(|line| line.ts));
        rows.status.extend(lines.iter().map(|line| line.status));
        rows.bytes.extend(lines.iter().map(|line| line.bytes));
        rows.method.extend(lines.iter().map(|line| request(line).0));
        rows.protocol
            .extend(lines.iter().map(|line| request(line).1));
        let texts =
            |text: fn(&Line<'a>) -> &'a [u8]| lines.iter().map(move |line| optional(text(line)));
        self.clients
            .intern_all(texts(|line| line.client), &mut rows.client);
        self.users
            .intern_all(texts(|line| line.user), &mut rows.user);
        self.urls.intern_all(texts(|line| line.url), &mut rows.url);
        self.referrers
            .intern_all(texts(|line| line.referrer), &mut rows.referrer);
        self.agents
            .intern_all(texts(|line| line.agent), &mut rows.agent);
        self.add_clients(lines, first);
        self.add_targets(lines, first);
        let rows = &mut self.rows;
        for (&url, line) in rows.url[first..].iter().zip(lines) {
            // The same text may be a target in one row and no request in another.
            let target = match line.request {
                Some(_) if url != NONE => self.targets[url as usize],
                _ => NO_TARGET,
            };
            rows.path.push(target.path);
            rows.query.push(target.query);
            rows.application.push(target.application);
            rows.request.push(target.request);
        }
    }

    /// Find out what follows from the clients that are new in these lines, which begin at row `first`.
    fn add_clients(&mut self, lines: &[Line], first: usize) {
        self.derived.clear();
        let mut known = self.client_networks.len();
        for (&client, line) in self.rows.client[first..].iter().zip(lines) {
            if client != NONE && client as usize == known {
                known += 1;
                let words = self.derived.add(|text| address(line.client, text));
                let (high, low) = words.unwrap_or((0, 0));
                self.client_words.extend([high, low]);
            }
        }
        self.networks
            .intern_all(self.derived.iter(), &mut self.client_networks);
    }

    /// Find out what follows from the urls that are new in these lines, which begin at row `first`.
    fn add_targets(&mut self, lines: &[Line], first: usize) {
        self.decoded.clear();
        let known = self.targets.len();
        let mut new = Vec::with_capacity(lines.len());
        for (&url, line) in self.rows.url[first..].iter().zip(lines) {
            if url != NONE && url as usize == known + new.len() {
                new.push(split(line.url, &mut self.decoded));
            }
        }
        let decoded = std::mem::take(&mut self.decoded);
        self.numbers.clear();
        let paths = new.iter().map(|(path, _)| path.text(&decoded));
        self.paths.intern_all(paths, &mut self.numbers);
        let queries = new.iter().map(|(_, query)| *query);
        self.queries.intern_all(queries, &mut self.numbers);
        self.derived.clear();
        for (place, (path, query)) in new.iter().enumerate() {
            let application = match path.text(&decoded) {
                Some(path) => self.application(path, query.unwrap_or(b"")),
                None => {
                    self.derived.add(|_| None::<()>);
                    NONE
                }
            };
            self.targets.push(Target {
                path: self.numbers[place],
                query: self.numbers[new.len() + place],
                application,
                request: NONE,
            });
        }
        self.decoded = decoded;
        self.numbers.clear();
        self.requests
            .intern_all(self.derived.iter(), &mut self.numbers);
        for (target, &request) in self.targets[known..].iter_mut().zip(&self.numbers) {
            target.request = request;
        }
    }

    /// Number of the application that a target belongs to; the request to it is added to the derived texts.
    fn application(&mut self, path: &[u8], query: &[u8]) -> i32 {
        let found = application(path, &self.settings.prefixes);
        self.derived.add(|text| {
            // The number of the prefix, the path behind it and the parameters: a newline cannot be in them.
            let (prefix, rest) = found?;
            text.extend_from_slice(prefix.to_string().as_bytes());
            text.push(b'\n');
            text.extend_from_slice(rest);
            parameters(query, text);
            Some(())
        });
        self.applications.intern(match found {
            Some((prefix, _)) => &self.settings.names[prefix],
            None => folder(path).unwrap_or(ROOT),
        })
    }

    pub fn visitors(&self, clients: &[u64], agents: &[u64], out: &mut [i64]) {
        let none = agents.len() - 1;
        for (row, visitor) in out.iter_mut().enumerate() {
            let client = self.rows.client[row] as usize;
            let agent = usize::try_from(self.rows.agent[row]).unwrap_or(none);
            *visitor = match self.rows.client[row] {
                NONE => -1,
                _ => {
                    let day = self.rows.ts[row].div_euclid(DAY) as u64;
                    let words = [
                        clients[2 * client],
                        clients[2 * client + 1],
                        agents[agent],
                        day,
                    ];
                    (siphash_2_4(self.settings.key, words) >> 1) as i64
                }
            };
        }
    }

    /// The bytes of an array, by its place in `_ARRAYS` of `native.py`: the columns, then the texts of each interner.
    pub fn array(&self, number: u32) -> &[u8] {
        let rows = &self.rows;
        match number {
            0 => bytes_of(&rows.line),
            1 => bytes_of(&rows.ts),
            2 => bytes_of(&rows.status),
            3 => bytes_of(&rows.bytes),
            4 => &rows.method,
            5 => &rows.protocol,
            6 => bytes_of(&rows.client),
            7 => bytes_of(&rows.user),
            8 => bytes_of(&rows.url),
            9 => bytes_of(&rows.path),
            10 => bytes_of(&rows.query),
            11 => bytes_of(&rows.application),
            12 => bytes_of(&rows.request),
            13 => bytes_of(&rows.referrer),
            14 => bytes_of(&rows.agent),
            15 => bytes_of(&self.client_words),
            16 => bytes_of(&self.client_networks),
            17 => bytes_of(&self.others),
            _ => self.texts((number - 18) / 2).map_or(&[], |texts| {
                if number % 2 == 0 {
                    bytes_of(&texts.offsets)
                } else {
                    &texts.data
                }
            }),
        }
    }

    fn texts(&self, number: u32) -> Option<&Interner> {
        [
            &self.clients,
            &self.networks,
            &self.users,
            &self.urls,
            &self.paths,
            &self.queries,
            &self.applications,
            &self.referrers,
            &self.agents,
            &self.requests,
        ]
        .get(number as usize)
        .copied()
    }
}

impl Rows {
    fn clear(&mut self) {
        self.line.clear();
        self.ts.clear();
        self.status.clear();
        self.bytes.clear();
        self.method.clear();
        self.protocol.clear();
        self.client.clear();
        self.user.clear();
        self.url.clear();
        self.path.clear();
        self.query.clear();
        self.application.clear();
        self.request.clear();
        self.referrer.clear();
        self.agent.clear();
    }
}

/// Finds out which lines are all ASCII, many at once.
struct Ascii<'a> {
    text: &'a [u8],
    to: usize,
}

impl<'a> Ascii<'a> {
    const STEP: usize = 4096;

    fn new(text: &'a [u8]) -> Ascii<'a> {
        Ascii { text, to: 0 }
    }

    /// Whether a line is certainly all ASCII. Lines must be asked for in their order.
    fn reaches(&mut self, begin: usize, end: usize) -> bool {
        if self.to < end {
            self.to = self.to.max(begin);
            let ahead = self.text[self.to..].chunks(Self::STEP);
            let plain = ahead.take_while(|chunk| chunk.is_ascii());
            let next = plain.take((end - self.to).div_ceil(Self::STEP));
            self.to += next.map(<[u8]>::len).sum::<usize>();
        }
        self.to >= end || self.text[begin..end].is_ascii()
    }
}

/// A text; none for "-" and "", which servers write for what is not there.
fn optional(text: &[u8]) -> Option<&[u8]> {
    (!matches!(text, b"" | b"-")).then_some(text)
}
