//! The C interface of `lakehouse/encoded_parquet.py`: one body after the other, each valid until the next one is made.

use crate::pages::{Pages, Rows};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::slice;

const MADE: i64 = 0;
const PANICKED: i64 = -1;

#[no_mangle]
pub extern "C" fn lakehouse_pages_open() -> *mut Pages {
    Box::into_raw(Box::default())
}

/// # Safety
/// `pages` came from `lakehouse_pages_open` and is not used again.
#[no_mangle]
pub unsafe extern "C" fn lakehouse_pages_close(pages: *mut Pages) {
    // SAFETY: see above.
    drop(unsafe { Box::from_raw(pages) });
}

/// The body that was made last: its address, and its length through `size`.
///
/// # Safety
/// `pages` came from `lakehouse_pages_open`, `size` is valid for a write.
#[no_mangle]
pub unsafe extern "C" fn lakehouse_pages_body(pages: *const Pages, size: *mut usize) -> *const u8 {
    // SAFETY: see above.
    let body = unsafe { &(*pages).body };
    // SAFETY: see above.
    unsafe { *size = body.len() };
    body.as_ptr()
}

/// Make a dictionary page; returns 0, or -1 if the offsets make no sense.
///
/// # Safety
/// `pages` came from `lakehouse_pages_open`; `offsets` is valid for reads of one more than `count`, `data` of `size` bytes.
#[no_mangle]
pub unsafe extern "C" fn lakehouse_pages_dictionary(
    pages: *mut Pages,
    offsets: *const i32,
    count: usize,
    data: *const u8,
    size: usize,
) -> i64 {
    // SAFETY: see above; nothing else uses the pages meanwhile.
    let (pages, offsets, data) =
        unsafe { (&mut *pages, array(offsets, count + 1), array(data, size)) };
    made(|| pages.dictionary(offsets, data))
}

/// Make a data page of `count` rows from row `begin` on; returns 0, or -1 if a row names no text of the dictionary. `kind`: 0
/// numbers (Int32) of texts of the last dictionary page, 1 bits, 4 or 8 numbers of so many bytes. `validity`: a bit for each
/// row, set if it has a value; null if all have one.
///
/// # Safety
/// `pages` came from `lakehouse_pages_open`; `values`, aligned for its kind, and `validity` are valid for reads up to the last row.
#[no_mangle]
pub unsafe extern "C" fn lakehouse_pages_data(
    pages: *mut Pages,
    kind: u32,
    values: *const u8,
    validity: *const u8,
    begin: usize,
    count: usize,
) -> i64 {
    let end = begin + count;
    // SAFETY: see above; nothing else uses the pages meanwhile.
    let pages = unsafe { &mut *pages };
    // SAFETY: see above.
    let bits = (!validity.is_null()).then(|| unsafe { array(validity, end.div_ceil(8)) });
    // SAFETY of each slice: see above.
    match kind {
        0 => {
            let numbers = unsafe { array(values.cast::<i32>(), end) };
            made(|| pages.texts(Rows::of_numbers(numbers, bits, begin, count)))
        }
        1 => {
            let values = unsafe { array(values, end.div_ceil(8)) };
            made(|| pages.booleans(Rows::of_bits(values, bits, begin, count)))
        }
        4 => {
            let numbers = unsafe { array(values.cast::<i32>(), end) };
            made(|| pages.numbers(Rows::of_numbers(numbers, bits, begin, count)))
        }
        8 => {
            let numbers = unsafe { array(values.cast::<i64>(), end) };
            made(|| pages.numbers(Rows::of_numbers(numbers, bits, begin, count)))
        }
        _ => PANICKED,
    }
}

/// # Safety
/// `values` is valid for reads of `count` values; of none it may be null.
unsafe fn array<'a, T>(values: *const T, count: usize) -> &'a [T] {
    if count == 0 {
        return &[];
    }
    // SAFETY: see above.
    unsafe { slice::from_raw_parts(values, count) }
}

fn made(make: impl FnOnce()) -> i64 {
    catch_unwind(AssertUnwindSafe(make)).map_or(PANICKED, |()| MADE)
}
