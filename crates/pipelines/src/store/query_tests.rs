//! Lists against a plain reading of the same rows: filters, orders and pages by chance, and what the store makes of them.

use ferroflow_platform::records::{Records, Statement};
use ferroflow_testkit::{
    on_each_store,
    records::{Store, TestRecords},
};
use proptest::{prelude::*, test_runner::TestRunner};
use serde_json::json;

use super::{
    experiments::{self, Experiment},
    shown,
};
use crate::{
    core::query::{EXPERIMENT, Page, Query, RUN},
    store::{catalogue, migrate, runs, runs::RunRow},
};

on_each_store!(nothing_is_skipped_or_shown_twice_while_rows_come_and_go, totals_are_of_one_namespace);

async fn opened(store: Store) -> TestRecords {
    let opened = store.open().await;
    migrate(&opened.records).await.unwrap();
    catalogue::migrate(&opened.records).await.unwrap();
    opened
}

fn page(query: &Query) -> Page {
    Page::read(query, &EXPERIMENT, "created_at").unwrap()
}

/// Every row of a list, page by page, and the total that each page told.
async fn walk(records: &Records, query: &Query) -> (Vec<Experiment>, Vec<i64>) {
    let (mut rows, mut totals, mut query) = (Vec::new(), Vec::new(), query.clone());
    loop {
        let found = experiments::list(records, "a", &page(&query)).await.unwrap();
        rows.extend(found.rows);
        totals.push(found.total);
        if found.next.is_empty() {
            return (rows, totals);
        }
        query.page_token = found.next;
    }
}

fn experiment(number: usize, name: &str, created_ms: i64, archived: bool) -> Experiment {
    Experiment {
        experiment_id: format!("id-{:03}", (number * 37) % 101),
        namespace: if number % 5 == 4 { "b".to_owned() } else { "a".to_owned() },
        display_name: format!("{name}-{number}"),
        description: String::new(),
        storage_state: if archived { "ARCHIVED".to_owned() } else { "AVAILABLE".to_owned() },
        created_ms,
        last_run_ms: 0,
    }
}

fn given() -> impl Strategy<Value = (Vec<Experiment>, String, usize, String, i64)> {
    let row = ("[aA%_!é]{1,3}", 0_i64..4000, any::<bool>());
    let rows = prop::collection::vec(row, 0..40).prop_map(|rows| {
        rows.into_iter()
            .enumerate()
            .map(|(number, (name, ms, archived))| experiment(number, &name, ms, archived))
            .collect()
    });
    let sort =
        prop::sample::select(vec!["", "name", "name desc", "created_at", "created_at desc", "storage_state desc"]);
    (rows, sort.prop_map(str::to_owned), 1_usize..9, "[aA%_!é]{0,2}", 0_i64..5)
}

#[test]
fn pages_hold_what_a_plain_reading_finds_in_that_order_on_sqlite() {
    pages_hold_what_a_plain_reading_finds_in_that_order(Store::Sqlite);
}

#[test]
fn pages_hold_what_a_plain_reading_finds_in_that_order_on_postgres() {
    if ferroflow_testkit::postgres::is_there("pages_hold_what_a_plain_reading_finds_in_that_order") {
        pages_hold_what_a_plain_reading_finds_in_that_order(Store::Postgres);
    }
}

fn pages_hold_what_a_plain_reading_finds_in_that_order(store: Store) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let opened = runtime.block_on(opened(store));
    let records = &opened.records;
    let mut runner = TestRunner::new(ProptestConfig { cases: 60, ..ProptestConfig::default() });
    let outcome = runner.run(&given(), |(rows, sort, size, part, second)| {
        let filter = json!({"predicates": [
            {"operation": "IS_SUBSTRING", "key": "name", "stringValue": part},
            {"operation": "GREATER_THAN_EQUALS", "key": "created_at", "longValue": second},
            {"operation": "NOT_EQUALS", "key": "storage_state", "stringValue": "NONE"},
        ]});
        let query = Query {
            page_size: size.to_string(),
            sort_by: sort.clone(),
            filter: filter.to_string(),
            ..Query::default()
        };
        let (found, totals) = runtime.block_on(async {
            let mut write = vec![Statement::new("DELETE FROM pipelines_experiments", [])];
            write.extend(rows.iter().map(experiments::insert));
            records.write(write).await.unwrap();
            walk(records, &query).await
        });
        let mut wanted: Vec<&Experiment> = rows
            .iter()
            .filter(|row| row.namespace == "a" && row.created_ms / 1000 >= second)
            .filter(|row| row.display_name.to_ascii_lowercase().contains(&part.to_ascii_lowercase()))
            .collect();
        wanted.sort_by(|one, other| {
            let id = one.experiment_id.cmp(&other.experiment_id);
            match sort.split(' ').next() {
                Some("name") => one.display_name.cmp(&other.display_name).then(id),
                Some("storage_state") => one.storage_state.cmp(&other.storage_state).then(id),
                _ => one.created_ms.cmp(&other.created_ms).then(id),
            }
        });
        if sort.ends_with("desc") {
            wanted.reverse();
        }
        prop_assert_eq!(found.iter().collect::<Vec<_>>(), wanted.clone());
        prop_assert!(totals.iter().all(|total| *total == i64::try_from(wanted.len()).unwrap()));
        Ok(())
    });
    outcome.unwrap();
}

