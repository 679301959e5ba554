//! The program `anteroom`.

/// Small pieces of many threads come and go with each request, and the memory of a storm of joins is to go back to the system.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    anteroom::cli::main()
}
