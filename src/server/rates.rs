//! The sampling behind the rates in INFO.

use std::sync::Arc;

use tokio::time::{Instant, MissedTickBehavior};

use crate::command::{Rates, Server};

/// Runs until it is dropped.
pub(super) async fn sample(server: Arc<Server>) {
    let mut ticks = tokio::time::interval(Rates::INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = Instant::now();
    loop {
        ticks.tick().await;
        let now = Instant::now();
        server.watch.rates.sample(&server.statistics, now - last);
        last = now;
    }
}
