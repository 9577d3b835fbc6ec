use super::*;
use crate::events::{OrderKey, Source};
use crate::model::{AccountId, OrderStatus, Side};

fn account() -> AccountId {
    "acc".parse().unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_nanos(seconds * 1_000_000_000)
}

fn draft(key: &str, bot: Option<&str>, seconds: i64) -> Draft {
    Draft {
        order_id: "v1".into(),
        client_order_id: "b-1".into(),
        symbol: "AAPL".into(),
        bot: bot.map(str::to_owned),
        event: "fill".into(),
        source: Source::Stream,
        entry: format!("{{\"event\":\"{key}\"}}"),
        typed: Some("{}".into()),
        keys: vec![key.to_owned()],
        at: at(seconds),
    }
}

fn append(journal: &Journal, draft: &Draft) -> u64 {
    journal.write(|step| step.append(&account(), draft)).unwrap()
}

#[test]
fn numbers_are_contiguous_and_outlive_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("broker.db");
    let (journal, aside) = Journal::open(&path, at(0)).unwrap();
    assert_eq!(aside, None);
    assert_eq!([append(&journal, &draft("a", Some("b"), 1)), append(&journal, &draft("b", None, 2)), append(&journal, &draft("c", Some("b"), 3))], [1, 2, 3]);
    let failed: Result<(), JournalError> = journal.write(|step| {
        step.append(&account(), &draft("d", Some("b"), 4))?;
        Err(JournalError::Full(path.clone()))
    });
    assert!(failed.is_err());
    let id = journal.id().to_owned();
    drop(journal);
    let (journal, _) = Journal::open(&path, at(9)).unwrap();
    assert_eq!(journal.id(), id);
    assert_eq!(append(&journal, &draft("d", Some("b"), 4)), 4);
    let rows = journal.updates(&account(), 1, 2).unwrap();
    assert_eq!(rows.iter().map(|row| (row.n, row.bot.clone())).collect::<Vec<_>>(), [(2, None), (3, Some(("b".to_owned(), 2)))]);
    assert_eq!(journal.updates_of_bot(&account(), "b", 1, 9).unwrap().iter().map(|row| row.n).collect::<Vec<_>>(), [3, 4]);
    assert_eq!(journal.write(|step| step.known(&account(), "c")).unwrap(), Some(3));
    assert_eq!(journal.write(|step| step.known(&account(), "x")).unwrap(), None);
}

#[test]
fn the_epoch_is_settled_once() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(&folder.path().join("broker.db"), at(0)).unwrap();
    append(&journal, &draft("a", None, 1));
    assert_eq!(journal.stream(&account()).unwrap(), StreamState { epoch: None, last: 1, copied: 0 });
    assert_eq!(journal.settle_epoch(&account(), 70).unwrap(), 70);
    assert_eq!(journal.settle_epoch(&account(), 90).unwrap(), 70);
    journal.copied(&account(), 1).unwrap();
    assert_eq!(journal.stream(&account()).unwrap(), StreamState { epoch: Some(70), last: 1, copied: 1 });
    assert_eq!(journal.accounts().unwrap(), [account()]);
}

#[test]
fn what_is_old_is_forgotten_and_numbers_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(&folder.path().join("broker.db"), at(0)).unwrap();
    (1..=5).for_each(|n| assert_eq!(append(&journal, &draft(&n.to_string(), None, n)), n.unsigned_abs()));
    assert!(journal.prune(at(4), 2).unwrap());
    assert!(!journal.prune(at(4), 2).unwrap());
    assert_eq!(journal.updates(&account(), 0, 9).unwrap().iter().map(|row| row.n).collect::<Vec<_>>(), [4, 5]);
    assert_eq!(journal.write(|step| step.known(&account(), "2")).unwrap(), None);
    assert_eq!(append(&journal, &draft("6", None, 6)), 6);
}

