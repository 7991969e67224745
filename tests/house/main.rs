//! The house rules that a compiler does not check: who may import whom, which names are retired, who may spawn
//! without supervision, and that each loop panics in a test.

mod graph;
mod imports;
mod names;
mod source;
mod spawn;
