//! The bridge as the broker.

mod hostile;
