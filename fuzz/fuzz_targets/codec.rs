#![no_main]

use activity_bridge::broker::endpoint::fuzz::codec;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| codec(bytes));
