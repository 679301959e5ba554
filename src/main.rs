//! The program `anteroom`.

fn main() -> std::process::ExitCode {
    anteroom::cli::main()
}
