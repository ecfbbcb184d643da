//! What holds on each engine.

use ferroflow_platform::records::{Error, Records, Statement, Value};
use ferroflow_testkit::{on_each_store, records::Store};

use super::{CREATE, ids, insert, opened, value};

on_each_store!(
    a_write_is_whole_or_not_at_all_and_leaves_others_alone,
    an_update_that_must_change_something_undoes_the_write_where_it_does_not,
    steps_run_once_in_the_life_of_a_store,
    steps_go_on_from_the_data_that_older_ones_left,
    values_come_back_as_they_went_in,
    texts_compare_by_bytes_whatever_the_language,
    like_looks_for_ascii_letters_of_any_case,
    a_text_with_the_character_that_ends_texts_is_refused,
    only_another_row_with_the_same_key_is_a_duplicate,
    a_reading_statement_changes_nothing,
    a_write_that_was_acknowledged_is_seen_by_the_next_reading,
    statements_that_are_read_together_see_one_state,
    a_reading_of_several_statements_fails_as_a_whole,
    epochs_count_up_and_old_ones_write_nothing,
    a_write_says_how_many_rows_it_has_changed,
);

async fn a_write_is_whole_or_not_at_all_and_leaves_others_alone(store: Store) {
    let opened = opened(store).await;
    let records = &opened.records;
    let duplicate = records.write(vec![insert("b"), insert("b")]);
    let (good, duplicate, other) =
        tokio::join!(records.write(vec![insert("a")]), duplicate, records.write(vec![insert("c")]));
    assert_eq!(good.unwrap(), [1]);
    assert!(matches!(duplicate, Err(Error::Duplicate(_))), "{duplicate:?}");
    other.unwrap();
    assert_eq!(ids(records).await, ["a", "c"]);
}

async fn an_update_that_must_change_something_undoes_the_write_where_it_does_not(store: Store) {
    let opened = opened(store).await;
    let records = &opened.records;
    records.write(vec![insert("a")]).await.unwrap();
    let from = |from: i64| {
        let sql = "UPDATE test_rows SET state = state + 1 WHERE state = $1";
        Statement::new(sql, [from.into()]).must_change()
    };
    records.write(vec![from(1)]).await.unwrap();
    let outcome = records.write(vec![insert("b"), from(7), insert("c")]).await;
    assert!(matches!(outcome, Err(Error::Unchanged(1))), "{outcome:?}");
    assert_eq!(ids(records).await, ["a"]);
}

async fn steps_run_once_in_the_life_of_a_store(store: Store) {
    let opened = opened(store).await;
    opened.records.write(vec![insert("a")]).await.unwrap();
    let records = opened.again().await;
    let add: &[&str] = &["ALTER TABLE test_rows ADD COLUMN note TEXT"];
    records.migrate("test", &[CREATE, add]).await.unwrap();
    records.migrate("test", &[CREATE, add]).await.unwrap();
    // A program of before the step finds it done, and leaves it.
    records.migrate("test", &[CREATE]).await.unwrap();
    assert_eq!(ids(&records).await, ["a"]);
}

async fn steps_go_on_from_the_data_that_older_ones_left(store: Store) {
    let steps: [&[&str]; 4] = [
        CREATE,
        &["ALTER TABLE test_rows ADD COLUMN note TEXT NOT NULL DEFAULT 'old'"],
        &[
            "CREATE INDEX test_rows_by_note ON test_rows (note, id)",
            "UPDATE test_rows SET note = 'older' WHERE note = 'old'",
        ],
        &[
            "CREATE TABLE test_notes (id TEXT PRIMARY KEY, note TEXT NOT NULL)",
            "INSERT INTO test_notes (id, note) SELECT id, note FROM test_rows",
        ],
    ];
    // Data of each release goes through all steps that came after it.
    for release in 1..=steps.len() {
        let opened = store.open().await;
        opened.records.migrate("test", &steps[..release]).await.unwrap();
        opened.records.write(vec![insert("a")]).await.unwrap();
        for next in release..=steps.len() {
            let records = opened.again().await;
            records.migrate("test", &steps[..next]).await.unwrap();
            records.write(vec![insert(&format!("b{next}"))]).await.unwrap();
        }
        let note = value(&opened.records, "SELECT note FROM test_rows WHERE id = 'a'").await;
        let wanted = if release < 3 { "older" } else { "old" };
        assert_eq!(note, wanted.into(), "release {release}");
        let copied = value(&opened.records, "SELECT COUNT(*) FROM test_notes WHERE id = 'a'").await;
        assert_eq!(copied, i64::from(release < 4).into(), "release {release}");
    }
}

