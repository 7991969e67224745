//! The house rules that a compiler does not check: who may import whom, which names are retired, and who may spawn
//! without supervision.

mod graph;
mod imports;
mod names;
mod source;
mod spawn;
