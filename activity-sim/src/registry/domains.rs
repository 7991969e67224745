//! The domains of Amazon SWF and their activity types.

use std::collections::BTreeMap;

use crate::model::{ActivityType, Timeouts};

/// Why a domain or an activity cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unusable {
    Unknown,
    Forbidden,
}

/// All domains by name.
#[derive(Debug, Default)]
pub(crate) struct Domains(BTreeMap<String, Domain>);

/// A domain and its activity types.
#[derive(Debug, Default)]
pub(crate) struct Domain {
    types: Vec<RegisteredType>,
    forbidden: bool,
}

/// An activity type as it was registered.
#[derive(Clone, Debug)]
pub(crate) struct RegisteredType {
    pub(crate) activity_type: ActivityType,
    /// The default time-outs, in whole seconds.
    pub(crate) defaults: Timeouts,
    /// Unix seconds.
    pub(crate) created: u64,
}

impl Domains {
    /// The domain, if the caller may use it.
    pub(crate) fn usable(&self, name: &str) -> Result<&Domain, Unusable> {
        let domain = self.0.get(name).ok_or(Unusable::Unknown)?;
        if domain.forbidden {
            Err(Unusable::Forbidden)
        } else {
            Ok(domain)
        }
    }

    /// Registers an activity type, if the caller may use the domain. Returns false when the type exists.
    pub(crate) fn register(
        &mut self,
        domain: &str,
        registered: RegisteredType,
    ) -> Result<bool, Unusable> {
        self.usable(domain)?;
        let domain = self.0.get_mut(domain).ok_or(Unusable::Unknown)?;
        let new = domain.find(&registered.activity_type).is_none();
        if new {
            domain.types.push(registered);
        }
        Ok(new)
    }

    /// Whether the domain exists, forbidden or not.
    pub(crate) fn exists(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Adds a domain without types, unless it exists.
    pub(crate) fn add(&mut self, name: &str) {
        self.0.entry(name.to_owned()).or_default();
    }

    /// Forbids the domain or permits it again. Returns false when it does not exist.
    pub(crate) fn forbid(&mut self, name: &str, forbidden: bool) -> bool {
        self.0
            .get_mut(name)
            .map(|domain| domain.forbidden = forbidden)
            .is_some()
    }

    /// The default time-outs for tasks of this type; none when the type is not registered.
    pub(crate) fn defaults(&self, domain: &str, activity_type: &ActivityType) -> Timeouts {
        let domain = self.0.get(domain);
        let found = domain.and_then(|domain| domain.find(activity_type));
        found.map(|found| found.defaults).unwrap_or_default()
    }
}

impl Domain {
    /// The registered activity type.
    pub(crate) fn find(&self, activity_type: &ActivityType) -> Option<&RegisteredType> {
        self.types
            .iter()
            .find(|known| known.activity_type == *activity_type)
    }
}
