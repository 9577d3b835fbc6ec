//! YAML text as a plain tree in which every number keeps its digits as they were written.
//!
//! The YAML reader makes floats of decimals, which would change money. So the text is read twice: the first reading
//! says what kind each value is, the second takes the texts of the numbers. Must not know placeholders or problems.

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;
use yaml_serde::Value;

#[derive(Debug, PartialEq)]
pub(super) enum Tree {
    Nothing,
    Truth(bool),
    Number(String),
    Text(String),
    List(Vec<Tree>),
    /// `None` for a key that is no text.
    Map(Vec<(Option<String>, Tree)>),
    Tagged,
}

pub(super) fn read(text: &str) -> Result<Tree, yaml_serde::Error> {
    let shape: Value = yaml_serde::from_str(text)?;
    Written(shape).deserialize(yaml_serde::Deserializer::from_str(text))
}

/// Reads again what was understood as this value.
struct Written(Value);

impl<'de> DeserializeSeed<'de> for Written {
    type Value = Tree;

    fn deserialize<D: Deserializer<'de>>(self, again: D) -> Result<Tree, D::Error> {
        let known = match self.0 {
            Value::Number(_) => return again.deserialize_str(Digits),
            Value::Sequence(items) => return again.deserialize_seq(Items(items)),
            Value::Mapping(entries) => return again.deserialize_map(Entries(entries)),
            Value::Null => Tree::Nothing,
            Value::Bool(value) => Tree::Truth(value),
            Value::String(text) => Tree::Text(text),
            Value::Tagged(_) => Tree::Tagged,
        };
        again.deserialize_ignored_any(IgnoredAny)?;
        Ok(known)
    }
}

struct Digits;

impl Visitor<'_> for Digits {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the number that was read before")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Tree, E> {
        Ok(Tree::Number(text.to_owned()))
    }
}

struct Items(Vec<Value>);

impl<'de> Visitor<'de> for Items {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the list that was read before")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut again: A) -> Result<Tree, A::Error> {
        let mut items = Vec::new();
        for item in self.0 {
            let read = again.next_element_seed(Written(item))?;
            items.push(read.ok_or_else(|| A::Error::custom("a list is shorter when it is read again"))?);
        }
        Ok(Tree::List(items))
    }
}

struct Entries(yaml_serde::Mapping);

impl<'de> Visitor<'de> for Entries {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the keys that were read before")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut again: A) -> Result<Tree, A::Error> {
        let mut entries = Vec::new();
        for (key, value) in self.0 {
            again.next_key::<IgnoredAny>()?;
            let value = again.next_value_seed(Written(value))?;
            entries.push((if let Value::String(key) = key { Some(key) } else { None }, value));
        }
        Ok(Tree::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_digits() {
        let text =
            "a: 0.10\nb: [1e-7, -5, {c: 0.1234567890123456789012}]\n1: 99999999999999999999999.5\nd: \"0.10\"\ne: !x {f: 1}\ng: True\nh: ~\ni: |\n  1.0\n";
        let number = |text: &str| Tree::Number(text.to_owned());
        let key = |text: &str| Some(text.to_owned());
        let wanted = Tree::Map(vec![
            (key("a"), number("0.10")),
            (key("b"), Tree::List(vec![number("1e-7"), number("-5"), Tree::Map(vec![(key("c"), number("0.1234567890123456789012"))])])),
            (None, number("99999999999999999999999.5")),
            (key("d"), Tree::Text("0.10".to_owned())),
            (key("e"), Tree::Tagged),
            (key("g"), Tree::Truth(true)),
            (key("h"), Tree::Nothing),
            (key("i"), Tree::Text("1.0\n".to_owned())),
        ]);
        assert_eq!(read(text).unwrap(), wanted);
        assert_eq!(read("").unwrap(), Tree::Nothing);
        assert_eq!(read("0.50").unwrap(), number("0.50"));
    }
}
