//! The descriptions of all commands, a file per subject.
//!
//! Arity, flags, keys and categories are those that redis-server 7.0.15 reports (a test holds them against its
//! answers); the sentences are our own. Two things differ from Redis on purpose. Tips that tell a client to ask every
//! shard and add up the answers are left out where any one node answers for the whole cluster: DBSIZE summed over
//! nodes would count each key several times. And options that are not offered are not listed.

mod bits;
mod client;
mod cluster;
mod connection;
mod counters;
mod data;
mod door;
mod internal;
mod keys;
mod keyspace;
mod server;
mod strings;
mod watching;

use crate::command::spec::CommandSpec;

/// Every command and container, those between nodes too.
pub(super) fn all() -> impl Iterator<Item = &'static CommandSpec> {
    let subjects: [&[CommandSpec]; _] = [
        data::COMMANDS,
        counters::COMMANDS,
        strings::COMMANDS,
        keys::COMMANDS,
        bits::COMMANDS,
        server::COMMANDS,
        connection::COMMANDS,
        cluster::COMMANDS,
        keyspace::COMMANDS,
        watching::COMMANDS,
        door::COMMANDS,
        internal::COMMANDS,
    ];
    subjects.into_iter().flatten()
}
