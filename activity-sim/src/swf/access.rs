//! Whether the caller may use a domain.

use crate::{
    hub::State,
    registry::{Domain, Unusable},
    wire::Fault,
    world::TaskNo,
};

/// The domain, if the caller may use it.
pub(super) fn usable<'a>(state: &'a State, domain: &str) -> Result<&'a Domain, Fault> {
    state.domains.usable(domain).map_err(|why| match why {
        Unusable::Unknown => Fault::unknown_resource(format!("Unknown domain: {domain}")),
        Unusable::Forbidden => Fault::not_permitted(format!(
            "User is not authorized to perform this action on the domain {domain}"
        )),
    })
}

/// Whether the caller may use the domain of this task. A forbidden domain refuses its tokens too.
pub(super) fn check_access(state: &State, task: TaskNo) -> Result<(), Fault> {
    let domain = state.world.place_of(task).map(|(domain, _)| domain);
    domain.map_or(Ok(()), |domain| usable(state, domain).map(|_| ()))
}