async fn nothing_is_skipped_or_shown_twice_while_rows_come_and_go(store: Store) {
    let opened = opened(store).await;
    let records = &opened.records;
    let rows: Vec<Experiment> = (0..10).map(|number| experiment(number * 5, "x", 1000, false)).collect();
    records.write(rows.iter().map(experiments::insert).collect()).await.unwrap();
    let first = Query { page_size: "4".to_owned(), ..Query::default() };
    let one = experiments::list(records, "a", &page(&first)).await.unwrap();
    let gone = &one.rows[3].experiment_id;
    let early = Experiment { created_ms: 1, ..experiment(50, "early", 0, false) };
    records.write(vec![experiments::delete(gone), experiments::insert(&early)]).await.unwrap();
    let second = Query { page_token: one.next, page_size: "100".to_owned(), ..Query::default() };
    let two = experiments::list(records, "a", &page(&second)).await.unwrap();
    let shown: Vec<&String> = one.rows.iter().chain(&two.rows).map(|row| &row.experiment_id).collect();
    let mut wanted: Vec<&String> = rows.iter().map(|row| &row.experiment_id).collect();
    wanted.sort();
    assert_eq!(shown, wanted);
}

async fn totals_are_of_one_namespace(store: Store) {
    let opened = opened(store).await;
    let records = &opened.records;
    let query = Query { page_size: "1".to_owned(), ..Query::default() };
    let totals = async || {
        let mut totals = Vec::new();
        for namespace in ["a", "b", "c"] {
            totals.push(experiments::list(records, namespace, &page(&query)).await.unwrap().total);
        }
        totals
    };
    let of = |number: usize, namespace: &str| Experiment {
        namespace: namespace.to_owned(),
        ..experiment(number, "x", 0, false)
    };
    assert_eq!(totals().await, [0, 0, 0]);
    records.write((0..3).map(|number| experiments::insert(&of(number, "b"))).collect()).await.unwrap();
    assert_eq!(totals().await, [0, 3, 0], "of one alone");
    records.write(vec![experiments::insert(&of(3, "c"))]).await.unwrap();
    assert_eq!(totals().await, [0, 3, 1], "with a later one");
    records.write((4..6).map(|number| experiments::insert(&of(number, "a"))).collect()).await.unwrap();
    assert_eq!(totals().await, [2, 3, 1], "with an earlier one");
}

#[tokio::test]
async fn a_page_of_runs_costs_no_sorting_and_no_reading_of_all_rows() {
    let opened = opened(Store::Sqlite).await;
    let records = &opened.records;
    let run = |number: i64| RunRow {
        run_id: format!("{number:05}"),
        namespace: "a".to_owned(),
        created_ms: number,
        runtime_config: json!({}),
        ..RunRow::default()
    };
    records.write((0..500).map(|number| runs::insert(&run(number))).collect()).await.unwrap();
    let scope = [("namespace", "a".to_owned())];
    let query = Query { sort_by: "created_at desc".to_owned(), page_size: "3".to_owned(), ..Query::default() };
    let found = shown::list(records, &scope, &Page::read(&query, &RUN, "created_at").unwrap()).await.unwrap();
    let ids: Vec<&str> = found.rows.iter().map(|run| run.run_id.as_str()).collect();
    assert_eq!((ids, found.total), (vec!["00499", "00498", "00497"], 500));
    let query = Query { page_token: found.next, ..query };
    let page = Page::read(&query, &RUN, "created_at").unwrap();
    let plan = super::query::explain(records, &RUN, &scope, &page).await.unwrap().join("\n");
    assert!(plan.contains("USING COVERING INDEX pipelines_runs_by_namespace (namespace=?)"), "the count: {plan}");
    let seek = "INDEX pipelines_runs_by_namespace (namespace=? AND (created_ms,run_id)<(?,?))";
    assert!(plan.contains(seek), "{plan}");
    assert!(!plan.contains("USE TEMP B-TREE"), "nothing is sorted: {plan}");
}
