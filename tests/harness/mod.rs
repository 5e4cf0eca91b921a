//! What the tests of real processes share: nodes that are started and killed, sockets that speak raw RESP, and waiting
//! with a deadline instead of sleeping.

mod fake_peer;
mod inspector;
mod links;
mod node;
mod ports;
mod proxy;
mod raw;
mod wait;

pub(crate) use fake_peer::FakePeer;
pub(crate) use inspector::{Difference, differences};
pub(crate) use links::Links;
pub(crate) use node::{Cluster, Layout, Node, Signal};
pub(crate) use ports::Ports;
pub(crate) use raw::{RawClient, Reply, command};
pub(crate) use wait::{PATIENCE, poll, poll_for, wait_until};
