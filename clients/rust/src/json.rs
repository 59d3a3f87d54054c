//! JSON as text that nothing is lost from, and the ways between it and values.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::error::{Error, Reason, Result};

/// A JSON value as its text: every digit, the order of members, repeated members. It goes wherever a value goes, alone or inside
/// of another one; as the input type of a component it is what the gateway sent.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RawJson(Box<RawValue>);

impl RawJson {
    /// The text of a value.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<RawJson> {
        serde_json::value::to_raw_value(value).map(RawJson).map_err(not_json)
    }

    /// The text.
    pub fn get(&self) -> &str {
        self.0.get()
    }

    /// The value that the text says.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_str(self.get()).map_err(|error| Error::unreadable("the value", error))
    }
}

impl FromStr for RawJson {
    type Err = Error;

    fn from_str(text: &str) -> Result<RawJson> {
        RawValue::from_string(text.trim().to_owned()).map(RawJson).map_err(|error| Error::unreadable("the value", error))
    }
}

impl fmt::Display for RawJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.get())
    }
}

impl PartialEq for RawJson {
    fn eq(&self, other: &RawJson) -> bool {
        self.get() == other.get()
    }
}

/// The bytes of a value.
pub(crate) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Bytes> {
    serde_json::to_vec(value).map(Bytes::from).map_err(not_json)
}

pub(crate) fn decode<T: DeserializeOwned>(data: &[u8], what: &str) -> Result<T> {
    serde_json::from_slice(data).map_err(|error| Error::unreadable(what, error))
}

fn not_json(error: serde_json::Error) -> Error {
    Error::new(Reason::InvalidValue, format!("the value cannot be written as JSON: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(feature = "exact-numbers")]
    fn values_keep_their_digits_and_their_order() {
        for text in
            ["9007199254740993", "1000000000000000000000000000000000000000000", "-0.0", "1.0", "1.10", "{\"b\":1,\"a\":[1.0,-0]}"]
        {
            let value: serde_json::Value = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&value).unwrap(), text);
        }
    }

    #[test]
    fn raw_json_is_the_text_alone_and_inside() {
        let raw: RawJson = " {\"a\": 1.50, \"a\": 2} ".parse().unwrap();
        assert_eq!(raw.get(), "{\"a\": 1.50, \"a\": 2}");
        let list = serde_json::to_string(&vec![raw.clone(), raw]).unwrap();
        assert_eq!(list, "[{\"a\": 1.50, \"a\": 2},{\"a\": 1.50, \"a\": 2}]");
        assert!("{".parse::<RawJson>().is_err());
    }

    #[test]
    fn what_json_cannot_say_is_refused_or_null() {
        let map = std::collections::HashMap::from([((1, 2), 3)]);
        assert_eq!(encode(&map).unwrap_err().reason(), Reason::InvalidValue);
    }
}
