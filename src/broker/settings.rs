//! The settings of the broker.

use super::rabbitmq::Uri;
use crate::settings::{Reader, address};

pub(crate) fn read_amqp(mut amqp: Reader<'_>) -> Option<Vec<Uri>> {
    let words = address::Words {
        keys: ["uri", "uris", "uri_file"],
        noun: "URI",
        server: "the broker",
    };
    let uris = address::read(&mut amqp, &words);
    amqp.finish();
    (!uris.is_empty()).then_some(uris)
}
