//! `configs/asyncapi.yaml` as a judge: is this payload allowed on this channel, this value under this key?

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

use boon::{Compiler, Draft, SchemaIndex, Schemas};
use serde_json::Value;

const DOCUMENT: &str = "mem:///asyncapi.json";

/// The contract, its schemas compiled.
pub struct Contract {
    document: Value,
    schemas: Schemas,
    /// By JSON pointer.
    compiled: BTreeMap<String, SchemaIndex>,
}

/// The one of this repository.
pub fn contract() -> &'static Contract {
    static CONTRACT: OnceLock<Contract> = OnceLock::new();
    CONTRACT.get_or_init(Contract::load)
}

impl Contract {
    fn load() -> Contract {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/asyncapi.yaml");
        let document: Value = yaml_serde::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        let mut pointers = Vec::new();
        for (name, message) in members(&document["components"]["messages"]) {
            assert!(message["payload"].is_object(), "the message {name} has no payload");
            pointers.push(format!("/components/messages/{name}/payload"));
        }
        for (name, _) in members(&document["components"]["schemas"]) {
            pointers.push(format!("/components/schemas/{name}"));
        }
        for (name, _) in members(&document["components"]["parameters"]) {
            pointers.push(format!("/components/parameters/{name}/x-schema"));
        }
        let (mut compiler, mut schemas) = (Compiler::new(), Schemas::new());
        // AsyncAPI 3 schemas are of draft 7 unless they say otherwise.
        compiler.set_default_draft(Draft::V7);
        compiler.add_resource(DOCUMENT, document.clone()).unwrap();
        let compiled = pointers.into_iter().map(|pointer| {
            let index = compiler.compile(&format!("{DOCUMENT}#{pointer}"), &mut schemas).unwrap_or_else(|error| panic!("{pointer}: {error:#}"));
            (pointer, index)
        });
        let compiled = compiled.collect();
        Contract { document, schemas, compiled }
    }

    pub fn document(&self) -> &Value {
        &self.document
    }

    /// Judges a payload by the channel it came on; the name of the message that it is.
    pub fn message(&self, channel: &str, payload: &Value) -> Result<String, String> {
        let found = self.channel(channel)?;
        let messages: Vec<(&String, String)> = members(&found["messages"]).map(|(key, message)| (key, target(message))).collect();
        let mut complaints = Vec::new();
        for (key, pointer) in &messages {
            match self.judge(&format!("{pointer}/payload"), payload) {
                Ok(()) => return Ok(pointer.rsplit('/').next().unwrap_or_default().to_owned()),
                // The message that it claims to be is the one whose complaint helps.
                Err(complaint) if payload["type"] == key.as_str() || messages.len() <= 2 => complaints.push(complaint),
                Err(_) => {}
            }
        }
        if complaints.is_empty() {
            let known: Vec<&str> = messages.iter().map(|(key, _)| key.as_str()).collect();
            complaints.push(format!("the type {} is none of {}", payload["type"], known.join(", ")));
        }
        Err(complaints.join("; "))
    }

    /// Judges what stands under a key; `field` is of a hash. The name of the schema that it fits.
    pub fn key(&self, key: &str, field: Option<&str>, value: &str) -> Result<String, String> {
        let (pattern, found) =
            self.lookup(members(&self.document["x-keys"]).map(|(name, spec)| (name.as_str(), spec)), key)?.ok_or_else(|| format!("no such key: {key}"))?;
        let mut schema = target(&found["value"]);
        if let Some(field) = field {
            match found["fields"].as_object() {
                Some(fields) => schema = target(fields.get(field).ok_or_else(|| format!("{pattern} has no field {field}"))?),
                None => self.judge(&target(&found["field"]), &Value::from(field))?,
            }
        }
        // What is a text in Redis is JSON inside it, unless the schema says that it is a text.
        let wants_text = self.document.pointer(&schema).is_some_and(|schema| schema["type"] == "string");
        let value = if wants_text { Value::from(value) } else { serde_json::from_str(value).map_err(|error| format!("no JSON: {error}"))? };
        self.judge(&schema, &value)?;
        Ok(schema.rsplit('/').next().unwrap_or_default().to_owned())
    }

    /// Judges a value by the schema at a pointer into the document.
    pub fn judge(&self, pointer: &str, value: &Value) -> Result<(), String> {
        let index = self.compiled.get(pointer).ok_or_else(|| format!("no schema at {pointer}"))?;
        self.schemas.validate(value, *index).map_err(|error| format!("{error}"))
    }

    /// The channel of that address. A name that nobody has is a `reply_to`, the channel without an address.
    fn channel(&self, name: &str) -> Result<&Value, String> {
        let with_address = members(&self.document["channels"]).filter_map(|(_, channel)| Some((channel["address"].as_str()?, channel)));
        if let Some((_, channel)) = self.lookup(with_address, name)? {
            return Ok(channel);
        }
        self.judge("/components/schemas/ReplyTo", &Value::from(name))?;
        members(&self.document["channels"])
            .find(|(_, channel)| channel["address"].is_null())
            .map(|(_, channel)| channel)
            .ok_or_else(|| format!("no channel {name}"))
    }

    /// Finds `name` among addresses, of which some end in a `{parameter}`: whole names first, then the longest.
    fn lookup<'a>(&self, among: impl Iterator<Item = (&'a str, &'a Value)>, name: &str) -> Result<Option<(&'a str, &'a Value)>, String> {
        let fits = |address: &str| match address.split_once('{') {
            Some((prefix, _)) => name.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty()),
            None => name == address,
        };
        let Some((address, found)) = among.filter(|(address, _)| fits(address)).max_by_key(|(address, _)| (!address.contains('{'), address.len())) else {
            return Ok(None);
        };
        if let Some((prefix, parameter)) = address.split_once('{') {
            let schema = target(&found["parameters"][parameter.trim_end_matches('}')]);
            self.judge(&format!("{schema}/x-schema"), &Value::from(&name[prefix.len()..])).map_err(|error| format!("the name {name}: {error}"))?;
        }
        Ok(Some((address, found)))
    }
}

/// The members of an object, none of anything else.
pub fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// The JSON pointer that a `$ref` into the same document holds.
fn target(reference: &Value) -> String {
    reference["$ref"].as_str().and_then(|text| text.strip_prefix('#')).unwrap_or_default().to_owned()
}
