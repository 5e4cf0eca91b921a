//! Asking for a cache line before it is needed.
//!
//! A batch of requests for keys that are not in the cache would wait for memory once per line, one after the other.
//! Asked for beforehand, the lines of all requests arrive together: reading 16 keys of 100,000 took 40 % less processor
//! time that way. An instruction does this for which Rust has no safe name.
//!
//! Sound, because a prefetch is a hint: it reads nothing that the program could see, and an address that is not mapped
//! is ignored by the processor. `scripts/miri.sh` runs the tests of this file and of its users under Miri.

#![allow(unsafe_code, reason = "there is no safe prefetch; see the text above")]

/// Asks for the cache line at `address`, which need not be valid. Does nothing on processors other than `x86_64`.
#[inline(always)]
#[allow(clippy::inline_always, reason = "it is one instruction")]
pub(crate) fn prefetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86_64 processor has the instruction, and it faults at no address.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_address_will_do() {
        let value = 7_u64;
        prefetch(std::ptr::from_ref(&value).cast());
        prefetch(std::ptr::null());
        prefetch(std::ptr::without_provenance(usize::MAX));
        assert_eq!(value, 7);
    }
}
