//! The program. All of it is in the library: an `async fn` that both await would be compiled twice.

use std::process::ExitCode;

fn main() -> ExitCode {
    activity_bridge::cli::execute::main()
}
