//! The setting of the AWS region.

pub(crate) fn region_rule(text: &str) -> Result<String, String> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if text.is_empty() || !text.bytes().all(plain) {
        return Err("must be an AWS region, like \"eu-west-1\"".to_owned());
    }
    Ok(text.to_owned())
}
