//! The house rules that a compiler does not check: who may import whom, and which names are retired.

mod graph;
mod imports;
mod names;
mod source;
