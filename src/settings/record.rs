//! What was read of a configuration: each setting with its declaration, its value, and where that comes from.
//!
//! The code that reads a key declares it: its kind, its default, and what it is for. So nothing is read that is not declared here.

use super::{places::Place, problem::Problems};
use serde_json::Value;
use std::{cell::RefCell, net::SocketAddr, path::PathBuf};

/// What stands for a part of a value that is not shown.
pub const HIDDEN: &str = "***";

/// A setting that was read, whether it is given or not.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// The key, such as `routes[0].swf.domain`.
    pub path: String,
    /// What may be written.
    pub kind: Kind,
    /// What it is for, in the words of the documents.
    pub help: &'static str,
    /// Whether there is no default, and the table needs it.
    pub required: bool,
    /// The value: as it is given, without a password; or the default. `None` if there is neither, or if it has a problem.
    pub value: Option<Value>,
    /// Whether a part of the value is not shown.
    pub redacted: bool,
    /// Where the value comes from; `None` for a default.
    pub place: Option<Place>,
    /// Whether the default goes by other settings.
    pub computed: bool,
}

/// What may be written for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A text.
    Text,
    /// One of these words.
    Word(Vec<&'static str>),
    /// A whole number within bounds, or a word.
    Integer {
        /// The least number.
        min: u64,
        /// The greatest number.
        max: u64,
        /// The word, if one is allowed.
        word: Option<&'static str>,
    },
    /// `true` or `false`.
    Flag,
    /// A list of texts.
    Texts {
        /// The least number of them.
        min: usize,
    },
}

/// All settings that were read, in their order.
#[derive(Debug, Default)]
pub struct Record(RefCell<Vec<Setting>>);

impl Record {
    pub(super) fn add(&self, setting: Setting) -> usize {
        let mut settings = self.0.borrow_mut();
        settings.push(setting);
        settings.len() - 1
    }

    /// Changes the setting with this number.
    pub(super) fn change(&self, number: usize, change: impl FnOnce(&mut Setting)) {
        if let Some(setting) = self.0.borrow_mut().get_mut(number) {
            change(setting);
        }
    }

    /// Notes a default that goes by other settings. Without effect if there is a value.
    pub(super) fn compute(&self, path: &str, default: Value) {
        let mut settings = self.0.borrow_mut();
        let setting = settings.iter_mut().rev().find(|known| known.path == path);
        if let Some(setting) = setting {
            setting.compute(default);
        }
    }

    /// The settings.
    #[must_use]
    pub fn into_inner(self) -> Vec<Setting> {
        self.0.into_inner()
    }
}

impl Setting {
    fn compute(&mut self, default: Value) {
        self.computed = true;
        if self.place.is_none() {
            self.value = Some(default);
        }
    }
}

/// What was found of a key: its value, if there is one without a problem.
#[must_use]
pub struct Found<'p, T> {
    pub(super) value: Option<T>,
    pub(super) given: bool,
    /// The number of its setting in the record.
    pub(super) number: usize,
    pub(super) record: &'p Record,
    pub(super) problems: &'p Problems,
}

impl<T> Found<'_, T> {
    /// The value, of a key that has no default, or none that is known yet.
    pub fn optional(self) -> Option<T> {
        self.value
    }

    /// The value, of a key that has no default. Without the key there is a problem.
    pub fn required(self) -> Option<T> {
        self.record.change(self.number, |setting| {
            setting.required = true;
            if !self.given {
                self.problems.add(&setting.path, None, "is missing");
            }
        });
        self.value
    }

    /// The value, or the default.
    pub fn or(self, default: T) -> T
    where
        T: Shown,
    {
        self.record.change(self.number, |setting| {
            if setting.place.is_none() {
                setting.value = Some(default.shown());
            }
        });
        self.value.unwrap_or(default)
    }

    /// The value, or the default; `None` if there is a value with a problem.
    pub fn unless_wrong(self, default: T) -> Option<T>
    where
        T: Shown,
    {
        let is_wrong = self.given && self.value.is_none();
        let value = self.or(default);
        (!is_wrong).then_some(value)
    }

    /// The value, or a default that goes by other settings.
    pub fn or_computed(self, default: T) -> T
    where
        T: Shown,
    {
        self.record
            .change(self.number, |setting| setting.compute(default.shown()));
        self.value.unwrap_or(default)
    }
}

/// A value that can be written as a setting.
pub trait Shown {
    /// The setting.
    fn shown(&self) -> Value;
}

/// A value that is written as one of a few words.
pub trait Word: Copy + PartialEq + 'static {
    /// The words, each with its value.
    const WORDS: &'static [(&'static str, Self)];

    /// The value that is written so.
    #[must_use]
    fn read(text: &str) -> Option<Self> {
        let known = Self::WORDS.iter().find(|(word, _)| *word == text);
        known.map(|(_, value)| *value)
    }

    /// The word.
    fn word(self) -> &'static str {
        let known = Self::WORDS.iter().find(|(_, value)| *value == self);
        known.map_or("", |(word, _)| word)
    }
}

impl<W: Word> Shown for W {
    fn shown(&self) -> Value {
        self.word().into()
    }
}

macro_rules! shown {
    ($($plain:ty),*) => {
        $(impl Shown for $plain {
            fn shown(&self) -> Value {
                serde_json::to_value(self).unwrap_or_default()
            }
        })*
    };
}

shown!(u8, u16, u64, usize, bool, String, SocketAddr, PathBuf);
