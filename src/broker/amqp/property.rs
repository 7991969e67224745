//! The 14 properties that a message can have.

/// A property. Its number is its place among the flags, from the highest bit down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Property {
    /// The MIME type of the body.
    ContentType,
    /// The encoding of the body.
    ContentEncoding,
    /// A table.
    Headers,
    /// Whether the message outlives the broker.
    DeliveryMode,
    /// The priority.
    Priority,
    /// What the message belongs to.
    CorrelationId,
    /// Where an answer goes.
    ReplyTo,
    /// How long the message may wait.
    Expiration,
    /// The message's id.
    MessageId,
    /// A time, in seconds since 1970.
    Timestamp,
    /// The kind of the message.
    Type,
    /// The user who sent the message.
    UserId,
    /// The application that sent the message.
    AppId,
    /// No use.
    ClusterId,
}

impl Property {
    /// All properties, in the order of the protocol.
    pub(super) const ALL: [Self; 14] = [
        Self::ContentType,
        Self::ContentEncoding,
        Self::Headers,
        Self::DeliveryMode,
        Self::Priority,
        Self::CorrelationId,
        Self::ReplyTo,
        Self::Expiration,
        Self::MessageId,
        Self::Timestamp,
        Self::Type,
        Self::UserId,
        Self::AppId,
        Self::ClusterId,
    ];

    /// The flag that says whether a message has this property.
    #[must_use]
    pub(super) const fn flag(self) -> u16 {
        0x8000 >> self as u16
    }

    /// The value of this property at the start of `bytes`, and what follows it; none if `bytes` ends before.
    #[must_use]
    pub(super) fn split(self, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
        let length = match self {
            Self::Headers => {
                let length = u32::from_be_bytes(*bytes.first_chunk()?);
                usize::try_from(length).ok()?.checked_add(4)?
            }
            Self::DeliveryMode | Self::Priority => 1,
            Self::Timestamp => 8,
            _ => 1 + usize::from(*bytes.first()?),
        };
        bytes.split_at_checked(length)
    }
}
