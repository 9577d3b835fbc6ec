//! YAML text as a tree of texts, each with its place in the file, placeholders completed.
//!
//! Must not know which keys exist. Refuses what a configuration does not need and an attacker would: big files, anchors, tags.

use std::path::Path;

use yaml_serde::Value;

use super::dotenv::Variables;
use super::interpolate::complete;
use super::problem::Report;

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
    Text(String),
    /// A number or a truth value that was not written in quotes: as the YAML reader understood it.
    Plain(String),
    /// A text completed from a variable whose name says that it holds a secret.
    Hidden(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

enum Step<'a> {
    Key(&'a str),
    Item(usize),
}

/// The file as a tree, or `None` when it is no YAML; `used` collects the names of variables in placeholders.
pub(super) fn parse(path: &Path, text: &str, variables: &Variables, used: &mut Vec<String>, report: &mut Report) -> Option<Node> {
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
    match yaml_serde::from_str::<Value>(text) {
        Ok(value) => Some(Builder { file, lines: Lines::new(text), variables, used, report }.node(&mut Vec::new(), value)),
        Err(error) => {
            let at = error.location().map_or_else(|| file.clone(), |place| format!("{file}:{}", place.line()));
            report.refuse(at, format!("not readable as YAML: {error}"));
            None
        }
    }
}

struct Builder<'a> {
    file: String,
    lines: Lines,
    variables: &'a Variables,
    used: &'a mut Vec<String>,
    report: &'a mut Report,
}

