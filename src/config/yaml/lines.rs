//! Which line a key of YAML text stands on.
//!
//! Must not know what the text means.

pub(super) enum Step<'a> {
    Key(&'a str),
    Item(usize),
}

/// Which line a key stands on, for files in the usual block style; what is inside `[]` or `{}` gets the line of its parent.
pub(super) struct Lines(Vec<Mark>);

struct Mark {
    line: usize,
    indent: usize,
    /// `None` for the dash of a list item.
    key: Option<String>,
}

impl Lines {
    pub fn new(text: &str) -> Lines {
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

    pub fn find<'a>(&self, path: impl Iterator<Item = Step<'a>>) -> Option<usize> {
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

    /// A key that stands twice in one block, and the two lines.
    pub fn twice(&self) -> Option<(&str, usize, usize)> {
        for (at, mark) in self.0.iter().enumerate() {
            let Some(key) = &mark.key else { continue };
            let block = self.0[at + 1..].iter().take_while(|m| m.indent > mark.indent || (m.indent == mark.indent && m.key.is_some()));
            if let Some(second) = block.filter(|m| m.indent == mark.indent).find(|m| m.key.as_ref() == Some(key)) {
                return Some((key, mark.line, second.line));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn finds_the_key_that_stands_twice() {
        for (text, wanted) in [
            ("a: 1\nb: 2\na: 3\n", Some(("a", 1, 3))),
            ("a:\n  b: 1\n  c: 2\n  b: 3\n", Some(("b", 2, 4))),
            ("a:\n  b: 1\nc:\n  b: 2\n", None),
            ("a:\n- b: 1\n- b: 2\n", None),
            ("a:\n- b: 1\n  b: 2\n", Some(("b", 2, 3))),
        ] {
            assert_eq!(Lines::new(text).twice(), wanted, "{text}");
        }
    }
}
