#![no_main]

use activity_bridge::broker::endpoint::fuzz::sequence;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sequence(bytes));
