//! The service's limits and its rule for names.

use crate::wire::{
    Fault,
    limits::{refuse, required},
};

/// Maximum length of domains, task lists, identities, workflow ids and names of types.
pub(crate) const NAME: usize = 256;
pub(crate) const VERSION: usize = 64;
pub(crate) const TOKEN: usize = 1_024;
pub(crate) const HEARTBEAT_DETAILS: usize = 2_048;
pub(crate) const REASON: usize = 256;
/// Maximum length of results and of the details of failures and cancellations.
pub(crate) const DATA: usize = 32_768;
pub(crate) const RUN_ID: usize = 64;
pub(crate) const PAGE_TOKEN: usize = 2_048;
/// Maximum events on a page of a history.
const PAGE: u32 = 1_000;

/// A member that is a name. Domains, task lists and types have the same rule.
pub(crate) fn name<'a>(value: Option<&'a str>, field: &str, max: usize) -> Result<&'a str, Fault> {
    let name = required(value, field, max)?;
    let forbidden =
        |c: char| matches!(c, ':' | '/' | '|' | '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}');
    if name == "arn" || name.contains(forbidden) || name.trim() != name {
        return Err(refuse(
            &format!("Value '{name}' at '{field}'"),
            "Member must not start or end with whitespace, contain ':', '/', '|' or control \
             characters, or be 'arn'",
        ));
    }
    Ok(name)
}

/// The size of a page. Without a size, or with 0, it is the maximum.
pub(crate) fn page_size(value: Option<i64>) -> Result<u32, Fault> {
    let asked = value.unwrap_or(0);
    match u32::try_from(asked) {
        Ok(0) => Ok(PAGE),
        Ok(size) if size <= PAGE => Ok(size),
        Ok(_) | Err(_) => Err(refuse(
            &format!("Value '{asked}' at 'maximumPageSize'"),
            &format!("Member must be between 0 and {PAGE}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_services_rules() {
        for good in [
            "a",
            "shop",
            "with space",
            "arnold",
            "barn",
            "ü",
            &"x".repeat(256),
        ] {
            assert!(name(Some(good), "domain", NAME).is_ok(), "{good}");
        }
        let long = "x".repeat(257);
        for bad in [
            "", "arn", "a:b", "a/b", "a|b", " a", "a ", "a\tb", "a\u{85}b", &long,
        ] {
            let fault = name(Some(bad), "domain", NAME).expect_err(bad);
            assert_eq!(fault.code, "ValidationException");
        }
        assert!(name(None, "domain", NAME).is_err());
    }
}
