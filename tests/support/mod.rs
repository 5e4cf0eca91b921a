//! What the tests of whole clusters share: a cluster within one process and in paused time, chance from one seed, and
//! a checker of what its clients saw.

// Each test binary uses its own part of this.
#![allow(dead_code)]

pub(crate) mod chance;
pub(crate) mod cluster;
pub(crate) mod equality;
pub(crate) mod history;
