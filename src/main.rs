//! The `ringkv` binary.

use std::process::ExitCode;

use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    ringkv::cli::run(|options| Ok(ringkv::server::run(options)?))
}
