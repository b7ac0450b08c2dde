//! Numbers as bytes.

/// Numbers that may be read as bytes, as C and Parquet have them.
pub trait Plain {}
impl Plain for i32 {}
impl Plain for i64 {}
impl Plain for u64 {}

const _: () = assert!(cfg!(target_endian = "little"));

pub fn bytes_of<T: Plain>(numbers: &[T]) -> &[u8] {
    // SAFETY: integers have no padding, and the slice spans exactly theirs.
    unsafe { std::slice::from_raw_parts(numbers.as_ptr().cast(), std::mem::size_of_val(numbers)) }
}
