//! Lists on both engines: rows, filters, orders and pages by chance, and the same answers.

use ferroflow_platform::records::{Records, Statement};
use ferroflow_testkit::{postgres, records::Store};
use proptest::{prelude::*, test_runner::TestRunner};
use serde_json::{Value, json};

use super::{
    artifacts::{self, ArtifactRow},
    catalogue,
    experiments::{self, Experiment},
    migrate,
    pipelines::{self, Pipeline, Version},
    query::{self, Selected},
    runs::{self, RunRow},
};
use crate::core::{
    query::{ARTIFACT, EXPERIMENT, Listable, PIPELINE, Page, Query, RUN, VERSION},
    run::RunState,
    value::Artifact,
};

const LISTS: [&Listable; 5] = [&EXPERIMENT, &PIPELINE, &VERSION, &RUN, &ARTIFACT];
const TABLES: [&str; 6] = ["experiments", "pipelines", "versions", "tags", "runs", "artifacts"];
const OPERATIONS: [&str; 8] = [
    "EQUALS",
    "NOT_EQUALS",
    "GREATER_THAN",
    "GREATER_THAN_EQUALS",
    "LESS_THAN",
    "LESS_THAN_EQUALS",
    "IN",
    "IS_SUBSTRING",
];
/// Letters that languages, patterns and quotes treat in their own ways.
const WORD: &str = "[abAB%_!é'\\\\ ß-]{0,3}";

/// What a row is made from.
#[derive(Clone, Debug)]
struct Seed {
    word: String,
    other: String,
    created_ms: i64,
    tag: Option<String>,
    optional: Option<i64>,
}

/// A predicate or an order, before it is known which list it is for.
#[derive(Clone, Debug)]
struct Part {
    field: usize,
    operation: usize,
    words: Vec<String>,
    seconds: Vec<i64>,
}

fn seed() -> impl Strategy<Value = Seed> {
    let optional = prop::option::of(0_i64..4000);
    (WORD, WORD, -2000_i64..4000, prop::option::of(WORD), optional)
        .prop_map(|(word, other, created_ms, tag, optional)| Seed { word, other, created_ms, tag, optional })
}

fn part() -> impl Strategy<Value = Part> {
    let lists = (prop::collection::vec(WORD, 1..4), prop::collection::vec(-2_i64..5, 1..4));
    (0_usize..40, 0_usize..8, lists).prop_map(|(field, operation, (words, seconds))| Part {
        field,
        operation,
        words,
        seconds,
    })
}

/// A row of every kind.
fn rows(number: usize, seed: &Seed) -> Vec<Statement> {
    let id = format!("id-{:03}", (number * 37) % 101);
    let (word, other) = (seed.word.clone(), seed.other.clone());
    let tags = seed.tag.iter().map(|tag| ("team".to_owned(), Value::String(tag.clone()))).collect();
    let experiment = Experiment {
        experiment_id: id.clone(),
        namespace: word.clone(),
        display_name: format!("{other}{number}"),
        description: other.clone(),
        storage_state: "AVAILABLE".to_owned(),
        created_ms: seed.created_ms,
        last_run_ms: seed.optional.unwrap_or_default(),
    };
    let pipeline = Pipeline {
        pipeline_id: id.clone(),
        name: format!("{word}{number}"),
        display_name: other.clone(),
        created_ms: seed.created_ms,
        tags,
        ..Pipeline::default()
    };
    let version = Version {
        pipeline_version_id: format!("v{id}"),
        pipeline_id: id.clone(),
        name: other.clone(),
        description: word.clone(),
        created_ms: seed.created_ms,
        tags: pipeline.tags.clone(),
        ..Version::default()
    };
    let run = RunRow {
        run_id: id.clone(),
        display_name: word.clone(),
        description: other.clone(),
        state: if seed.optional.is_some() { RunState::Succeeded } else { RunState::Pending },
        created_ms: seed.created_ms,
        finished_ms: seed.optional,
        recurring_run_id: seed.tag.clone(),
        runtime_config: json!({}),
        ..RunRow::default()
    };
    let artifact = ArtifactRow {
        artifact: Artifact { id, name: word, uri: other, ..Artifact::default() },
        created_ms: seed.created_ms,
        ..ArtifactRow::default()
    };
    let mut all = vec![experiments::insert(&experiment), runs::insert(&run), artifacts::insert(&artifact)];
    all.extend(pipelines::insert(&pipeline));
    all.extend(pipelines::insert_version(&version));
    all
}

