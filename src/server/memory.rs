//! Memory of the whole process: pages that are small, and back with the system once they are free.
//!
//! A transparent huge page is emptied by whoever touches it first, all 2 MB of it, and on some machines the host has to find
//! it first. Measured while millions of keys were written: one request in a hundred waited 10 ms for that, 0.1 ms without.
//! So this process asks for none, as Redis does; it costs up to an eighth more processor time with deep pipelines among
//! millions of keys.
//!
//! The allocator (jemalloc) keeps what was freed for a moment, in case it is wanted again, and would look whether that moment is
//! over only when it is asked for memory or given some. On a node that served a few huge values and then nobody, that would be
//! never. So it is built to look from a thread of its own, which sleeps while nothing is to be given back. That it does,
//! `Cargo.toml` says; how long the moment is, `.cargo/config.toml`: a second, so that a value that is overwritten again and
//! again finds the pages of the one before.

/// Asks the system for small pages only, from now on. Where it cannot be asked, it goes by its own rules.
pub(super) fn refuse_huge_pages() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::warn!(%error, "cannot do without transparent huge pages: single requests may wait some milliseconds for one");
    }
}
