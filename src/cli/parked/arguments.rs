//! The arguments of `activity-bridge parked`.

use crate::settle::parked::{MAX_READ, Which};
use clap::{Args, Subcommand};

/// What to do with parked messages.
#[derive(Subcommand, Debug)]
pub enum ParkedCommand {
    /// List parked messages, the oldest first: id, age, route, size, reason, and the beginning of the body
    ///
    /// With --json each also has the task, the type, and the whole reason.
    List {
        /// List so many of them at most
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=i64::from(MAX_READ)))]
        limit: u16,
        /// Only those whose reason contains this text
        #[arg(long, value_name = "TEXT")]
        reason_filter: Option<String>,
        /// Print JSON for machines
        #[arg(long)]
        json: bool,
    },
    /// Show one parked message: its properties, its headers and its body
    Show {
        /// The id, as the list shows it
        id: String,
        /// Print JSON for machines, with at most 1 MiB of the body
        #[arg(long, conflicts_with = "raw")]
        json: bool,
        /// Print the body alone, as it is
        #[arg(long)]
        raw: bool,
    },
    /// Read parked replies once more, as if their workers had sent them now
    ///
    /// A reply that AWS takes is parked no more. Any other stays parked: its task has ended, or is no task of this bridge, or it
    /// still can't be used. Its publisher's rights are those of the time when it was parked. Signs of life, dead letters and
    /// outcomes that AWS did not take are never replayed.
    Replay {
        #[command(flatten)]
        named: Named,
        /// Only those whose reason contains this text
        #[arg(long, value_name = "TEXT", requires = "all")]
        reason_filter: Option<String>,
        /// Print JSON for machines
        #[arg(long)]
        json: bool,
    },
    /// Delete parked messages. What is deleted is lost: look at it before
    Drop {
        #[command(flatten)]
        named: Named,
        /// Only those whose reason contains this text
        #[arg(long, value_name = "TEXT", requires = "all")]
        reason_filter: Option<String>,
        /// Yes, they shall be lost
        #[arg(long, required = true)]
        yes: bool,
        /// Print JSON for machines
        #[arg(long)]
        json: bool,
    },
}

/// The messages that a person names.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub struct Named {
    /// The id, as the list shows it. Of copies with the same id, the oldest
    pub id: Option<String>,
    /// All of them, the oldest first, 1,000 at most
    #[arg(long)]
    pub all: bool,
}

impl Named {
    pub(super) fn which(&self, reason_filter: Option<&String>) -> Which {
        match &self.id {
            Some(id) => Which::One(normal(id)),
            None => Which::All(reason_filter.cloned()),
        }
    }
}

/// An id as the bridge writes it.
pub(super) fn normal(id: &str) -> String {
    id.trim().to_ascii_lowercase()
}
