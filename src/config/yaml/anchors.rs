//! Finds anchors and aliases in YAML text before anybody follows them.
//!
//! Must not know what the text means.

/// The line of the first `&anchor` or `*alias`. May take a text for one where YAML would not, inside block texts; never
/// the other way round for what stands in a configuration.
pub(super) fn first_anchor(text: &str) -> Option<usize> {
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
