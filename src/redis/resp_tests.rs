//! Any cut of any stream, any bytes at all.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

fn read_all(chunks: &[&[u8]]) -> (Vec<Reply>, Option<RespError>) {
    let (mut reader, mut replies) = (ReplyReader::default(), Vec::new());
    for chunk in chunks {
        let mut source = *chunk;
        while !source.is_empty() {
            reader.fill(&mut source).unwrap();
            loop {
                match reader.take_reply() {
                    Ok(Some(reply)) => replies.push(reply),
                    Ok(None) => break,
                    Err(error) => return (replies, Some(error)),
                }
            }
        }
    }
    (replies, None)
}

fn write(reply: &Reply, out: &mut Vec<u8>) {
    match reply {
        Reply::Simple(text) => out.extend(format!("+{text}\r\n").bytes()),
        Reply::Error(text) => out.extend(format!("-{text}\r\n").bytes()),
        Reply::Integer(n) => out.extend(format!(":{n}\r\n").bytes()),
        Reply::Bulk(bytes) => bulk(out, bytes),
        Reply::Nil => out.extend(b"$-1\r\n"),
        Reply::Array(all) => {
            header(out, b'*', all.len());
            all.iter().for_each(|reply| write(reply, out));
        }
    }
}

fn any_reply() -> impl Strategy<Value = Reply> {
    let leaf = prop_oneof![
        "[ -~]{0,20}".prop_map(Reply::Simple),
        "[A-Z]{2,8} [ -~]{0,20}".prop_map(Reply::Error),
        any::<i64>().prop_map(Reply::Integer),
        vec(any::<u8>(), 0..40).prop_map(Reply::Bulk),
        Just(Reply::Nil),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| vec(inner, 0..4).prop_map(Reply::Array))
}

proptest! {
    #[test]
    fn a_stream_cut_anywhere_gives_the_same_replies(replies in vec(any_reply(), 1..8), cuts in vec(any::<prop::sample::Index>(), 0..12)) {
        let mut stream = Vec::new();
        replies.iter().for_each(|reply| write(reply, &mut stream));
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len())).chain([0, stream.len()]).collect();
        cuts.sort_unstable();
        let chunks: Vec<&[u8]> = cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect();
        prop_assert_eq!(read_all(&chunks), (replies.clone(), None));
        let single: Vec<&[u8]> = stream.chunks(1).collect();
        prop_assert_eq!(read_all(&single), (replies, None));
    }

    #[test]
    fn runs_count_and_sum_what_single_replies_would(numbers in vec(-3_i64..1000, 0..200), cut in any::<prop::sample::Index>()) {
        let mut stream: Vec<u8> = numbers.iter().flat_map(|n| if *n < 0 { b"+OK\r\n".to_vec() } else { format!(":{n}\r\n").into_bytes() }).collect();
        stream.extend(b"-ERR after\r\n");
        let at = cut.index(stream.len());
        let (mut reader, mut run) = (ReplyReader::default(), Run::default());
        for mut chunk in [&stream[..at], &stream[at..]] {
            reader.fill(&mut chunk).unwrap();
            let more = reader.take_run(u64::MAX).unwrap();
            run = Run { count: run.count + more.count, sum: run.sum + more.sum };
        }
        let sum = numbers.iter().filter(|n| **n > 0).map(|n| n.unsigned_abs()).sum();
        prop_assert_eq!(run, Run { count: numbers.len() as u64, sum });
        prop_assert_eq!(reader.take_reply(), Ok(Some(Reply::Error("ERR after".to_owned()))));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in vec(prop_oneof![4 => prop::sample::select(b"+-:$*\r\n0123456789-".to_vec()), 1 => any::<u8>()], 0..300)) {
        let whole = read_all(&[&bytes]);
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        prop_assert_eq!(whole, read_all(&single));
        let mut reader = ReplyReader::default();
        let _ = reader.fill(&mut &bytes[..]);
        let _ = reader.take_run(1000);
        let _ = reader.take_reply();
    }

    #[test]
    fn a_command_reads_back_as_its_parts(parts in vec(vec(any::<u8>(), 0..50), 1..6)) {
        let mut out = Vec::new();
        command(&mut out, &parts.iter().map(Vec::as_slice).collect::<Vec<_>>());
        prop_assert_eq!(read_all(&[&out]), (vec![Reply::Array(parts.into_iter().map(Reply::Bulk).collect())], None));
    }
}

#[test]
fn publish_is_the_command_of_that_name() {
    let (mut by_hand, mut general) = (Vec::new(), Vec::new());
    publish(&mut by_hand, b"price:AAPL", b"{}");
    command(&mut general, &[b"PUBLISH", b"price:AAPL", b"{}"]);
    assert_eq!(by_hand, general);
}

#[test]
fn length_and_depth_are_bounded() {
    let nested = |depth: usize| [b"*1\r\n".repeat(depth), b":1\r\n".to_vec()].concat();
    assert_eq!(read_all(&[&nested(MAX_DEPTH)]).1, None);
    assert_eq!(read_all(&[&nested(MAX_DEPTH + 1)]).1, Some(RespError::TooDeep));
    assert_eq!(read_all(&[b"$1048577\r\n"]).1, Some(RespError::TooLong));
    assert_eq!(read_all(&[b"*400000\r\n"]).1, Some(RespError::TooLong));
    let endless = vec![b'+'; 3 * MAX_REPLY];
    assert_eq!(read_all(&[&endless]).1, Some(RespError::TooLong));
    let many = [b"*30\r\n".to_vec(), [b"$50000\r\n".to_vec(), vec![b'x'; 50_000], b"\r\n".to_vec()].concat().repeat(30)].concat();
    assert_eq!(read_all(&[&many]).1, Some(RespError::TooLong));
}

#[test]
fn an_array_longer_than_the_read_buffer_arrives_whole() {
    let mut stream = Vec::new();
    write(&Reply::Array(vec![Reply::Bulk(vec![7; 30_000]); 10]), &mut stream);
    let (replies, error) = read_all(&[&stream]);
    assert_eq!((replies.len(), error), (1, None));
}

#[test]
fn a_prepared_publish_is_the_plain_one() {
    let head = PublishHead::new("TICKER_UPDATES_AAPL", b"{\"type\"");
    for length in [0, 1, 91, 92, 500, 991, 992, 20_000] {
        let rest = vec![b'x'; length];
        let (mut prepared, mut plain) = (b"before".to_vec(), b"before".to_vec());
        head.write(&mut prepared, |out| out.extend_from_slice(&rest));
        publish(&mut plain, b"TICKER_UPDATES_AAPL", &[b"{\"type\"", &rest[..]].concat());
        assert_eq!(String::from_utf8(prepared), String::from_utf8(plain), "a payload of {} bytes", length + 7);
    }
}
