//! What waits for a worker: a queue for each bot, served in turn, and one command of a bot under way at a time.
//!
//! A state machine without threads. Must not know what waits.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// How much may wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// Of one bot.
    pub each: usize,
    pub all: usize,
}

#[derive(Debug)]
pub(super) struct Backlog<T> {
    room: Room,
    /// Of those with something that waits or is under way.
    queues: HashMap<Arc<str>, Queue<T>>,
    /// Those with something that waits and nothing under way.
    turns: VecDeque<Arc<str>>,
    waiting: usize,
}

#[derive(Debug)]
struct Queue<T> {
    waiting: VecDeque<T>,
    under_way: bool,
}

impl<T> Backlog<T> {
    pub fn new(room: Room) -> Backlog<T> {
        Backlog { room, queues: HashMap::new(), turns: VecDeque::new(), waiting: 0 }
    }

    /// Whether one more of this bot may be put.
    pub fn has_room(&self, bot: &str) -> bool {
        self.waiting < self.room.all && self.queues.get(bot).is_none_or(|queue| queue.waiting.len() < self.room.each)
    }

    pub fn put(&mut self, bot: &str, item: T) {
        self.waiting += 1;
        if let Some(queue) = self.queues.get_mut(bot) {
            queue.waiting.push_back(item);
            return;
        }
        let bot: Arc<str> = bot.into();
        self.turns.push_back(Arc::clone(&bot));
        self.queues.insert(bot, Queue { waiting: VecDeque::from([item]), under_way: false });
    }

    /// The oldest of the bot whose turn it is; it is under way until [`Backlog::finished`].
    pub fn next(&mut self) -> Option<(Arc<str>, T)> {
        let bot = self.turns.pop_front()?;
        let queue = self.queues.get_mut(&bot)?;
        let item = queue.waiting.pop_front()?;
        queue.under_way = true;
        self.waiting -= 1;
        Some((bot, item))
    }

    pub fn finished(&mut self, bot: &str) {
        let Some((name, queue)) = self.queues.get_key_value(bot) else { return };
        let (name, idle) = (Arc::clone(name), queue.waiting.is_empty());
        if idle {
            self.queues.remove(bot);
        } else if let Some(queue) = self.queues.get_mut(bot)
            && std::mem::take(&mut queue.under_way)
        {
            self.turns.push_back(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(backlog: &mut Backlog<u32>) -> Option<(String, u32)> {
        backlog.next().map(|(bot, item)| (bot.to_string(), item))
    }

    #[test]
    fn bots_take_turns_and_each_has_one_under_way() {
        let mut backlog = Backlog::new(Room { each: 9, all: 99 });
        (1..=3).for_each(|n| backlog.put("loud", n));
        backlog.put("calm", 10);
        assert_eq!(next(&mut backlog), Some(("loud".to_owned(), 1)));
        assert_eq!(next(&mut backlog), Some(("calm".to_owned(), 10)));
        assert_eq!(next(&mut backlog), None);
        backlog.finished("loud");
        backlog.put("calm", 11);
        backlog.finished("calm");
        assert_eq!(next(&mut backlog), Some(("loud".to_owned(), 2)));
        assert_eq!(next(&mut backlog), Some(("calm".to_owned(), 11)));
        backlog.finished("loud");
        backlog.finished("calm");
        assert_eq!(next(&mut backlog), Some(("loud".to_owned(), 3)));
        backlog.finished("loud");
        assert_eq!(next(&mut backlog), None);
        assert!(backlog.queues.is_empty() && backlog.turns.is_empty() && backlog.waiting == 0);
    }

    #[test]
    fn one_bot_fills_its_own_room_alone() {
        let mut backlog = Backlog::new(Room { each: 2, all: 4 });
        (1..=2).for_each(|n| backlog.put("loud", n));
        assert!(!backlog.has_room("loud") && backlog.has_room("calm"));
        // What is under way does not wait.
        next(&mut backlog);
        assert!(backlog.has_room("loud"));
        (1..=3).for_each(|n| backlog.put(&format!("other{n}"), n));
        assert!(!backlog.has_room("calm"));
    }
}
