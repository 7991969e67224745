#![no_main]

use activity_bridge::broker::endpoint::fuzz::stream;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = stream(bytes);
});
