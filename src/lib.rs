//! ringkv: a Redis-protocol server made of equal nodes on a consistent-hash ring.
//!
//! The way of a request, and the way of the imports (a file imports only what lies further right, or below):
//!
//! ```text
//! server → session → command → coordinator → replica → store, peer → ring, codec, version, time, config
//! ```

pub mod cli;
pub mod clock;
pub mod codec;
pub mod command;
pub mod config;
pub mod coordinator;
pub mod flush;
pub mod mutation;
pub mod peer;
mod prefetch;
pub mod replica;
pub mod ring;
pub mod server;
pub mod session;
pub mod store;
pub mod time;
pub mod version;
