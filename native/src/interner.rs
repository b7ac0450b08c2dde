//! Distinct texts, numbered in the order in which they first came, laid out as Arrow lays out strings.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

pub struct Interner {
    /// Arrow's offsets: text `n` is `data[offsets[n]..offsets[n + 1]]`.
    pub offsets: Vec<i32>,
    pub data: Vec<u8>,
    /// Upper half of a hash and number plus one of its text; zero where free. Its length is a power of two.
    slots: Vec<u64>,
    seed: u64,
}

const NUMBER: u64 = 0xFFFF_FFFF;

impl Interner {
    pub fn new() -> Interner {
        Interner {
            offsets: vec![0],
            data: Vec::new(),
            slots: vec![0; 1024],
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
        self.slots.fill(0);
    }

    pub fn text(&self, number: usize) -> &[u8] {
        &self.data[self.offsets[number] as usize..self.offsets[number + 1] as usize]
    }

    /// The number of a text, and whether it is new.
    pub fn intern(&mut self, text: &[u8]) -> (i32, bool) {
        if (self.len() + 1) * 2 > self.slots.len() {
            self.grow();
        }
        let hash = hash(text, self.seed);
        let mask = self.slots.len() - 1;
        let mut place = hash as usize & mask;
        loop {
            let slot = self.slots[place];
            if slot == 0 {
                break;
            }
            let number = (slot & NUMBER) as usize - 1;
            if (slot ^ hash) & !NUMBER == 0 && self.text(number) == text {
                return (number as i32, false);
            }
            place = (place + 1) & mask;
        }
        let number = self.len();
        self.data.extend_from_slice(text);
        self.offsets.push(self.data.len() as i32);
        self.slots[place] = (hash & !NUMBER) | (number as u64 + 1);
        (number as i32, true)
    }

    fn grow(&mut self) {
        let mask = self.slots.len() * 2 - 1;
        let mut slots = vec![0; mask + 1];
        for number in 0..self.len() {
            let hash = hash(self.text(number), self.seed);
            let mut place = hash as usize & mask;
            while slots[place] != 0 {
                place = (place + 1) & mask;
            }
            slots[place] = (hash & !NUMBER) | (number as u64 + 1);
        }
        self.slots = slots;
    }
}

/// Multiply and fold (Yi and others, "wyhash", the public domain), eight bytes at a time.
fn hash(text: &[u8], seed: u64) -> u64 {
    let mut state = seed ^ (text.len() as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut words = text.chunks_exact(8);
    for word in &mut words {
        let word = u64::from_le_bytes([
            word[0], word[1], word[2], word[3], word[4], word[5], word[6], word[7],
        ]);
        state = fold(state ^ word, 0xA076_1D64_78BD_642F);
    }
    let mut last = 0u64;
    for &byte in words.remainder() {
        last = last << 8 | u64::from(byte);
    }
    fold(state ^ last, seed ^ 0xE703_7ED1_A0B4_28DB)
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
        for round in 0..2 {
            for number in 0..5000 {
                let text = format!("/path/{number}");
                assert_eq!(interner.intern(text.as_bytes()), (number, round == 0));
            }
        }
        assert_eq!(interner.text(4321), b"/path/4321");
        interner.clear();
        assert_eq!(interner.intern(b""), (0, true));
        assert_eq!(interner.intern(b""), (0, false));
    }
}
