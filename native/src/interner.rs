//! Distinct texts, numbered in the order in which they first came, laid out as Arrow lays out strings.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

pub struct Interner {
    /// Arrow's offsets: text `n` is `data[offsets[n]..offsets[n + 1]]`.
    pub offsets: Vec<i32>,
    pub data: Vec<u8>,
    /// Its length is a power of two.
    slots: Vec<Slot>,
    seed: u64,
}

/// Where a text is, so that comparing with it takes no second look-up; `number` is one more than the text's, zero where free.
#[derive(Clone, Copy, Default)]
struct Slot {
    hash: u32,
    number: u32,
    begin: u32,
    length: u32,
}

/// Texts that are looked up at once. Their lines fit into the fastest memory.
pub const BATCH: usize = 64;
/// The number of no text.
pub const NONE: i32 = -1;

impl Interner {
    pub fn new() -> Interner {
        Interner {
            offsets: vec![0],
            data: Vec::new(),
            slots: vec![Slot::default(); 1024],
            // Clients choose the texts: with a seed of their own they could choose them to collide.
            seed: RandomState::new().build_hasher().finish() | 1,
        }
    }

    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    pub fn clear(&mut self) {
        self.offsets.truncate(1);
        self.data.clear();
        self.slots.fill(Slot::default());
    }

    pub fn text(&self, number: usize) -> &[u8] {
        &self.data[self.offsets[number] as usize..self.offsets[number + 1] as usize]
    }

    /// The number of a text.
    pub fn intern(&mut self, text: &[u8]) -> i32 {
        self.reserve(1);
        self.find_or_add(hash(text, self.seed), text)
    }

    /// Append the numbers of at most `BATCH` texts.
    ///
    /// Looking up one of many texts is waiting for memory, three times over: for all of them these waits overlap.
    pub fn intern_all<'a>(
        &mut self,
        texts: impl Iterator<Item = Option<&'a [u8]>> + Clone,
        numbers: &mut Vec<i32>,
    ) {
        self.reserve(BATCH);
        let mask = self.slots.len() - 1;
        let mut hashes = [0u64; BATCH];
        let mut count = 0;
        for text in texts.clone().flatten() {
            let hash = hash(text, self.seed);
            prefetch(&self.slots[hash as usize & mask]);
            hashes[count] = hash;
            count += 1;
        }
        for &hash in &hashes[..count] {
            let slot = self.slots[hash as usize & mask];
            if slot.number != 0 {
                prefetch(&self.data[slot.begin as usize..]);
            }
        }
        let mut hashes = hashes.iter();
        numbers.extend(texts.map(|text| {
            match text {
                Some(text) => hashes
                    .next()
                    .map_or(NONE, |&hash| self.find_or_add(hash, text)),
                None => NONE,
            }
        }));
    }

    fn find_or_add(&mut self, hash: u64, text: &[u8]) -> i32 {
        let mask = self.slots.len() - 1;
        let mut place = hash as usize & mask;
        loop {
            let slot = self.slots[place];
            if slot.number == 0 {
                break;
            }
            if slot.hash == (hash >> 32) as u32 && slot.length as usize == text.len() {
                let begin = slot.begin as usize;
                if self.data[begin..begin + text.len()] == *text {
                    return slot.number as i32 - 1;
                }
            }
            place = (place + 1) & mask;
        }
        let number = self.len();
        self.slots[place] = Slot {
            hash: (hash >> 32) as u32,
            number: number as u32 + 1,
            begin: self.data.len() as u32,
            length: text.len() as u32,
        };
        self.data.extend_from_slice(text);
        self.offsets.push(self.data.len() as i32);
        number as i32
    }

    /// Make room for so many more texts: at most half of the slots are taken.
    fn reserve(&mut self, more: usize) {
        let mut size = self.slots.len();
        while (self.len() + more) * 2 > size {
            size *= 2;
        }
        if size == self.slots.len() {
            return;
        }
        let mask = size - 1;
        let mut slots = vec![Slot::default(); size];
        for slot in self.slots.iter().filter(|slot| slot.number != 0) {
            let text = &self.data[slot.begin as usize..(slot.begin + slot.length) as usize];
            let mut place = hash(text, self.seed) as usize & mask;
            while slots[place].number != 0 {
                place = (place + 1) & mask;
            }
            slots[place] = *slot;
        }
        self.slots = slots;
    }
}

/// Ask for memory that will be read soon.
fn prefetch<T: ?Sized>(what: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_mm_prefetch, _MM_HINT_T0};
        // SAFETY: a prefetch reads nothing and cannot fail; all processors of this kind have it.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(what).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = what;
}

/// Multiply and fold (Yi and others, "wyhash", the public domain), sixteen bytes at a time.
pub fn hash(text: &[u8], seed: u64) -> u64 {
    let mut state = seed ^ (text.len() as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let (first, last) = match text.len() {
        0..=3 => text.iter().fold((0, 0), |(known, _), &byte| {
            (known << 8 | u64::from(byte), 0)
        }),
        4..=7 => (half_word(text, 0), half_word(text, text.len() - 4)),
        8..=16 => (word(text, 0), word(text, text.len() - 8)),
        length => {
            for place in (0..length - 16).step_by(16) {
                state = fold(
                    word(text, place) ^ 0xA076_1D64_78BD_642F,
                    word(text, place + 8) ^ state,
                );
            }
            (word(text, length - 16), word(text, length - 8))
        }
    };
    fold(first ^ 0xE703_7ED1_A0B4_28DB, last ^ state)
}

fn word(text: &[u8], place: usize) -> u64 {
    text[place..place + 8]
        .try_into()
        .map_or(0, u64::from_le_bytes)
}

fn half_word(text: &[u8], place: usize) -> u64 {
    text[place..place + 4]
        .try_into()
        .map_or(0, |half| u32::from_le_bytes(half).into())
}

fn fold(left: u64, right: u64) -> u64 {
    let product = u128::from(left) * u128::from(right);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_keep_their_numbers_while_the_table_grows() {
        let mut interner = Interner::new();
        for _ in 0..2 {
            for number in 0..5000 {
                let text = format!("/path/{number}");
                assert_eq!(interner.intern(text.as_bytes()), number);
            }
        }
        assert_eq!(interner.text(4321), b"/path/4321");
        interner.clear();
        assert_eq!(interner.intern(b""), 0);
        assert_eq!(interner.intern(b""), 0);
    }

    #[test]
    fn many_texts_get_the_numbers_that_one_after_the_other_gets() {
        let texts: Vec<String> = (0..BATCH)
            .map(|number| format!("{}", number % 10))
            .collect();
        let mut interner = Interner::new();
        let mut numbers = vec![7];
        let given = texts
            .iter()
            .enumerate()
            .map(|(place, text)| (place % 3 > 0).then_some(text.as_bytes()));
        interner.intern_all(given.clone(), &mut numbers);
        assert_eq!(numbers.len(), BATCH + 1);
        for (text, &number) in given.zip(&numbers[1..]) {
            assert_eq!(number, text.map_or(NONE, |text| interner.intern(text)));
        }
        assert_eq!(interner.len(), 10);
    }
}
