//! What the tests of this room share beside the private server.

use std::path::{Path, PathBuf};

use super::test_server::RedisServer;
use crate::config::{RedisPlace, RedisSettings};

pub fn settings(place: RedisPlace) -> RedisSettings {
    RedisSettings { place, db: 0, username: None, password: None, ca_file: None }
}

pub fn tcp(server: &RedisServer) -> RedisSettings {
    settings(RedisPlace::Tcp { host: "127.0.0.1".to_owned(), port: server.port() })
}

/// A client of a bot's kind.
pub fn bot(server: &RedisServer) -> ::redis::Connection {
    ::redis::Client::open(server.url()).unwrap().get_connection().unwrap()
}

pub fn query<T: ::redis::FromRedisValue>(server: &RedisServer, command: &[&str]) -> T {
    ::redis::cmd(command[0]).arg(&command[1..]).query(&mut bot(server)).unwrap()
}

/// A CA of our own, and what it signed for this machine.
pub struct Certificates {
    pub dir: tempfile::TempDir,
    pub ca: PathBuf,
    pub chain: PathBuf,
    pub key: PathBuf,
}

pub fn certificates() -> Certificates {
    let dir = tempfile::tempdir().unwrap();
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let mut ca = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca_cert = ca.self_signed(&ca_key).unwrap();
    let issuer = rcgen::Issuer::new(ca, ca_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
    let cert = rcgen::CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
    let write = |name: &str, text: String| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let (ca, chain, key) = (write("ca.pem", ca_cert.pem()), write("cert.pem", cert.pem()), write("key.pem", key.serialize_pem()));
    Certificates { dir, ca, chain, key }
}

/// A sentinel that watches one master under the name `hub`, and the folder with the file that it rewrites.
pub fn sentinel(master: &RedisServer) -> (RedisServer, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let file: &Path = &dir.path().join("sentinel.conf");
    std::fs::write(file, format!("sentinel monitor hub 127.0.0.1 {} 1\n", master.port())).unwrap();
    (super::test_server::RedisOptions::default().sentinel(file).start(), dir)
}

/// The sentinel's word on who the master is changes, as after a failover.
pub fn promote(sentinel: &RedisServer, master: &RedisServer) {
    let _: () = query(sentinel, &["SENTINEL", "REMOVE", "hub"]);
    let _: () = query(sentinel, &["SENTINEL", "MONITOR", "hub", "127.0.0.1", &master.port().to_string(), "1"]);
}

pub fn behind(sentinels: &[&RedisServer], master: &str) -> RedisSettings {
    let nodes = sentinels.iter().map(|node| ("127.0.0.1".to_owned(), node.port())).collect();
    settings(RedisPlace::Sentinel { master: master.to_owned(), nodes })
}

/// The rights of the shipped broker user, for whoever comes, and on any key.
pub fn shipped_rights() -> String {
    let shipped = include_str!("../../configs/redis/users.acl").lines().find(|line| line.starts_with("user broker ")).unwrap();
    format!("{} ~*\n", shipped.replacen("user broker on resetpass", "user default on nopass", 1))
}
