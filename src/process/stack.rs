//! Stacks that are deep enough for any message that a broker can deliver.
//!
//! The headers of a message can hold arrays in arrays and tables in tables. lapin reads them by recursion, on a thread of its own that
//! it starts with the standard library's default stack of 2 MiB. A reply that nests more deeply overflows that stack. An overflow
//! aborts the process, and the reply stays in its queue, so every further process would be aborted too.
//!
//! The only way to give that thread another stack is the environment variable `RUST_MIN_STACK`. The standard library reads it once.
//! Therefore [`ensure`] runs the program a second time in the same process (`exec`), with the variable set. The starter of the
//! program need not know: process id, arguments, environment and open files stay the same.

use std::{env, ffi::OsStr, io, os::unix::process::CommandExt, process::Command, thread};

/// The stack of each thread, in bytes.
///
/// All headers of a message are in one frame, which has at most 131,072 bytes. A level of nested arrays takes 5 bytes of it, a level of
/// nested tables 6. Therefore there are at most 26,200 levels of arrays, or 21,800 levels of tables. Measured at 26,000 and 21,000
/// levels:
///
/// | | lapin reads arrays | lapin reads tables | arrays are dropped | tables are dropped |
/// |---|---|---|---|---|
/// | release | 12 MiB | 18 MiB | 4 MiB | 3 MiB |
/// | dev | 277 MiB | 252 MiB | 4 MiB | 14 MiB |
///
/// lapin's functions are generic, so they are compiled with this crate. An `opt-level` for lapin in the dev profile does not change that.
///
/// The system gives memory only to those pages of a stack that are used. The rest costs only address space.
pub const BYTES: usize = if cfg!(debug_assertions) {
    512 << 20
} else {
    64 << 20
};

const VARIABLE: &str = "RUST_MIN_STACK";

/// Makes sure that the threads of this process have deep stacks. To be called before there is any.
///
/// If the variable already asks for as much or more, there is nothing to do. Otherwise the call returns only if it failed.
///
/// # Errors
///
/// If the program can't be run again.
pub fn ensure() -> io::Result<()> {
    if asked_for() >= BYTES {
        return Ok(());
    }
    let file = env::current_exe()?;
    // After `ld.so PROGRAM` the executable of this process is the loader. It would take the first argument for the program.
    if file.file_name().is_some_and(is_loader) {
        return Err(io::Error::other("the program was started by the loader"));
    }
    let mut arguments = env::args_os();
    let mut program = Command::new(file);
    if let Some(name) = arguments.next() {
        program.arg0(name);
    }
    let program = program.args(arguments).env(VARIABLE, BYTES.to_string());
    Err(program.exec())
}

fn is_loader(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b"ld-")
}

/// The value of the variable, read as the standard library reads it.
fn asked_for() -> usize {
    let said = env::var(VARIABLE).ok();
    said.and_then(|said| said.parse().ok()).unwrap_or_default()
}

/// Runs the whole program on a thread with a deep stack. The main thread's stack has the size that the system gives it, and nested
/// headers are dropped by recursion too.
///
/// # Errors
///
/// If the system can't start such a thread.
pub fn on_a_deep_one<T: Send + 'static>(
    program: impl FnOnce() -> T + Send + 'static,
) -> io::Result<thread::Result<T>> {
    let thread = thread::Builder::new()
        .name(env!("CARGO_PKG_NAME").to_owned())
        .stack_size(BYTES.max(asked_for()))
        .spawn(program)?;
    Ok(thread.join())
}
