//! What fuzzers drive: each function here takes any bytes and asserts what must hold for them. `fuzz/` at the root has
//! the fuzzers and their corpus, which the tests replay.

mod client;
mod codec;
mod invariants;
mod operations;
mod sequence;
mod stream;
#[cfg(test)]
mod tests;
mod written;

#[cfg(test)]
pub(super) use client::{Client, World};
pub use codec::codec;
pub use sequence::sequence;
pub use stream::{Outcome, stream};
