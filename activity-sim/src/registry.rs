//! Domains and activity types, and which domains the caller may not touch.

use std::{collections::BTreeMap, time::Duration};

use crate::model::{ActivityType, Timeouts};

/// Why a domain or an activity cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unusable {
    Unknown,
    Forbidden,
}

/// All domains by name.
#[derive(Debug, Default)]
pub(crate) struct Registry(BTreeMap<String, Domain>);

/// A domain and its activity types.
#[derive(Debug)]
pub(crate) struct Domain {
    pub(crate) description: Option<String>,
    pub(crate) retention: String,
    types: Vec<RegisteredType>,
    forbidden: bool,
}

/// An activity type as it was registered. The texts are shown as they were given.
#[derive(Clone, Debug, Default)]
pub(crate) struct RegisteredType {
    pub(crate) activity_type: ActivityType,
    pub(crate) description: Option<String>,
    pub(crate) task_list: Option<String>,
    pub(crate) priority: Option<String>,
    pub(crate) schedule_to_start: Option<String>,
    pub(crate) start_to_close: Option<String>,
    pub(crate) schedule_to_close: Option<String>,
    pub(crate) heartbeat: Option<String>,
    /// Unix seconds.
    pub(crate) created: u64,
}

impl RegisteredType {
    /// The defaults for tasks of this type.
    pub(crate) fn timeouts(&self) -> Timeouts {
        // "NONE" is no number.
        let span = |text: &Option<String>| {
            text.as_deref()
                .and_then(|text| text.parse().ok())
                .map(Duration::from_secs)
        };
        Timeouts {
            schedule_to_start: span(&self.schedule_to_start),
            start_to_close: span(&self.start_to_close),
            schedule_to_close: span(&self.schedule_to_close),
            heartbeat: span(&self.heartbeat),
        }
    }
}

impl Registry {
    /// The domain, if the caller may use it.
    pub(crate) fn domain(&self, name: &str) -> Result<&Domain, Unusable> {
        let domain = self.0.get(name).ok_or(Unusable::Unknown)?;
        if domain.forbidden {
            Err(Unusable::Forbidden)
        } else {
            Ok(domain)
        }
    }

    /// Registers an activity type, if the caller may; false when it is there already.
    pub(crate) fn register(
        &mut self,
        domain: &str,
        registered: RegisteredType,
    ) -> Result<bool, Unusable> {
        self.domain(domain)?;
        let domain = self.0.get_mut(domain).ok_or(Unusable::Unknown)?;
        let new = domain.find(&registered.activity_type).is_none();
        if new {
            domain.types.push(registered);
        }
        Ok(new)
    }

    /// Whether there is a domain of this name, forbidden or not.
    pub(crate) fn knows(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Adds a domain; false when there was one of this name.
    pub(crate) fn add(&mut self, name: &str, domain: Domain) -> bool {
        if self.knows(name) {
            return false;
        }
        self.0.insert(name.to_owned(), domain);
        true
    }

    /// Forbids the domain or permits it again; false when there is none of this name.
    pub(crate) fn forbid(&mut self, name: &str, forbidden: bool) -> bool {
        self.0
            .get_mut(name)
            .map(|domain| domain.forbidden = forbidden)
            .is_some()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Domain)> {
        self.0.iter().map(|(name, domain)| (name.as_str(), domain))
    }

    /// The time-outs of tasks of this type that the decider did not say otherwise.
    pub(crate) fn defaults(&self, domain: &str, activity_type: &ActivityType) -> Timeouts {
        let domain = self.0.get(domain);
        let found = domain.and_then(|domain| domain.find(activity_type));
        found.map(RegisteredType::timeouts).unwrap_or_default()
    }
}

impl Domain {
    /// A domain without types; `retention` in days, as text.
    pub(crate) fn new(description: Option<String>, retention: &str) -> Self {
        let retention = retention.to_owned();
        Self {
            description,
            retention,
            types: Vec::new(),
            forbidden: false,
        }
    }

    pub(crate) fn find(&self, activity_type: &ActivityType) -> Option<&RegisteredType> {
        self.types
            .iter()
            .find(|known| known.activity_type == *activity_type)
    }
}
