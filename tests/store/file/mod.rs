//! What the store in one file has of its own.

mod bad_records;
mod child;
mod crash;
mod damage;
mod failing;
mod grouping;
mod offered_again;
mod opening;
mod scale;
