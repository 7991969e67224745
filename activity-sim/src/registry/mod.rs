//! What exists on the services before there are tasks: domains, activity types and activities. Also
//! which of them the caller may not use.

mod activities;
mod domains;

pub(crate) use self::{
    activities::{Activities, Activity},
    domains::{Domain, Domains, RegisteredType, Unusable},
};
