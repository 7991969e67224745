//! Rules for the members of a request. Both services word a violation in the same way. Lengths are counted
//! in characters (Unicode scalar values).

use crate::wire::fault::Fault;

/// A member that must exist, with 1 to `max` characters.
pub(crate) fn required<'a>(
    value: Option<&'a str>,
    field: &str,
    max: usize,
) -> Result<&'a str, Fault> {
    let value = value.ok_or_else(|| {
        refuse(
            &format!("Value null at '{field}'"),
            "Member must not be null",
        )
    })?;
    if value.is_empty() {
        return Err(refuse(
            &format!("Value '' at '{field}'"),
            "Member must have length greater than or equal to 1",
        ));
    }
    at_most(value, field, max)
}

/// A member that may be missing, with up to `max` characters.
pub(crate) fn optional(value: Option<&str>, field: &str, max: usize) -> Result<(), Fault> {
    value.map_or(Ok(()), |value| at_most(value, field, max).map(|_| ()))
}

/// A member with up to `max` characters.
pub(crate) fn at_most<'a>(value: &'a str, field: &str, max: usize) -> Result<&'a str, Fault> {
    // A text never has more characters than bytes.
    if value.len() <= max || value.chars().count() <= max {
        return Ok(value);
    }
    let shown: String = value.chars().take(64).collect();
    Err(refuse(
        &format!("Value '{shown}...' at '{field}'"),
        &format!("Member must have length less than or equal to {max}"),
    ))
}

/// A ValidationException with this violation.
pub(crate) fn refuse(what: &str, rule: &str) -> Fault {
    Fault::validation(format!(
        "1 validation error detected: {what} failed to satisfy constraint: {rule}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_counted_in_characters() {
        assert!(optional(Some(&"ü".repeat(256)), "reason", 256).is_ok());
        assert!(optional(Some(&"ü".repeat(257)), "reason", 256).is_err());
        assert!(optional(None, "reason", 256).is_ok());
        assert!(optional(Some(""), "reason", 256).is_ok());
    }
}
