//! `check`: is the configuration sound, and what is in force?

use super::args::CheckArgs;
use super::error::CliError;
use super::out::Console;
use crate::config::{BrokerSettings, Config, Sources};

pub fn run(args: &CheckArgs, console: &mut Console) -> Result<(), CliError> {
    let loaded = Config::load(&Sources::from_process(args.run.config.clone(), args.run.sim))?;
    for warning in &loaded.warnings {
        console.note(&format!("warning: {warning}"));
    }
    if args.show {
        return Ok(console.out.line(shown(&loaded.config).trim_end())?);
    }
    let files: Vec<String> = loaded.files.iter().map(|file| file.display().to_string()).collect();
    let read = if files.is_empty() { "the environment alone".to_owned() } else { files.join(", ") };
    let accounts: Vec<String> = loaded.config.accounts.iter().map(|account| format!("{} ({:?})", account.name, account.environment).to_lowercase()).collect();
    let redis = &loaded.config.redis.place;
    let brokers = brokers(&loaded.config);
    console.out.line(&format!("the configuration is sound: read {read}; accounts {}; brokers {brokers}; Redis {redis}", accounts.join(", ")))?;
    Ok(())
}

/// Name and type of each, and which are switched off.
fn brokers(config: &Config) -> String {
    let live = |broker: &BrokerSettings| if broker.is_live() { ", live" } else { "" };
    let on = config.brokers.iter().map(|broker| format!("{} ({}{})", broker.name, broker.broker_type(), live(broker)));
    let off = config.disabled_brokers.iter().map(|broker| format!("{} (disabled)", broker.name));
    let all: Vec<String> = on.chain(off).collect();
    if all.is_empty() { "none".to_owned() } else { all.join(", ") }
}

/// What is in force, a document for each file.
fn shown(config: &Config) -> String {
    let mut text = config.masked_yaml();
    for broker in &config.brokers {
        text.push_str(&format!("---\n# {}\n{}", broker.file, broker.masked_yaml()));
    }
    for broker in &config.disabled_brokers {
        text.push_str(&format!("---\n# {}: disabled\n", broker.file));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exchange_files_are_told_and_shown_without_secrets() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("exchanges")).unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("broker.yaml", "accounts: [{environment: sim}]\n");
        write("exchanges/crypto.yaml", "broker_type: binance\nenabled: true\nenvironment: live\ncredentials: {api_key: hush-key, api_secret: hush-secret}\n");
        write("exchanges/paper.yaml", "broker_type: paper\nenabled: false\n");
        let sources = Sources { file: Some(folder.path().join("broker.yaml")), ..Sources::default() };
        let loaded = Config::load(&sources).unwrap();
        assert_eq!(brokers(&loaded.config), "crypto (binance, live), paper (disabled)");
        let text = shown(&loaded.config);
        for part in ["exchanges/crypto.yaml\nname: crypto\n", "api_secret: '***'", "exchanges/paper.yaml: disabled"] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        assert!(!text.contains("hush"), "{text}");
    }
}