/// The JSON of a predicate on a field of a list, or on a tag.
fn predicate(listable: &Listable, part: &Part) -> Value {
    use crate::core::query::Kind;
    let field = listable.fields.get(part.field % (listable.fields.len() + usize::from(listable.has_tags)));
    let key = field.map_or("tags.team", |field| field.key);
    let is_time = field.is_some_and(|field| field.kind == Kind::Time);
    let operation = OPERATIONS[part.operation];
    let mut value = json!({"key": key, "operation": operation});
    match (is_time, operation) {
        (true, "IN") => value["longValues"] = json!({"values": part.seconds}),
        (true, _) => value["longValue"] = json!(part.seconds[0]),
        (false, "IN") => value["stringValues"] = json!({"values": part.words}),
        (false, _) => value["stringValue"] = json!(part.words[0]),
    }
    value
}

/// The ids and the total of each page.
async fn walk(records: &Records, listable: &Listable, query: &Query) -> Vec<(Vec<String>, i64)> {
    let (mut pages, mut query) = (Vec::new(), query.clone());
    loop {
        let page = Page::read(&query, listable, "created_at").unwrap();
        let selected = Selected { columns: listable.key, joined: ("", "") };
        let read = |mut row: ferroflow_platform::records::Row| row.take_text(0);
        let found = query::list(records, listable, &[], &page, selected, read).await.unwrap();
        pages.push((found.rows, found.total));
        if found.next.is_empty() {
            return pages;
        }
        query.page_token = found.next;
    }
}

async fn fill(records: &Records, seeds: &[Seed]) {
    let empty = TABLES.iter().map(|table| Statement::new(format!("DELETE FROM pipelines_{table}"), []));
    let all = empty.chain(seeds.iter().enumerate().flat_map(|(number, seed)| rows(number, seed))).collect();
    records.write(all).await.unwrap();
}

#[test]
fn both_engines_give_the_same_pages_of_every_list() {
    if !postgres::is_there("both_engines_give_the_same_pages_of_every_list") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let open = async |store: Store| {
        let opened = store.open().await;
        migrate(&opened.records).await.unwrap();
        catalogue::migrate(&opened.records).await.unwrap();
        opened
    };
    let (sqlite, server) = runtime.block_on(async { (open(Store::Sqlite).await, open(Store::Postgres).await) });
    let query = (0_usize..LISTS.len(), prop::collection::vec(part(), 0..3), part(), 1_usize..7);
    let given = (prop::collection::vec(seed(), 0..25), prop::collection::vec(query, 1..12));
    let mut runner = TestRunner::new(ProptestConfig { cases: 40, ..ProptestConfig::default() });
    let mut compared = 0;
    let counted = std::cell::RefCell::new(&mut compared);
    let outcome = runner.run(&given, |(seeds, queries)| {
        runtime.block_on(async {
            fill(&sqlite.records, &seeds).await;
            fill(&server.records, &seeds).await;
            for (list, parts, order, size) in &queries {
                let listable = LISTS[*list];
                let predicates: Vec<Value> = parts.iter().map(|part| predicate(listable, part)).collect();
                let filter = json!({"predicates": predicates}).to_string();
                let field = listable.fields[order.field % listable.fields.len()].key;
                let sort_by = format!("{field}{}", if order.operation % 2 == 0 { "" } else { " desc" });
                let query = Query { page_size: size.to_string(), sort_by, filter, ..Query::default() };
                if Page::read(&query, listable, "created_at").is_err() {
                    // What no engine is asked: a part of a time.
                    continue;
                }
                let one = walk(&sqlite.records, listable, &query).await;
                let other = walk(&server.records, listable, &query).await;
                prop_assert_eq!(one, other, "{} {:?}", listable.name, query);
                **counted.borrow_mut() += 1;
            }
            Ok(())
        })
    });
    outcome.unwrap();
    assert!(compared > 100, "{compared} lists were compared");
}
