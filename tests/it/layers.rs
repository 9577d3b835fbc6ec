use std::fs;
use std::path::{Path, PathBuf};

/// Low to high; those of one line are siblings and do not import each other.
const LAYERS: [&[&str]; 10] = [
    &["model"],
    &["runtime", "calendar"],
    &["net"],
    &["events", "contract", "observe"],
    &["risk"],
    &["config"],
    &["exchanges", "journal", "redis"],
    &["desk", "sim"],
    &["hub", "client"],
    &["cli"],
];
/// `contract` writes down what `events` carry.
const SIBLINGS_ALLOWED: [(&str, &str); 1] = [("contract", "events")];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).filter(|path| path.extension().is_some_and(|e| e == "rs")).collect()
}

fn layer(room: &str) -> Option<usize> {
    LAYERS.iter().position(|rooms| rooms.contains(&room))
}

#[test]
fn imports_go_down_only() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut upward = Vec::new();
    let mut seen = 0;
    for path in sources(&src) {
        let inside = path.strip_prefix(&src).unwrap();
        let Some(room) = inside.components().next().and_then(|c| c.as_os_str().to_str()).filter(|_| inside.components().count() > 1) else { continue };
        let own = layer(room).unwrap_or_else(|| panic!("the room {room} stands in no layer"));
        for (line, text) in fs::read_to_string(&path).unwrap().lines().enumerate() {
            for used in text.split("crate::").skip(1) {
                let target: String = used.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
                let Some(other) = layer(&target) else { continue };
                seen += 1;
                let sibling = other == own && target != room && !SIBLINGS_ALLOWED.contains(&(room, target.as_str()));
                if other > own || sibling {
                    upward.push(format!("{}:{}: {room} must not know {target}", inside.display(), line + 1));
                }
            }
        }
    }
    assert!(upward.is_empty(), "{}", upward.join("\n"));
    assert!(seen > 100, "only {seen} imports were seen: does this test still read them?");
}

#[test]
fn every_module_says_what_lives_in_it() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let is_test =
        |path: &PathBuf| path.components().any(|c| c.as_os_str() == "tests") || path.file_stem().and_then(|s| s.to_str()).is_some_and(|s| s.ends_with("tests"));
    let silent: Vec<PathBuf> = sources(&src).into_iter().filter(|path| !is_test(path) && !fs::read_to_string(path).unwrap().starts_with("//!")).collect();
    assert!(silent.is_empty(), "{silent:?}");
}

#[test]
fn no_async_runtime_is_in_the_lock_file() {
    let lock = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock")).unwrap();
    for name in ["tokio", "async-std", "smol", "async-executor", "openssl-sys", "aws-lc-sys"] {
        assert!(!lock.contains(&format!("name = \"{name}\"")), "{name} is in Cargo.lock");
    }
}
