//! Commands: what clients may ask, and in which words they are answered.
//!
//! A command never sees a socket: it gets a request, appends its reply to the [`Turn`] or launches operations whose
//! outcomes become it, and says how the session goes on. A request is first resolved against the [`table`], which
//! settles name, subcommand and number of arguments; its arguments are read by [`integer`], [`expiry`] and [`glob`];
//! whatever is wrong with it becomes a [`errors::CommandError`], whose text is Redis' own to the letter, since client
//! libraries match on it. COMMAND and HELP are answered from the same table by [`introspect`] and [`help`], so that
//! they cannot disagree with what is offered.

mod acl;
mod argument;
mod assembly;
mod bits;
mod client;
mod clients;
mod cluster;
mod cluster_wide;
mod connection;
mod describe;
mod dispatch;
mod dump;
pub mod errors;
pub mod expiry;
mod extended;
mod fields;
mod frame;
pub mod glob;
pub mod help;
mod info;
pub mod integer;
pub mod introspect;
mod keyspace;
mod kill_token;
#[cfg(test)]
mod large_tests;
mod latency;
mod lcs;
mod live;
mod modes;
mod monitor;
mod moves;
mod objects;
mod own_reads;
mod own_updates;
mod pace;
mod part;
mod pause;
mod peering;
mod reading;
mod reconfigure;
mod refusals;
mod scan;
mod server;
mod settings;
mod slowlog;
pub mod spec;
mod specs;
pub mod table;
#[cfg(test)]
mod testing;
mod turn;
mod updates;
mod wait;
mod watch;

pub use assembly::LargeValue;
pub use client::{Client, ClientDescription, Clients};
pub use connection::State;
pub use kill_token::KillToken;
pub use live::LiveSettings;
pub use modes::Replies;
pub use pause::{Pause, PauseScope};
pub use refusals::Refusals;
pub use server::{Server, Statistics};
pub use turn::Turn;
pub use updates::parse_update;
pub use watch::{SlowLog, Watch};

pub(crate) use cluster_wide::{ClusterWide, ask_cluster};
pub(crate) use dispatch::{Flow, Order, dispatch};
pub(crate) use monitor::stop as stop_monitoring;
pub(crate) use slowlog::log_if_slow;
pub(crate) use wait::{WaitOrder, wait};
pub(crate) use watch::Rates;