async fn values_come_back_as_they_went_in(store: Store) {
    let opened = store.open().await;
    let create: &[&str] = &["CREATE TABLE test_all (id BIGINT PRIMARY KEY, whole BIGINT, part DOUBLE PRECISION, \
                             words TEXT, bytes BYTEA)"];
    opened.records.migrate("test", &[create]).await.unwrap();
    let rows: [[Value; 4]; 4] = [
        [i64::MIN.into(), f64::MIN_POSITIVE.into(), "".into(), Vec::<u8>::new().into()],
        [i64::MAX.into(), (-0.1).into(), "é\u{1F980}\n\"'\\%$".into(), vec![0_u8, 255].into()],
        [Value::Null, Value::Null, Value::Null, Value::Null],
        [0_i64.into(), 1e300.into(), "x".repeat(100_000).into(), vec![7_u8; 100_000].into()],
    ];
    let insert = |(id, row): (i64, &[Value; 4])| {
        let values: Vec<Value> = std::iter::once(id.into()).chain(row.iter().cloned()).collect();
        Statement::new("INSERT INTO test_all (id, whole, part, words, bytes) VALUES ($1, $2, $3, $4, $5)", values)
    };
    // NULL first, so that the statement is prepared before the types of its values are known, and last.
    let order = [2, 0, 1, 3];
    opened
        .records
        .write(order.iter().map(|id| insert((*id, &rows[usize::try_from(*id).unwrap()]))).collect())
        .await
        .unwrap();
    let sql = "SELECT whole, part, words, bytes FROM test_all ORDER BY id";
    let found = opened.records.read(Statement::new(sql, [])).await.unwrap();
    for (found, wanted) in found.iter().zip(&rows) {
        let found: Vec<&Value> = (0..4).map(|column| found.value(column).unwrap()).collect();
        assert_eq!(found, wanted.iter().collect::<Vec<_>>());
    }
    assert_eq!(found.len(), 4);
    let calculated = value(&opened.records, "SELECT COUNT(*) > 3 FROM test_all WHERE words IS NULL OR id >= 0").await;
    assert_eq!(calculated, 1_i64.into(), "what is yes is 1");
}

async fn texts_compare_by_bytes_whatever_the_language(store: Store) {
    let opened = opened(store).await;
    let mut words =
        ["b", "B", "a", "A", "é", "e", "z", "_", "-", "a b", "ab", "a-b", "10", "9", "", "\u{1F980}", "\u{FFFD}"];
    opened.records.write(words.iter().map(|word| insert(word)).collect()).await.unwrap();
    words.sort_unstable();
    assert_eq!(ids(&opened.records).await, words);
    for word in words {
        let sql = "SELECT id FROM test_rows WHERE (id, state) > ($1, 1) ORDER BY id DESC";
        let rows = opened.records.read(Statement::new(sql, [word.into()])).await.unwrap();
        let found: Vec<&str> = rows.iter().map(|row| row.text(0).unwrap()).collect();
        let wanted: Vec<&str> = words.iter().rev().copied().filter(|other| *other > word).collect();
        assert_eq!(found, wanted, "after {word:?}");
    }
}

async fn like_looks_for_ascii_letters_of_any_case(store: Store) {
    let opened = opened(store).await;
    let words = ["Alpha", "ALPHA", "al%ha", "al_ha", "ÉTÉ", "été", "a!b"];
    opened.records.write(words.iter().map(|word| insert(word)).collect()).await.unwrap();
    for (part, wanted) in [
        ("%lph%", vec!["ALPHA", "Alpha"]),
        ("%l!%h%", vec!["al%ha"]),
        ("%l!_h%", vec!["al_ha"]),
        ("%a!!b%", vec!["a!b"]),
        ("%té%", vec!["été"]),
        ("%tÉ%", vec!["ÉTÉ"]),
    ] {
        let sql = "SELECT id FROM test_rows WHERE LOWER(id) LIKE $1 ESCAPE '!' ORDER BY id";
        let rows = opened.records.read(Statement::new(sql, [part.into()])).await.unwrap();
        let found: Vec<&str> = rows.iter().map(|row| row.text(0).unwrap()).collect();
        assert_eq!(found, wanted, "{part}");
    }
}

async fn a_text_with_the_character_that_ends_texts_is_refused(store: Store) {
    let opened = opened(store).await;
    let outcome = opened.records.write(vec![insert("a"), insert("b\0c")]).await;
    assert!(matches!(outcome, Err(Error::Nul { statement: 1, value: 1 })), "{outcome:?}");
    let outcome = opened.records.read(Statement::new("SELECT id FROM test_rows WHERE id = $1", ["\0".into()])).await;
    assert!(matches!(outcome, Err(Error::Nul { .. })), "{outcome:?}");
    assert_eq!(ids(&opened.records).await, [""; 0]);
}

async fn only_another_row_with_the_same_key_is_a_duplicate(store: Store) {
    let opened = opened(store).await;
    let null = Statement::new("INSERT INTO test_rows (id, state) VALUES ($1, $2)", ["a".into(), Value::Null]);
    let outcome = opened.records.write(vec![null]).await;
    assert!(matches!(outcome, Err(Error::Refused(_))), "{outcome:?}");
    let again =
        "INSERT INTO test_rows (id, state) VALUES ($1, 2) ON CONFLICT (id) DO UPDATE SET state = excluded.state";
    opened.records.write(vec![insert("a"), Statement::new(again, ["a".into()])]).await.unwrap();
    assert_eq!(value(&opened.records, "SELECT state FROM test_rows").await, 2_i64.into());
}

