//! Where a configuration comes from: the files and variables, read once.
//!
//! The only place of this room that touches the disk. The environment is handed in, so a test never depends on its own.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::brokers::BrokerFile;
use super::checked::{Inputs, check};
use super::dotenv::{self, Variable, Variables};
use super::problem::{ConfigError, Report};
use super::section::Section;
use super::settings::Config;
use super::yaml;

const DEFAULT_FILE: &str = "configs/broker.yaml";
const DEFAULT_DOTENV: &str = "configs/.env";
const DEFAULT_EXCHANGES: &str = "configs/exchanges";
/// The folder beside the configuration file.
const EXCHANGES: &str = "exchanges";
const EXCHANGES_VARIABLE: &str = "BROKER_EXCHANGES_DIR";
/// The name under which the systemd unit hands over the `.env` file, by `LoadCredential=`.
const CREDENTIAL: &str = "alpaca-broker.env";

/// What a configuration is made from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Must exist when it is named; without one, variables and defaults are enough.
    pub file: Option<PathBuf>,
    /// Read if it exists. `None`: the `.env` beside the file.
    pub dotenv: Option<PathBuf>,
    /// The folder of the exchange files, read if it exists. `None`: `exchanges` beside the file. `BROKER_EXCHANGES_DIR`
    /// wins, and must exist.
    pub exchanges: Option<PathBuf>,
    pub env: BTreeMap<String, String>,
    /// `--sim`: the built-in exchange alone, whatever keys there are.
    pub sim: bool,
}

impl Sources {
    /// As the command line means them: the file it names, else `BROKER_CONFIG`, else `configs/broker.yaml` if there is one.
    pub fn from_process(file: Option<PathBuf>, sim: bool) -> Sources {
        let text = |text: std::ffi::OsString| text.into_string().ok();
        let env: BTreeMap<String, String> = std::env::vars_os().filter_map(|(name, value)| Some((text(name)?, text(value)?))).collect();
        let of_variable = || env.get("BROKER_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from);
        let file = file.or_else(of_variable).or_else(|| Path::new(DEFAULT_FILE).exists().then(|| PathBuf::from(DEFAULT_FILE)));
        let dotenv = file.is_none().then(|| PathBuf::from(DEFAULT_DOTENV));
        let exchanges = file.is_none().then(|| PathBuf::from(DEFAULT_EXCHANGES));
        Sources { file, dotenv, exchanges, env, sim }
    }
}

/// A configuration with what the operator should hear about it.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub config: Config,
    pub warnings: Vec<String>,
    /// The files that were read.
    pub files: Vec<PathBuf>,
}

impl Config {
    /// Reads, completes and checks everything; tells all mistakes at once.
    pub fn load(sources: &Sources) -> Result<Loaded, ConfigError> {
        let mut report = Report::default();
        let mut files = Vec::new();
        let of_dotenv = read_dotenv(sources, &mut files, &mut report);
        let variables = Variables::new(&sources.env, of_dotenv);
        let mut used = Vec::new();
        let mut top = Section::default();
        if let Some(path) = &sources.file {
            match read(path) {
                Ok(text) => {
                    files.push(path.clone());
                    if let Some(parsed) = yaml::parse(path, &text, &variables, &mut used, &mut report) {
                        report.problems.extend(parsed.unset);
                        top = Section::new(parsed.node, &mut report).unwrap_or_default();
                    }
                }
                Err(error) => report.refuse(path.display().to_string(), format!("cannot be read: {error}")),
            }
        }
        let brokers = read_exchanges(sources, &variables, &mut report);
        files.extend(brokers.iter().map(|file| file.path.clone()));
        let config = check(Inputs { top, brokers: &brokers, variables: &variables, sim: sources.sim }, &mut used, &mut report)?;
        variables.warn_of_misspelt(&used, &mut report);
        Ok(Loaded { config, warnings: report.warnings, files })
    }
}

fn read_dotenv(sources: &Sources, files: &mut Vec<PathBuf>, report: &mut Report) -> BTreeMap<String, Variable> {
    let credential = sources.env.get("CREDENTIALS_DIRECTORY").map(|folder| Path::new(folder).join(CREDENTIAL)).filter(|path| path.exists());
    let beside = || sources.file.as_ref().map(|file| file.with_file_name(".env"));
    let Some(path) = credential.clone().or_else(|| sources.dotenv.clone()).or_else(beside) else { return BTreeMap::new() };
    match read(&path) {
        Ok(text) => {
            if credential.is_none() {
                warn_if_others_can_read(&path, report);
            }
            files.push(path.clone());
            dotenv::parse(&path, &text, report)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => BTreeMap::new(),
        Err(error) => {
            report.refuse(path.display().to_string(), format!("cannot be read: {error}"));
            BTreeMap::new()
        }
    }
}

/// Every `*.yaml` of the folder, by name; none where there is no folder.
fn read_exchanges(sources: &Sources, variables: &Variables, report: &mut Report) -> Vec<BrokerFile> {
    let named = variables.get(EXCHANGES_VARIABLE);
    let beside = || sources.file.as_ref().map(|file| file.with_file_name(EXCHANGES));
    let Some(folder) = named.map(|variable| PathBuf::from(&variable.value)).or_else(|| sources.exchanges.clone()).or_else(beside) else { return Vec::new() };
    let paths = std::fs::read_dir(&folder).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<PathBuf>>>());
    let mut paths = match paths {
        Ok(paths) => paths,
        Err(error) if error.kind() == ErrorKind::NotFound && named.is_none() => return Vec::new(),
        Err(error) => {
            let at = named.map_or_else(|| folder.display().to_string(), |variable| variable.at.clone());
            report.refuse(at, format!("the folder '{}' of the exchange files cannot be read: {error}", folder.display()));
            return Vec::new();
        }
    };
    paths.sort();
    let mut files = Vec::new();
    for path in paths {
        let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("yaml") if !hidden => match read(&path) {
                Ok(text) => files.push(BrokerFile { path, text }),
                Err(error) => report.refuse(path.display().to_string(), format!("cannot be read: {error}")),
            },
            Some("yml" | "YAML" | "YML") if !hidden => {
                report.warn(format!("{}: is not read, because its name does not end in .yaml; rename it", path.display()))
            }
            _ => {}
        }
    }
    files
}

/// At most one byte more than is allowed, so that a device file or a huge one ends too.
fn read(path: &Path) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(yaml::MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > yaml::MAX_BYTES {
        // The cut may fall inside a character; the size is what gets reported.
        return Ok(String::from_utf8_lossy(&bytes).into_owned());
    }
    String::from_utf8(bytes).map_err(|_| std::io::Error::new(ErrorKind::InvalidData, "it is not UTF-8 text"))
}

#[cfg(unix)]
fn warn_if_others_can_read(path: &Path, report: &mut Report) {
    use std::os::unix::fs::PermissionsExt;
    if let Ok(mode) = std::fs::metadata(path).map(|meta| meta.permissions().mode() & 0o777)
        && mode & 0o077 != 0
    {
        report.warn(format!("{}: other users of this machine can reach this file (mode {mode:04o}); chmod 600 {0}", path.display()));
    }
}

#[cfg(not(unix))]
fn warn_if_others_can_read(_path: &Path, _report: &mut Report) {}
