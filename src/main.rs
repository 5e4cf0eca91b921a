//! The `ringkv` binary.

fn main() {}