async fn a_reading_statement_changes_nothing(store: Store) {
    let opened = opened(store).await;
    let outcome = opened.records.read(insert("a")).await;
    assert!(matches!(outcome, Err(Error::Read(_) | Error::Refused(_))), "{outcome:?}");
    assert_eq!(ids(&opened.records).await, [""; 0]);
}

async fn a_write_that_was_acknowledged_is_seen_by_the_next_reading(store: Store) {
    let opened = opened(store).await;
    let other = opened.again().await;
    let write = |name: String, records: Records, reader: Records| async move {
        for number in 0..20 {
            let id = format!("{name}{number}");
            records.write(vec![insert(&id)]).await.unwrap();
            let found =
                reader.read(Statement::new("SELECT id FROM test_rows WHERE id = $1", [id.into()])).await.unwrap();
            assert_eq!(found.len(), 1, "{name}{number}");
        }
    };
    let writers = (0..10).map(|number| write(format!("w{number}-"), opened.records.clone(), other.clone()));
    futures::future::join_all(writers).await;
    assert_eq!(ids(&other).await.len(), 200);
}

async fn statements_that_are_read_together_see_one_state(store: Store) {
    let opened = opened(store).await;
    let records = &opened.records;
    records.write(vec![insert("a"), insert("b")]).await.unwrap();
    let of = |id: &str| Statement::new("SELECT state FROM test_rows WHERE id = $1", [id.into()]);
    let writing = async {
        for _ in 0..50 {
            records.write(vec![Statement::new("UPDATE test_rows SET state = state + 1", [])]).await.unwrap();
        }
    };
    let reading = async {
        for _ in 0..200 {
            let found = records.read_all(vec![of("a"), of("nobody"), of("b")]).await.unwrap();
            assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), [1, 0, 1]);
            assert_eq!(found[0], found[2]);
        }
    };
    tokio::join!(writing, reading);
    assert_eq!(records.read_all(Vec::new()).await.unwrap(), [[]; 0]);
}

async fn a_reading_of_several_statements_fails_as_a_whole(store: Store) {
    let opened = opened(store).await;
    let records = &opened.records;
    records.write(vec![insert("a")]).await.unwrap();
    let all = || Statement::new("SELECT id FROM test_rows", []);
    // More often than there are connections, so that none of them is left with a transaction.
    for number in 0..20 {
        let outcome = records.read_all(vec![all(), insert("b"), all()]).await;
        assert!(matches!(outcome, Err(Error::Read(_) | Error::Refused(_))), "{number}: {outcome:?}");
        assert_eq!(ids(records).await, ["a"]);
    }
    let nul = Statement::new("SELECT id FROM test_rows WHERE id = $1", ["\0".into()]);
    let outcome = records.read_all(vec![all(), nul]).await;
    assert!(matches!(outcome, Err(Error::Nul { statement: 1, value: 1 })), "{outcome:?}");
}

async fn epochs_count_up_and_old_ones_write_nothing(store: Store) {
    let opened = opened(store).await;
    let records = &opened.records;
    let first = records.take_epoch("replica-a").await.unwrap();
    let of_first = records.fenced(first);
    of_first.write(vec![insert("a")]).await.unwrap();
    let second = opened.again().await.take_epoch("replica-b").await.unwrap();
    assert!(second > first);
    let outcome = of_first.write(vec![insert("b"), insert("c")]).await;
    let Err(Error::Fenced { epoch, now, holder }) = outcome else { panic!("{outcome:?}") };
    assert_eq!((epoch, now, holder.as_str()), (first, second, "replica-b"));
    let told = of_first.write(vec![insert("a")]).await.unwrap_err().to_string();
    assert_eq!(told, "a write of epoch 1 is refused: replica-b leads, in epoch 2", "also before what else is wrong");
    records.fenced(second).write(vec![insert("d")]).await.unwrap();
    records.write(vec![insert("e")]).await.unwrap();
    assert_eq!(ids(&of_first).await, ["a", "d", "e"], "who may not write may still read");
}

async fn a_write_says_how_many_rows_it_has_changed(store: Store) {
    let opened = opened(store).await;
    let update = || Statement::new("UPDATE test_rows SET state = 5 WHERE state = 1", []);
    let ignore = "INSERT INTO test_rows (id, state) VALUES ('a', 1) ON CONFLICT (id) DO NOTHING";
    let delete = Statement::new("DELETE FROM test_rows WHERE id >= 'b'", []);
    let write = vec![insert("a"), insert("b"), insert("c"), update(), update(), Statement::new(ignore, []), delete];
    assert_eq!(opened.records.write(write).await.unwrap(), [1, 1, 1, 3, 0, 0, 2]);
    assert_eq!(opened.records.write(vec![]).await.unwrap(), [0; 0]);
}
