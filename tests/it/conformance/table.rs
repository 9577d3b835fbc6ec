//! What each broker supports, written into the README by the brokers themselves.

use std::fs;
use std::path::Path;

use alpaca_broker::exchanges::alpaca::AlpacaBroker;
use alpaca_broker::exchanges::paper::broker::PaperSettings;
use alpaca_broker::exchanges::{Capabilities, capability_table};

const BEGIN: &str = "<!-- brokers -->";
const END: &str = "<!-- /brokers -->";
/// Set to write the section instead of comparing it.
const WRITE: &str = "WRITE_README";

/// With everything switched on that can be.
fn brokers() -> Vec<Capabilities> {
    let mut paper = PaperSettings::new("paper".parse().unwrap(), "any".parse().unwrap(), "paper.db".into());
    (paper.shorting, paper.extended_hours) = (true, true);
    vec![paper.capabilities(), AlpacaBroker::supports(true)]
}

#[test]
fn the_readme_says_what_each_broker_supports() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(&path).unwrap();
    let (before, rest) = readme.split_once(BEGIN).expect("the README has a section of brokers");
    let (section, after) = rest.split_once(END).expect("the section of brokers has an end");
    let wanted = format!("\n{}", capability_table(&brokers()));
    if std::env::var_os(WRITE).is_some() {
        fs::write(&path, format!("{before}{BEGIN}{wanted}{END}{after}")).unwrap();
        return;
    }
    assert_eq!(section, wanted, "the table of the README is old; write it with: {WRITE}=1 cargo test --test it conformance::table");
}
