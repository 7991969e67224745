//! The names of the actions that are simulated.

/// An action of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SfnAction {
    GetActivityTask,
    SendTaskSuccess,
    SendTaskHeartbeat,
    SendTaskFailure,
    DescribeActivity,
}

impl SfnAction {
    /// All actions, the frequent ones first.
    pub(super) const ALL: &'static [Self] = &[
        Self::GetActivityTask,
        Self::SendTaskSuccess,
        Self::SendTaskHeartbeat,
        Self::SendTaskFailure,
        Self::DescribeActivity,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::GetActivityTask => "GetActivityTask",
            Self::SendTaskSuccess => "SendTaskSuccess",
            Self::SendTaskHeartbeat => "SendTaskHeartbeat",
            Self::SendTaskFailure => "SendTaskFailure",
            Self::DescribeActivity => "DescribeActivity",
        }
    }
}
