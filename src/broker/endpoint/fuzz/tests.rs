//! The corpus of the fuzzers, replayed.

use super::{codec, sequence, stream};
use std::{collections::BTreeMap, fs, panic::catch_unwind, path::Path};

/// The name of each file of a corpus, and what `target` returns for it.
fn replay<T>(corpus: &str, target: fn(&[u8]) -> T) -> BTreeMap<String, T> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let entries = fs::read_dir(folder.join(corpus)).expect("a corpus");
    let each = entries.map(|entry| {
        let entry = entry.expect("readable");
        let name = entry.file_name().into_string().expect("UTF-8");
        #[expect(clippy::disallowed_methods, reason = "a small file of the repository")]
        let bytes = fs::read(entry.path()).expect("readable");
        let returned = catch_unwind(|| target(&bytes));
        assert!(returned.is_ok(), "{corpus}/{name}");
        (name, returned.expect("no panic"))
    });
    let all: BTreeMap<_, _> = each.collect();
    assert!(all.len() >= 10, "{corpus} has a corpus");
    all
}

#[test]
fn the_codec_keeps_its_promises_for_its_corpus() {
    replay("codec", codec);
}

#[test]
fn a_sequence_of_operations_breaks_no_promise_of_the_endpoint() {
    replay("sequence", sequence);
}

/// The files of hostile streams, and the codes with which they are refused.
const REFUSED: [(&str, &[u16]); 25] = [
    ("acks-of-nothing", &[406]),
    ("body-too-long", &[501]),
    ("body-without-header", &[505]),
    ("channel-before-open", &[504]),
    ("consume-ack-all", &[]),
    ("content-without-method", &[505]),
    ("empty-bodies", &[]),
    ("frame-above-4096-in-handshake", &[501]),
    ("half-body", &[]),
    ("handshake-out-of-order", &[503]),
    ("handshake-then-silence", &[]),
    ("header-too-large", &[406]),
    ("latin1-app-id", &[]),
    ("latin1-routing-key", &[502]),
    ("latin1-type", &[]),
    ("method-inside-of-a-message", &[505]),
    ("nested-20000-start-ok", &[501]),
    ("nested-headers-of-a-reply", &[]),
    ("nested-start-ok", &[502]),
    ("publish-inside-of-a-message", &[505]),
    ("server-methods", &[503]),
    ("size-0xffffffff", &[501]),
    ("tune-above-ours", &[530]),
    ("unknown-method-on-closed-channel", &[406]),
    ("unknown-vhost", &[530]),
];

/// The files of recorded clients that reply, and the number of their replies.
const RECORDED: [(&str, usize); 8] = [
    ("go-amqp091", 6),
    ("java-amqp-client", 8),
    ("node-amqplib", 8),
    ("php-amqp", 10),
    ("python-aio-pika", 10),
    ("python-pika", 8),
    ("ruby-bunny", 8),
    ("shell-amqp-tools-9", 1),
];

#[test]
fn a_stream_of_bytes_breaks_no_promise_of_a_session_and_is_refused_with_the_right_code() {
    let outcomes = replay("stream", stream);
    for (name, codes) in REFUSED {
        assert_eq!(outcomes[name].refusals, codes, "{name}");
    }
    for (name, replies) in RECORDED {
        assert!(outcomes[name].refusals.is_empty(), "{name}");
        assert_eq!(outcomes[name].replies, replies, "{name}");
    }
}
