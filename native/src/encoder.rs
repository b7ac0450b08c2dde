//! Blocks of lines as columns of numbers: distinct texts once, and for each row the number of its text.

use crate::interner::Interner;
use crate::line::cut;
use crate::target::{application, folder, known_parameters, split};
use crate::visitor::{address, siphash_2_4};

const NONE: i32 = -1;
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
    targets: Vec<Option<Target>>,
    /// Number, begin and end of each line that was not cut.
    others: Vec<i64>,
    clients: Interner,
    pub networks: Interner,
    users: Interner,
    urls: Interner,
    paths: Interner,
    queries: Interner,
    applications: Interner,
    referrers: Interner,
    /// These two are remembered from block to block.
    pub agents: Interner,
    pub requests: Interner,
    decoded: Vec<u8>,
    key: Vec<u8>,
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
            key: Vec::new(),
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
            &mut self.users,
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
            let usual =
                count <= quotes.len() && (line.is_ascii() || std::str::from_utf8(line).is_ok());
            if !usual
                || !self.take(
                    line.strip_suffix(b"\r").unwrap_or(line),
                    &quotes[..count],
                    number,
                )
            {
                let end = text.len().min(mark + 1);
                self.others.extend([number, begin as i64, end as i64]);
            }
            (begin, number, count) = (mark + 1, number + 1, 0);
        }
        self.rows() as i64
    }

    /// Take a line; false if it is not usual.
    fn take(&mut self, text: &[u8], quotes: &[usize], number: i64) -> bool {
        let Some(line) = cut(text, quotes) else {
            return false;
        };
        let client = optional(&mut self.clients, line.client);
        if client as usize == self.client_networks.len() {
            self.add_client(line.client);
        }
        let url = optional(&mut self.urls, line.url);
        let target = match line.request {
            Some(_) if url != NONE => self.target(url, line.url),
            _ => Self::no_target(),
        };
        let (method, protocol) = line.request.unwrap_or((NO_REQUEST, NO_REQUEST));
        let user = optional(&mut self.users, line.user);
        let referrer = optional(&mut self.referrers, line.referrer);
        let agent = optional(&mut self.agents, line.agent);
        let rows = &mut self.rows;
        rows.line.push(number);
        rows.ts.push(line.ts);
        rows.status.push(line.status);
        rows.bytes.push(line.bytes);
        rows.method.push(method);
        rows.protocol.push(protocol);
        rows.client.push(client);
        rows.user.push(user);
        rows.url.push(url);
        rows.path.push(target.path);
        rows.query.push(target.query);
        rows.application.push(target.application);
        rows.request.push(target.request);
        rows.referrer.push(referrer);
        rows.agent.push(agent);
        true
    }

    fn add_client(&mut self, text: &[u8]) {
        let (high, low, network) = match address(text) {
            Some((high, low, network)) => (high, low, self.networks.intern(network.as_bytes()).0),
            None => (0, 0, NONE),
        };
        self.client_words.extend([high, low]);
        self.client_networks.push(network);
    }

    fn no_target() -> Target {
        Target {
            path: NONE,
            query: NONE,
            application: NONE,
            request: NONE,
        }
    }

    /// What follows from a target, found once a block. The same text may be a target in one row and no request in another.
    fn target(&mut self, url: i32, text: &[u8]) -> Target {
        let url = url as usize;
        if url >= self.targets.len() {
            self.targets.resize(url + 1, None);
        }
        if let Some(target) = self.targets[url] {
            return target;
        }
        let target = self.read_target(text);
        self.targets[url] = Some(target);
        target
    }

    fn read_target(&mut self, text: &[u8]) -> Target {
        let (path, query) = split(text, &mut self.decoded);
        let query_number = query.map_or(NONE, |query| self.queries.intern(query).0);
        let Some(path) = path else {
            return Target {
                query: query_number,
                ..Self::no_target()
            };
        };
        let path_number = self.paths.intern(path).0;
        let (application, request) = match application(path, &self.settings.prefixes) {
            Some((prefix, rest)) => {
                // The number of the prefix, the path behind it and the parameters, each once: a newline cannot be in them.
                self.key.clear();
                self.key.extend_from_slice(prefix.to_string().as_bytes());
                self.key.push(b'\n');
                self.key.extend_from_slice(rest);
                self.key.push(b'\n');
                known_parameters(query.unwrap_or(b""), &mut self.key);
                (
                    &self.settings.names[prefix][..],
                    self.requests.intern(&self.key).0,
                )
            }
            None => (folder(path).unwrap_or(ROOT), NONE),
        };
        let application = self.applications.intern(application).0;
        Target {
            path: path_number,
            query: query_number,
            application,
            request,
        }
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

/// The number of a text; none for "-" and "", which servers write for what is not there.
fn optional(texts: &mut Interner, text: &[u8]) -> i32 {
    match text {
        b"" | b"-" => NONE,
        _ => texts.intern(text).0,
    }
}

/// Numbers that C may read as bytes.
trait Plain {}
impl Plain for i32 {}
impl Plain for i64 {}
impl Plain for u64 {}

fn bytes_of<T: Plain>(numbers: &[T]) -> &[u8] {
    // SAFETY: integers have no padding, and the slice spans exactly theirs.
    unsafe { std::slice::from_raw_parts(numbers.as_ptr().cast(), std::mem::size_of_val(numbers)) }
}
