//! Reading and writing JSON bodies.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::wire::fault::Fault;

/// Reads a body.
pub(crate) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(body).map_err(|error| Fault::serialization(error.to_string()))
}

/// Writes a body.
pub(crate) fn written(body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(body).expect("strings and numbers can be written as JSON")
}

/// Sets a member, if there is a value for it.
pub(crate) fn put(object: &mut Value, key: &str, value: Option<&str>) {
    if let Some(value) = value {
        object[key] = Value::from(value);
    }
}