impl Builder<'_> {
    fn node(&mut self, path: &mut Vec<String>, value: Value) -> Node {
        let at = self.place(path);
        let what = match value {
            Value::Null => What::Nothing,
            Value::Bool(value) => What::Plain(value.to_string()),
            Value::Number(value) => What::Plain(value.to_string()),
            Value::String(text) => self.text(&at, &text),
            Value::Sequence(items) => What::List(items.into_iter().enumerate().map(|(n, item)| self.child(path, format!("[{n}]"), item)).collect()),
            Value::Mapping(entries) => {
                let mut map = Vec::new();
                for (key, value) in entries {
                    match key {
                        Value::String(key) => map.push((key.clone(), self.child(path, key, value))),
                        _ => self.report.refuse(at.clone(), "a key here is no plain text"),
                    }
                }
                What::Map(map)
            }
            Value::Tagged(_) => {
                self.report.refuse(at.clone(), "tags (words that start with !) are not allowed");
                What::Nothing
            }
        };
        Node { at, what }
    }

    fn child(&mut self, path: &mut Vec<String>, step: String, value: Value) -> Node {
        path.push(step);
        let node = self.node(path, value);
        path.pop();
        node
    }

    fn text(&mut self, at: &str, text: &str) -> What {
        let lookup = |name: &str| self.variables.get(name).map(|variable| variable.value.clone());
        match complete(text, &lookup) {
            Ok(done) => {
                let secret = done.names.iter().any(|name| ["KEY", "SECRET", "PASSWORD", "TOKEN", "REDIS_URL"].iter().any(|word| name.contains(word)));
                self.used.extend(done.names);
                if secret { What::Hidden(done.text) } else { What::Text(done.text) }
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

/// The line of the first `&anchor` or `*alias`. May take a text for one where YAML would not, inside block texts; never the other way round
/// for what stands in a configuration.
fn first_anchor(text: &str) -> Option<usize> {
    let mut chars = text.chars().peekable();
    let (mut line, mut depth) = (1, 0u32);
    let (mut node_may_start, mut after_space) = (true, true);
    while let Some(c) = chars.next() {
        let next_ends_word = chars.peek().is_none_or(|next| next.is_whitespace());
        match c {
            '\n' => {
                line += 1;
                (node_may_start, after_space) = (true, true);
                continue;
            }
            c if c.is_whitespace() => {
                after_space = true;
                continue;
            }
            '#' if after_space => while chars.next_if(|next| *next != '\n').is_some() {},
            '&' | '*' if node_may_start => return Some(line),
            '"' | '\'' if node_may_start => {
                line += skip_quoted(&mut chars, c);
                node_may_start = false;
            }
            '!' if node_may_start => while chars.next_if(|next| !next.is_whitespace()).is_some() {},
            '[' | '{' if node_may_start => depth += 1,
            ']' | '}' if depth > 0 => {
                depth -= 1;
                node_may_start = false;
            }
            ',' if depth > 0 => node_may_start = true,
            ':' if next_ends_word || depth > 0 => node_may_start = true,
            '-' | '?' if node_may_start && (next_ends_word || chars.peek() == Some(&'-')) => {}
            _ => node_may_start = false,
        }
        after_space = false;
    }
    None
}

/// Goes behind the closing quote; the number of lines passed.
fn skip_quoted(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, quote: char) -> usize {
    let mut lines = 0;
    while let Some(c) = chars.next() {
        match c {
            '\n' => lines += 1,
            '\\' if quote == '"' => lines += usize::from(chars.next() == Some('\n')),
            c if c == quote && quote == '\'' && chars.next_if_eq(&'\'').is_some() => {}
            c if c == quote => break,
            _ => {}
        }
    }
    lines
}

/// Which line a key stands on, for files in the usual block style; what is inside `[]` or `{}` gets the line of its parent.
struct Lines(Vec<Mark>);

struct Mark {
    line: usize,
    indent: usize,
    /// `None` for the dash of a list item.
    key: Option<String>,
}

impl Lines {
    fn new(text: &str) -> Lines {
        let mut marks = Vec::new();
        for (at, whole) in text.lines().enumerate() {
            let mut rest = whole.trim_start_matches(' ');
            while let Some(item) = rest.strip_prefix("- ").or_else(|| (rest == "-").then_some("")) {
                marks.push(Mark { line: at + 1, indent: whole.len() - rest.len(), key: None });
                rest = item.trim_start_matches(' ');
            }
            let key = rest.split_once(':').filter(|(_, after)| after.is_empty() || after.starts_with([' ', '\t'])).map(|(key, _)| key);
            if let Some(key) = key.filter(|key| !key.starts_with('#')) {
                let key = key.trim_matches(['"', '\'', ' ']).to_owned();
                marks.push(Mark { line: at + 1, indent: whole.len() - rest.len(), key: Some(key) });
            }
        }
        Lines(marks)
    }

    fn find<'a>(&self, path: impl Iterator<Item = Step<'a>>) -> Option<usize> {
        let mut line = None;
        let mut block = &self.0[..];
        for step in path {
            let Some(indent) = block.first().map(|mark| mark.indent) else { break };
            let mut same = block.iter().enumerate().filter(|(_, mark)| mark.indent == indent);
            let found = match step {
                Step::Key(key) => same.find(|(_, mark)| mark.key.as_deref() == Some(key)),
                Step::Item(n) => same.filter(|(_, mark)| mark.key.is_none()).nth(n),
            };
            let Some((at, mark)) = found else { break };
            line = Some(mark.line);
            let inside = &block[at + 1..];
            // The dashes of a list may stand right under the key that holds it.
            let belongs = |m: &Mark| m.indent > indent || (m.indent == indent && m.key.is_none() && mark.key.is_some());
            block = &inside[..inside.iter().position(|m| !belongs(m)).unwrap_or(inside.len())];
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn finds_the_line_of_a_key() {
        let text = "# top\nredis:\n  host: a\n\n  port: 1 # x\naccounts:\n- name: a\n  api: b\n-\n  name: c\nlimits: {total: 3}\n\"quoted key\": 1\nnested:\n  - - deep: 1\n";
        let lines = Lines::new(text);
        for (path, line) in [
            (vec![Step::Key("redis")], 2),
            (vec![Step::Key("redis"), Step::Key("port")], 5),
            (vec![Step::Key("accounts"), Step::Item(0), Step::Key("api")], 8),
            (vec![Step::Key("accounts"), Step::Item(1)], 9),
            (vec![Step::Key("accounts"), Step::Item(1), Step::Key("name")], 10),
            (vec![Step::Key("limits"), Step::Key("total")], 11),
            (vec![Step::Key("quoted key")], 12),
            (vec![Step::Key("nested"), Step::Item(0), Step::Item(0), Step::Key("deep")], 14),
        ] {
            assert_eq!(lines.find(path.into_iter()), Some(line));
        }
        assert_eq!(lines.find([Step::Key("none")].into_iter()), None);
    }

    #[test]
    fn tells_anchors_from_texts() {
        for (text, line) in [
            ("a: &x 1\nb: *x\n", 1),
            ("a: 1\nb: [1, *x]\n", 2),
            ("- *x", 1),
            ("a:\n  - &x\n", 2),
            ("a: 'it''s'\nb: \"q\\\"\"\nc: *x", 3),
            ("? &x a\n: b", 1),
            ("--- &x a", 1),
            ("a: !!str &x b", 1),
            ("{a: {b: *x}}", 1),
            ("{\"a\":*x}", 1),
            ("symbols: *", 1),
            ("a: it's\nb: *x", 2),
        ] {
            assert_eq!(first_anchor(text), Some(line), "{text}");
        }
        for text in ["a: \"*\"\n", "a: '& *x'\n", "a: b&c\n", "# *x\n", "a: b # &x\n", "a: b *c\n", "a: [\"*x\", 'b']\n", "a: \"x\n  *y\"\n"] {
            assert_eq!(first_anchor(text), None, "{text}");
        }
    }

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
