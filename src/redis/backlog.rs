//! What is to be written and is not yet: the newest word on each field and each lease. Pure: the time is passed in.

use std::collections::HashMap;
use std::time::Instant;

use ::redis::Cmd;

/// Several times what all bots may register; beyond it new fields are refused, and the supervisor's rewrite makes up
/// for them.
const MAX_FIELDS: usize = 200_000;
/// There are a handful.
const MAX_LEASES: usize = 64;
/// Fields in one command: a few dozen kilobytes, well within one write.
const FIELDS_PER_WRITE: usize = 500;

#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// `None` is to be removed.
    fields: HashMap<&'static str, HashMap<String, Option<i64>>>,
    leases: HashMap<String, (Vec<u8>, Instant)>,
}

/// One command and what it settles.
pub(super) struct Write {
    pub(super) name: &'static str,
    pub(super) key: String,
    pub(super) command: Cmd,
    fields: Vec<String>,
}

impl Backlog {
    pub(super) fn len(&self) -> usize {
        self.fields.values().map(HashMap::len).sum::<usize>() + self.leases.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.leases.is_empty()
    }

    /// How many there was no room for.
    pub(super) fn keep_fields(&mut self, key: &'static str, set: Vec<(String, i64)>, remove: Vec<String>) -> u64 {
        if set.is_empty() && remove.is_empty() {
            return 0;
        }
        let mut room = MAX_FIELDS.saturating_sub(self.fields.values().map(HashMap::len).sum());
        let fields = self.fields.entry(key).or_default();
        let mut dropped = 0;
        let words = remove.into_iter().map(|field| (field, None)).chain(set.into_iter().map(|(field, value)| (field, Some(value))));
        for (field, word) in words {
            if let Some(known) = fields.get_mut(&field) {
                *known = word;
            } else if room > 0 {
                room -= 1;
                fields.insert(field, word);
            } else {
                dropped += 1;
            }
        }
        dropped
    }

    /// 1 when there was no room.
    pub(super) fn keep_lease(&mut self, key: String, value: Vec<u8>, ends: Instant) -> u64 {
        if self.leases.len() >= MAX_LEASES && !self.leases.contains_key(&key) {
            return 1;
        }
        self.leases.insert(key, (value, ends));
        0
    }

    /// The next command to send; leases first, for they are few and run out. Those that have run out are forgotten.
    pub(super) fn next_write(&mut self, now: Instant) -> Option<Write> {
        self.leases.retain(|_, (_, ends)| ends.saturating_duration_since(now).as_millis() > 0);
        if let Some((key, (value, ends))) = self.leases.iter().next() {
            let left = u64::try_from(ends.saturating_duration_since(now).as_millis()).unwrap_or(u64::MAX);
            let mut command = ::redis::cmd("SET");
            command.arg(key).arg(value).arg("PX").arg(left);
            return Some(Write { name: "SET", key: key.clone(), command, fields: Vec::new() });
        }
        let (key, fields) = self.fields.iter().next()?;
        let kept = |kept: bool| fields.iter().filter(move |(_, word)| word.is_some() == kept).take(FIELDS_PER_WRITE);
        let gone: Vec<String> = kept(false).map(|(field, _)| field.clone()).collect();
        if !gone.is_empty() {
            let mut command = ::redis::cmd("HDEL");
            command.arg(key).arg(&gone);
            return Some(Write { name: "HDEL", key: (*key).to_owned(), command, fields: gone });
        }
        let mut command = ::redis::cmd("HSET");
        command.arg(key);
        let mut set = Vec::new();
        for (field, word) in kept(true) {
            command.arg(field).arg(word.unwrap_or_default());
            set.push(field.clone());
        }
        Some(Write { name: "HSET", key: (*key).to_owned(), command, fields: set })
    }

    /// Redis took it.
    pub(super) fn written(&mut self, write: &Write) {
        if write.name == "SET" {
            self.leases.remove(&write.key);
            return;
        }
        if let Some(fields) = self.fields.get_mut(write.key.as_str()) {
            for field in &write.fields {
                fields.remove(field);
            }
            if fields.is_empty() {
                self.fields.remove(write.key.as_str());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn sent(write: &Write) -> String {
        String::from_utf8(write.command.get_packed_command()).unwrap().replace("\r\n", " ")
    }

    #[test]
    fn the_newest_word_on_a_field_wins() {
        let (mut backlog, now) = (Backlog::default(), Instant::now());
        backlog.keep_fields("k", vec![("a".to_owned(), 1), ("b".to_owned(), 1)], vec![]);
        backlog.keep_fields("k", vec![("a".to_owned(), 2)], vec!["b".to_owned()]);
        let write = backlog.next_write(now).unwrap();
        assert_eq!(sent(&write), "*3 $4 HDEL $1 k $1 b ");
        backlog.written(&write);
        let write = backlog.next_write(now).unwrap();
        assert_eq!(sent(&write), "*4 $4 HSET $1 k $1 a $1 2 ");
        backlog.written(&write);
        assert!(backlog.next_write(now).is_none() && backlog.is_empty());
    }

    #[test]
    fn a_lease_is_written_with_the_time_it_has_left_or_not_at_all() {
        let (mut backlog, now) = (Backlog::default(), Instant::now());
        backlog.keep_lease("s".to_owned(), b"old".to_vec(), now + Duration::from_secs(9));
        backlog.keep_lease("s".to_owned(), b"new".to_vec(), now + Duration::from_secs(5));
        assert_eq!(sent(&backlog.next_write(now + Duration::from_secs(1)).unwrap()), "*5 $3 SET $1 s $3 new $2 PX $4 4000 ");
        assert!(backlog.next_write(now + Duration::from_secs(5)).is_none() && backlog.is_empty());
    }

    #[test]
    fn is_bounded_and_written_in_pieces() {
        let (mut backlog, now) = (Backlog::default(), Instant::now());
        let many = |n: usize| (0..n).map(|i| (format!("f{i}"), 0)).collect::<Vec<_>>();
        assert_eq!(backlog.keep_fields("k", many(MAX_FIELDS + 7), vec![]), 7);
        assert_eq!(backlog.keep_fields("k", many(10), vec![]), 0);
        assert_eq!(backlog.len(), MAX_FIELDS);
        let mut writes = 0;
        while let Some(write) = backlog.next_write(now) {
            backlog.written(&write);
            writes += 1;
        }
        assert_eq!(writes, MAX_FIELDS / FIELDS_PER_WRITE);
        assert_eq!((0..100).map(|i| backlog.keep_lease(i.to_string(), vec![], now)).sum::<u64>(), 100 - MAX_LEASES as u64);
    }
}