#[test]
fn orders_executions_and_commands_come_back_as_they_were_put() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(&folder.path().join("broker.db"), at(0)).unwrap();
    let order = Known {
        id: "v1".into(),
        client_order_id: "b-1".into(),
        symbol: "AAPL".into(),
        side: Side::Sell,
        status: OrderStatus::PartiallyFilled,
        quantity: Some("10".parse().unwrap()),
        filled: "3".parse().unwrap(),
        filled_value: "30.5".parse().unwrap(),
        estimated: "0".parse().unwrap(),
        generation: 1,
        acknowledged: true,
        submitted: at(1),
        updated: at(2),
        heard: at(3),
        bot: Some("b".into()),
        ours: true,
        text: "{}".into(),
    };
    let done = Execution {
        execution_id: "e1".into(),
        order_id: "v1".into(),
        client_order_id: "b-1".into(),
        bot: Some("b".into()),
        symbol: "AAPL".parse().unwrap(),
        side: Side::Sell,
        price: "10".parse().unwrap(),
        quantity: "3".parse().unwrap(),
        fees: "0".parse().unwrap(),
        position: "-3".parse().unwrap(),
        at: at(2),
    };
    let command = CommandRecord {
        name: "b-1".into(),
        action: "place".into(),
        body: "{}".into(),
        entry: "1-1".into(),
        state: CommandState::Submitting,
        request: Some("{}".into()),
        answer: None,
        received: at(1),
        expires: Some(at(5)),
        sent: 1,
        cancel_wanted: false,
    };
    journal
        .write(|step| {
            step.put_order(&account(), &order)?;
            step.put_execution(&account(), 1, &done)?;
            step.put_command(&account(), &command)?;
            step.note("b-1", at(1), "bot", "place")
        })
        .unwrap();
    for key in [OrderKey::Venue("v1".parse().unwrap()), OrderKey::Client("b-1".parse().unwrap())] {
        assert_eq!(journal.order(&account(), &key).unwrap().as_ref(), Some(&order));
    }
    assert_eq!(journal.open_orders(&account(), Some("b")).unwrap(), [order]);
    assert_eq!(journal.open_orders(&account(), Some("other")).unwrap(), []);
    assert_eq!(journal.compared(&account()).unwrap(), None);
    for seconds in [5, 7] {
        journal.has_compared(&account(), at(seconds)).unwrap();
        assert_eq!(journal.compared(&account()).unwrap(), Some(at(seconds)));
    }
    assert_eq!(journal.executions(&account(), Some("b"), None).unwrap(), [done]);
    assert_eq!(journal.command(&account(), "b-1").unwrap().as_ref(), Some(&command));
    assert_eq!(journal.unsettled(&account()).unwrap(), [command]);
    assert!(journal.write(|step| step.void_execution(&account(), "e1")).unwrap());
    assert_eq!(journal.executions(&account(), None, Some("v1")).unwrap(), []);
    append(&journal, &draft("a", None, 2));
    let seen: Vec<_> = journal.timeline("b-1").unwrap().into_iter().map(|moment| moment.source).collect();
    assert_eq!(seen, ["bot", "stream"]);
}

#[test]
fn a_damaged_file_is_set_aside_and_a_foreign_one_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("broker.db");
    std::fs::write(&path, vec![b'x'; 8_192]).unwrap();
    let (journal, aside) = Journal::open(&path, at(7)).unwrap();
    assert_eq!(std::fs::read(aside.unwrap()).unwrap()[0], b'x');
    assert_eq!(append(&journal, &draft("a", None, 1)), 1);
    assert_eq!(Journal::look(&path).unwrap().updates(&account(), 0, 9).unwrap().len(), 1);
    let other = folder.path().join("other.db");
    rusqlite::Connection::open(&other).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    assert!(matches!(Journal::open(&other, at(7)), Err(JournalError::Foreign(_))));
    assert!(matches!(Journal::look(&folder.path().join("none.db")), Err(JournalError::Failed { .. })));
}

#[test]
fn a_full_disk_is_said_and_leaves_all_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(&folder.path().join("broker.db"), at(0)).unwrap();
    append(&journal, &draft("a", None, 1));
    journal.limit_pages(1);
    let big = Draft { entry: "x".repeat(100_000), ..draft("b", None, 2) };
    let refused = journal.write(|step| step.append(&account(), &big));
    assert!(matches!(refused, Err(JournalError::Full(_))), "{refused:?}");
    assert_eq!(journal.trouble(), Some(refused.unwrap_err().to_string()));
    journal.limit_pages(0);
    assert_eq!(append(&journal, &big), 2);
    assert_eq!(journal.trouble(), None);
}
