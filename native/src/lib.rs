//! Cuts and encodes the usual lines of access logs in one pass over a block of text.
//!
//! The C interface of `lakehouse/datasets/access_logs/native.py`, which says what each answer means. What is not usual is
//! left to Python, which gives the same rows without this library. What it has encoded becomes pages of Parquet files here, too:
//! see `page_interface`.

mod bytes;
mod encoder;
mod interner;
mod line;
mod page_interface;
mod pages;
mod target;
mod visitor;

use encoder::{Encoder, Settings};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::slice;

/// Raised when the C interface changes, so that a library of another version is not used.
const INTERFACE: u32 = 4;
const PANICKED: i64 = -1;

#[no_mangle]
pub extern "C" fn lakehouse_interface() -> u32 {
    INTERFACE
}

/// An encoder; null if the settings make no sense. `settings`: two words of the visitor's key, then for each prefix (longest
/// first) the lengths of the prefix and of its application's name; `texts`: all of these after each other.
///
/// # Safety
/// The pointers are valid for reads of the lengths beside them.
#[no_mangle]
pub unsafe extern "C" fn lakehouse_open(
    settings: *const u64,
    count: usize,
    texts: *const u8,
    size: usize,
) -> *mut Encoder {
    // SAFETY: see above; the slices live no longer than this call.
    let (words, texts) = unsafe {
        (
            slice::from_raw_parts(settings, count),
            slice::from_raw_parts(texts, size),
        )
    };
    match catch_unwind(|| Settings::read(words, texts).map(Encoder::new)) {
        Ok(Some(encoder)) => Box::into_raw(Box::new(encoder)),
        _ => std::ptr::null_mut(),
    }
}

/// # Safety
/// `encoder` came from `lakehouse_open` and is not used again.
#[no_mangle]
pub unsafe extern "C" fn lakehouse_close(encoder: *mut Encoder) {
    // SAFETY: see above.
    drop(unsafe { Box::from_raw(encoder) });
}

/// Encode the lines of a text; returns how many were cut, -1 if that cannot be told.
///
/// # Safety
/// `encoder` came from `lakehouse_open`; `text` is valid for reads of `size` bytes.
#[no_mangle]
pub unsafe extern "C" fn lakehouse_encode(
    encoder: *mut Encoder,
    text: *const u8,
    size: usize,
    first_line: i64,
) -> i64 {
    // SAFETY: see above; nothing else uses the encoder meanwhile.
    let (encoder, text) = unsafe { (&mut *encoder, slice::from_raw_parts(text, size)) };
    // After a panic the caller throws the encoder away.
    catch_unwind(AssertUnwindSafe(|| encoder.encode(text, first_line))).unwrap_or(PANICKED)
}

/// Number a client's network that Python has found.
///
/// # Safety
/// As for `lakehouse_encode`.
#[no_mangle]
pub unsafe extern "C" fn lakehouse_network(
    encoder: *mut Encoder,
    text: *const u8,
    size: usize,
) -> i64 {
    // SAFETY: see above.
    let (encoder, text) = unsafe { (&mut *encoder, slice::from_raw_parts(text, size)) };
    catch_unwind(AssertUnwindSafe(|| {
        i64::from(encoder.networks.intern(text))
    }))
    .unwrap_or(PANICKED)
}

/// Forget what is remembered from block to block: `which` 0 agents, 1 requests, 2 users.
///
/// # Safety
/// `encoder` came from `lakehouse_open`.
#[no_mangle]
pub unsafe extern "C" fn lakehouse_forget(encoder: *mut Encoder, which: u32) {
    // SAFETY: see above.
    let encoder = unsafe { &mut *encoder };
    match which {
        0 => encoder.agents.clear(),
        1 => encoder.requests.clear(),
        _ => encoder.users.clear(),
    }
}

/// The visitors of the rows, by the words of clients and agents; returns 0, or -1 if a number is out of range.
///
/// # Safety
/// `encoder` came from `lakehouse_open`; `clients` holds two words a client, `agents` one an agent, with the one for no
/// agent last; `out` is valid for writes of a word for each row of the last `lakehouse_encode`.
#[no_mangle]
pub unsafe extern "C" fn lakehouse_visitors(
    encoder: *const Encoder,
    clients: *const u64,
    client_count: usize,
    agents: *const u64,
    agent_count: usize,
    out: *mut i64,
) -> i64 {
    // SAFETY: see above; the slices do not overlap.
    let (encoder, clients, agents, out) = unsafe {
        let encoder = &*encoder;
        (
            encoder,
            slice::from_raw_parts(clients, client_count * 2),
            slice::from_raw_parts(agents, agent_count),
            slice::from_raw_parts_mut(out, encoder.rows()),
        )
    };
    catch_unwind(AssertUnwindSafe(|| encoder.visitors(clients, agents, out)))
        .map_or(PANICKED, |()| 0)
}

/// An array of the last answer: its address, and its length in bytes through `size`; see `Encoder::array`.
///
/// # Safety
/// `encoder` came from `lakehouse_open`, `size` is valid for a write. The array is valid until the encoder is used again.
#[no_mangle]
pub unsafe extern "C" fn lakehouse_array(
    encoder: *const Encoder,
    number: u32,
    size: *mut usize,
) -> *const u8 {
    // SAFETY: see above.
    let bytes = unsafe { &*encoder }.array(number);
    // SAFETY: see above.
    unsafe { *size = bytes.len() };
    bytes.as_ptr()
}
