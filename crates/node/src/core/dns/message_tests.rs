use std::net::Ipv4Addr;

use super::{message::*, *};

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn query(text: &str, kind: u16) -> Query {
    Query { id: 7, recursion_desired: true, name: name(text), kind, payload: None }
}

fn address(text: &str, last: u8) -> Record {
    Record { name: name(text), ttl_s: 5, data: Data::A(Ipv4Addr::new(10, 244, 0, last)) }
}

#[test]
fn a_question_is_read_as_it_was_written() {
    for payload in [None, Some(4096)] {
        let asked = Query { payload, ..query("Web.shop.svc.cluster.local", kind::SRV) };
        assert_eq!(parse_query(&write_query(&asked)), Ok(asked));
    }
}

#[test]
fn an_answer_is_read_as_it_was_written() {
    let asked = query("Web.shop.svc.cluster.local", kind::A);
    let alias = Record { name: name("web.shop.svc.cluster.local"), ttl_s: 9, data: Data::Cname(name("a.example")) };
    let answers = vec![alias, address("a.example", 1), address("a.example", 2)];
    let reply = Reply { authoritative: true, answers: answers.clone(), ..Reply::default() };
    let bytes = write_reply(&asked, &reply, PLAIN_BYTES);
    let heard = parse_reply(&bytes, &asked).unwrap();
    assert_eq!((heard.code, heard.truncated), (code::NO_ERROR, false));
    // The question's case comes back, since names that were written before are pointed to.
    assert_eq!(heard.answers[0].name, asked.name);
    assert_eq!(heard.answers[1..], answers[1..]);
    // 12 of the header, 32 of the question, and 3 records that point at names.
    assert!(bytes.len() < 110, "{}", bytes.len());
    assert_eq!(parse_reply(&bytes, &Query { id: 8, ..asked.clone() }), None);
    assert_eq!(parse_reply(&bytes, &query("other", kind::A)), None);
}

#[test]
fn what_does_not_fit_is_left_out_and_told() {
    let asked = query("web.shop.svc.cluster.local", kind::A);
    let all: Vec<Record> = (0..=255).map(|last| address("web.shop.svc.cluster.local", last)).collect();
    let reply = Reply { answers: all.clone(), ..Reply::default() };
    let short = write_reply(&asked, &reply, asked.limit());
    let heard = parse_reply(&short, &asked).unwrap();
    assert!(heard.truncated && short.len() <= PLAIN_BYTES);
    assert_eq!(heard.answers.len(), (PLAIN_BYTES - 44) / 16);
    let wide = Query { payload: Some(4096), ..asked.clone() };
    let answer = write_reply(&wide, &reply, wide.limit());
    assert!(answer.len() <= usize::from(PAYLOAD_BYTES) && answer.len() > PLAIN_BYTES);
    let whole = parse_reply(&write_reply(&asked, &reply, STREAM_BYTES), &asked).unwrap();
    assert_eq!((whole.truncated, whole.answers), (false, all.clone()));
    // Additional records are a courtesy.
    let courtesy = Reply { answers: all[..1].to_vec(), additional: all, ..Reply::default() };
    assert!(!parse_reply(&write_reply(&asked, &courtesy, asked.limit()), &asked).unwrap().truncated);
}

#[test]
fn what_is_no_question_is_refused_or_passed_over() {
    let good = write_query(&query("a.b", kind::A));
    let changed = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    let refused = |code| Err(Unreadable::Code { id: 7, code });
    let rows = [
        (Vec::new(), Err(Unreadable::Silent)),
        (good[..11].to_vec(), Err(Unreadable::Silent)),
        (changed(2, 0x80), Err(Unreadable::Silent)),
        (changed(2, 0x28), refused(code::NOT_IMPLEMENTED)),
        (changed(5, 2), refused(code::FORMAT_ERROR)),
        (changed(12, 60), refused(code::FORMAT_ERROR)),
        (good[..good.len() - 1].to_vec(), refused(code::FORMAT_ERROR)),
        (changed(good.len() - 1, 3), refused(code::REFUSED)),
        // A name that points at itself.
        ([&good[..12], &[0xc0, 12, 0, 1, 0, 1]].concat(), refused(code::FORMAT_ERROR)),
    ];
    for (bytes, expected) in rows {
        assert_eq!(parse_query(&bytes), expected, "{bytes:?}");
    }
    assert_eq!(write_refusal(7, code::FORMAT_ERROR)[..4], [0, 7, 0x80, 1]);
}

#[test]
fn no_bytes_break_the_reader() {
    let asked = query("web.shop.svc.cluster.local", kind::A);
    let reply = Reply { answers: (0..9).map(|last| address("web.shop", last)).collect(), ..Reply::default() };
    let good = write_reply(&asked, &reply, STREAM_BYTES);
    let question = write_query(&Query { payload: Some(512), ..asked.clone() });
    for at in 0..good.len() {
        for byte in 0..=255u8 {
            let mut bytes = good.clone();
            bytes[at] = byte;
            let _ = parse_reply(&bytes, &asked);
            if let Some(place) = question.get(at) {
                let mut bytes = question.clone();
                bytes[at] = byte ^ place;
                let _ = parse_query(&bytes);
            }
        }
        let _ = parse_reply(&good[..at], &asked);
    }
}

#[test]
fn names_have_bounds() {
    assert!(Name::parse(&"a".repeat(63)).is_some());
    assert!(Name::parse(&"a".repeat(64)).is_none());
    assert!(Name::parse("a..b").is_none());
    let long = vec!["a".repeat(49); 5].join(".");
    assert!(Name::parse(&long).is_some() && Name::parse(&format!("{long}.aaa")).is_some());
    assert!(Name::parse(&format!("{long}.aaaa")).is_none());
    assert_eq!(name("a.B.").to_string(), "a.B.");
    assert_eq!(name(".").to_string(), ".");
}

#[test]
fn addresses_take_turns_behind_their_alias() {
    let alias = Record { name: name("web"), ttl_s: 5, data: Data::Cname(name("a")) };
    let mut reply = Reply { answers: vec![alias, address("a", 1), address("a", 2)], ..Reply::default() };
    reply.rotate(3);
    let last = |record: &Record| match &record.data {
        Data::A(address) => address.octets()[3],
        _ => 0,
    };
    assert_eq!(reply.answers.iter().map(last).collect::<Vec<_>>(), [0, 2, 1]);
}
