//! Random sequences of frames of several clients at once, and streams of real clients that were changed.

use crate::broker::endpoint::fuzz::{sequence, stream};
use proptest::{collection::vec, prelude::*, sample::Index};

/// What a client sent that was recorded.
const RECORDED: [&[u8]; 2] = [
    include_bytes!("../../../../../fuzz/corpus/stream/python-pika"),
    include_bytes!("../../../../../fuzz/corpus/stream/java-amqp-client"),
];

/// Shows a failed sequence as a file of the corpus, in hexadecimal digits.
struct Shown<'a>(&'a [u8]);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let digits: String = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
            eprintln!("for the corpus: {digits}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn no_sequence_of_frames_breaks_a_promise(bytes in vec(any::<u8>(), 1..3_000)) {
        let _shown = Shown(&bytes);
        sequence(&bytes);
    }

    #[test]
    fn no_change_of_a_recorded_stream_breaks_a_promise(
        at in any::<Index>(), changes in vec((any::<Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = at.get(&RECORDED).to_vec();
        for (at, octet) in changes {
            let at = at.index(bytes.len());
            bytes[at] = octet;
        }
        let _shown = Shown(&bytes);
        let _ = stream(&bytes);
    }
}
