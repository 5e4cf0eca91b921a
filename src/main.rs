//! The `ringkv` binary.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    ringkv::cli::run(|options| Ok(ringkv::server::run(options)?))
}
