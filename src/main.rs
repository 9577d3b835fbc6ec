//! The binary: parse, call, exit code. Everything else is the library's.

fn main() -> std::process::ExitCode {
    alpaca_broker::cli::main()
}
