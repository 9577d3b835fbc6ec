//! YAML text as a tree of texts, each with its place in the file, placeholders completed.
//!
//! Must not know which keys exist. Refuses what a configuration does not need and an attacker would: big files,
//! anchors, tags.

mod anchors;
mod lines;
mod tree;

use std::path::Path;

use self::anchors::first_anchor;
use self::lines::{Lines, Step};
use self::tree::Tree;
use super::dotenv::Variables;
use super::interpolate::{PlaceholderError, complete};
use super::problem::{Problem, Report};

pub(super) const MAX_BYTES: usize = 64 * 1024;

/// A value of the file and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// `configs/broker.yaml:7: redis.port`.
    pub at: String,
    pub what: What,
}

#[derive(Debug, Clone)]
pub(super) enum What {
    Nothing,
    /// A text that names a variable which is not set.
    Unset,
    Text(String),
    /// A number as it was written, or a truth value, without quotes.
    Plain(String),
    /// A text completed from variables.
    Completed {
        text: String,
        /// Where the variables were set.
        from: Vec<String>,
        /// A name among them says that it holds a secret.
        secret: bool,
    },
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

/// A file as a tree, with what only matters when the file counts.
#[derive(Debug)]
pub(super) struct Parsed {
    pub node: Node,
    /// Placeholders whose variable is not set and has no default.
    pub unset: Vec<Problem>,
}

/// The file as a tree, or `None` when it is no YAML; `used` collects the names of variables in placeholders.
pub(super) fn parse(path: &Path, text: &str, variables: &Variables, used: &mut Vec<String>, report: &mut Report) -> Option<Parsed> {
    let file = path.display().to_string();
    if text.len() > MAX_BYTES {
        report.refuse(file, format!("larger than {} KiB, which no configuration of this broker is", MAX_BYTES / 1024));
        return None;
    }
    if let Some(line) = first_anchor(text) {
        report.refuse(
            format!("{file}:{line}"),
            "anchors and aliases (& and *) are not allowed; write the text in quotes if it is meant as it stands, as in \"*\"",
        );
        return None;
    }
    let lines = Lines::new(text);
    match tree::read(text) {
        Ok(tree) => {
            let mut builder = Builder { file, lines, variables, used, report, unset: Vec::new() };
            let node = builder.node(&mut Vec::new(), tree);
            Some(Parsed { node, unset: builder.unset })
        }
        Err(error) => {
            let (line, said) = unreadable(text, &lines, &error);
            report.refuse(line.map_or_else(|| file.clone(), |line| format!("{file}:{line}")), said);
            None
        }
    }
}

/// The line and the words: our own for what people do every day.
fn unreadable(text: &str, lines: &Lines, error: &yaml_serde::Error) -> (Option<usize>, String) {
    let said = error.to_string();
    if said.contains("duplicate entry")
        && let Some((key, first, second)) = lines.twice()
    {
        return (Some(second), format!("the key '{key}' stands here and on line {first}; delete one of the two"));
    }
    let line = error.location().map(|place| place.line());
    let naked = |number: usize| text.lines().nth(number - 1).is_some_and(|line| line.contains("${"));
    if said.contains("parsing a flow") && line.is_some_and(naked) {
        return (line, "a placeholder inside { } or [ ] needs quotes, as in {key: \"${NAME}\"}".to_owned());
    }
    let tab = |number: usize| text.lines().nth(number - 1).is_some_and(|line| line.trim_start_matches(' ').starts_with('\t'));
    if said.contains("cannot start any token") && line.is_some_and(tab) {
        return (line, "starts with a tab; YAML wants spaces there".to_owned());
    }
    (line, format!("not readable as YAML: {said}"))
}

struct Builder<'a> {
    file: String,
    lines: Lines,
    variables: &'a Variables,
    used: &'a mut Vec<String>,
    report: &'a mut Report,
    unset: Vec<Problem>,
}

impl Builder<'_> {
    fn node(&mut self, path: &mut Vec<String>, value: Tree) -> Node {
        let at = self.place(path);
        let what = match value {
            Tree::Nothing => What::Nothing,
            Tree::Truth(value) => What::Plain(value.to_string()),
            Tree::Number(text) => What::Plain(text),
            Tree::Text(text) => self.text(&at, &text),
            Tree::List(items) => What::List(items.into_iter().enumerate().map(|(n, item)| self.child(path, format!("[{n}]"), item)).collect()),
            Tree::Map(entries) => {
                let mut map = Vec::new();
                for (key, value) in entries {
                    match key {
                        Some(key) => map.push((key.clone(), self.child(path, key, value))),
                        None => self.report.refuse(at.clone(), "a key here is no plain text"),
                    }
                }
                What::Map(map)
            }
            Tree::Tagged => {
                self.report.refuse(at.clone(), "tags (words that start with !) are not allowed");
                What::Nothing
            }
        };
        Node { at, what }
    }

    fn child(&mut self, path: &mut Vec<String>, step: String, value: Tree) -> Node {
        path.push(step);
        let node = self.node(path, value);
        path.pop();
        node
    }

    fn text(&mut self, at: &str, text: &str) -> What {
        let lookup = |name: &str| self.variables.get(name).map(|variable| variable.value.clone());
        match complete(text, &lookup) {
            Ok(done) if done.names.is_empty() => What::Text(done.text),
            Ok(done) => {
                let secret = done.names.iter().any(|name| ["KEY", "SECRET", "PASSWORD", "TOKEN", "REDIS_URL"].iter().any(|word| name.contains(word)));
                let from = done.names.iter().filter_map(|name| self.variables.get(name)).map(|variable| variable.at.clone()).collect();
                self.used.extend(done.names);
                What::Completed { text: done.text, from, secret }
            }
            Err(error @ PlaceholderError::Missing(_)) => {
                self.unset.push(Problem { at: at.to_owned(), text: error.to_string() });
                What::Unset
            }
            Err(error) => {
                self.report.refuse(at, error.to_string());
                What::Nothing
            }
        }
    }

    fn place(&self, path: &[String]) -> String {
        let steps = path.iter().map(|step| match step.strip_prefix('[').and_then(|s| s.strip_suffix(']')).and_then(|n| n.parse().ok()) {
            Some(item) => Step::Item(item),
            None => Step::Key(step),
        });
        let line = self.lines.find(steps).map(|line| format!(":{line}")).unwrap_or_default();
        let mut shown = String::new();
        for step in path {
            if !shown.is_empty() && !step.starts_with('[') {
                shown.push('.');
            }
            shown.extend(step.chars().take(64).map(|c| if c.is_control() { '?' } else { c }));
        }
        if shown.is_empty() { self.file.clone() } else { format!("{}{line}: {shown}", self.file) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut report = Report::default();
            let _ = parse(Path::new("x.yaml"), &String::from_utf8_lossy(&bytes), &Variables::default(), &mut Vec::new(), &mut report);
        }

        #[test]
        fn arbitrary_yaml_like_text_never_panics(text in "([a-z]|:|-| |\n|\\[|\\]|\\{|\\}|,|\"|'|&|\\*|!|\\||>|#|\\$|1|~|é){0,80}") {
            let mut report = Report::default();
            let _ = parse(Path::new("x.yaml"), &text, &Variables::default(), &mut Vec::new(), &mut report);
        }
    }
}
