//! The activities of AWS Step Functions.

use std::collections::BTreeMap;

use crate::{arn, clock::Micros, registry::domains::Unusable};

/// All activities by ARN.
#[derive(Debug, Default)]
pub(crate) struct Activities(BTreeMap<String, Activity>);

#[derive(Clone, Debug)]
pub(crate) struct Activity {
    pub(crate) name: String,
    pub(crate) created: Micros,
    forbidden: bool,
}

impl Activities {
    /// Creates the activity, unless it exists, and returns its ARN.
    pub(crate) fn create(&mut self, name: &str, now: Micros) -> String {
        let arn = arn::activity_arn(name);
        self.0.entry(arn.clone()).or_insert_with(|| Activity {
            name: name.to_owned(),
            created: now,
            forbidden: false,
        });
        arn
    }

    /// The activity, forbidden or not.
    pub(crate) fn get(&self, arn: &str) -> Option<&Activity> {
        self.0.get(arn)
    }

    /// The activity, if the caller may use it.
    pub(crate) fn usable(&self, arn: &str) -> Result<&Activity, Unusable> {
        let activity = self.get(arn).ok_or(Unusable::Unknown)?;
        if activity.forbidden {
            Err(Unusable::Forbidden)
        } else {
            Ok(activity)
        }
    }

    /// Forbids the activity or permits it again. Returns false when it does not exist.
    pub(crate) fn forbid(&mut self, arn: &str, forbidden: bool) -> bool {
        self.0
            .get_mut(arn)
            .map(|activity| activity.forbidden = forbidden)
            .is_some()
    }
}
