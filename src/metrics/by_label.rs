//! The series of a family, by the value of a label.

use crate::util::Label;
use prometheus::{IntCounter, IntCounterVec};
use std::{marker::PhantomData, ops::Index};

/// One series for each value of a label, found without a lock, a hash or a comparison.
pub(super) struct ByLabel<L, T>(Vec<T>, PhantomData<L>);

impl<L: Label, T> ByLabel<L, T> {
    pub(super) fn new(bind: impl Fn(L) -> T) -> Self {
        Self(L::ALL.iter().copied().map(bind).collect(), PhantomData)
    }
}

impl<L: Label> ByLabel<L, IntCounter> {
    pub(super) fn counters(family: &IntCounterVec, [route, source]: [&str; 2]) -> Self {
        Self::new(|label| family.with_label_values(&[route, source, label.label()]))
    }
}

impl<L: Label, T> Index<L> for ByLabel<L, T> {
    type Output = T;

    fn index(&self, label: L) -> &T {
        &self.0[label.index()]
    }
}
