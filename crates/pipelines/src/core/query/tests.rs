//! Filters and pages, by rows and by chance.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    EXPERIMENT, Operand, Operation, PIPELINE, Page, Query, RUN, Target,
    filter::parse,
    page::{Direction, Sorted},
};

fn one(predicate: Value) -> Result<super::Predicate, String> {
    let text = json!({"predicates": [predicate]}).to_string();
    parse(&text, &PIPELINE).map(|mut all| all.remove(0)).map_err(|fault| fault.to_string())
}

#[test]
fn predicates_are_read_in_the_forms_that_clients_send() {
    let texts = |all: &[&str]| Operand::Texts(all.iter().map(|text| (*text).to_owned()).collect());
    let rows = [
        (
            json!({"operation": 1, "key": "display_name", "stringValue": "x"}),
            Operation::Equals,
            Operand::Text("x".into()),
        ),
        (
            json!({"operation": "IS_SUBSTRING", "key": "name", "string_value": "x"}),
            Operation::Substring,
            Operand::Text("x".into()),
        ),
        (
            json!({"operation": 8, "key": "name", "stringValues": {"values": ["a", "b"]}}),
            Operation::In,
            texts(&["a", "b"]),
        ),
        (
            json!({"operation": 5, "key": "created_at", "timestampValue": "1970-01-01T00:01:00.9Z"}),
            Operation::GreaterEquals,
            Operand::Number(60),
        ),
        (
            json!({"operation": "LESS_THAN", "key": "created_at", "longValue": "60"}),
            Operation::Less,
            Operand::Number(60),
        ),
        (json!({"operation": 1, "key": "tags.team", "stringValue": "a"}), Operation::Equals, Operand::Text("a".into())),
    ];
    for (predicate, operation, operand) in rows {
        let read = one(predicate.clone()).unwrap();
        assert_eq!((read.operation, read.operand), (operation, operand), "{predicate}");
    }
    let tag = one(json!({"operation": 1, "key": "tags.a.b", "stringValue": "x"})).unwrap();
    assert_eq!(tag.target, Target::Tag("a.b".to_owned()));
    assert_eq!(parse("", &RUN), Ok(Vec::new()));
    assert_eq!(parse("{}", &RUN), Ok(Vec::new()));
}

#[test]
fn faults_of_filters_name_the_predicate_and_the_way_out() {
    let rows = [
        (
            json!({"operation": 1, "key": "nope", "stringValue": "x"}),
            "filter.predicates[0].key: no pipeline has a field",
        ),
        (json!({"operation": 4, "key": "name", "stringValue": "x"}), "filter.predicates[0].operation: 4 is none of"),
        (json!({"key": "name", "stringValue": "x"}), "filter.predicates[0].operation: missing"),
        (json!({"operation": 1, "key": "name"}), "filter.predicates[0].value: missing"),
        (json!({"operation": 1, "key": "name", "intValue": 1}), "the field holds text; compare it with string_value"),
        (json!({"operation": 8, "key": "name", "stringValue": "x"}), "IN takes string_values"),
        (json!({"operation": 9, "key": "name", "stringValues": ["x"]}), "IS_SUBSTRING takes string_value"),
        (json!({"operation": 1, "key": "created_at", "stringValue": "x"}), "the field holds a time"),
        (json!({"operation": 1, "key": "name", "stringValue": "x", "longValue": 1}), "a second value"),
        (json!({"operation": 1, "key": "name", "stringValue": "x", "more": 1}), "filter.predicates[0].more: unknown"),
    ];
    for (predicate, expect) in rows {
        let fault = one(predicate.clone()).unwrap_err();
        assert!(fault.contains(expect), "{predicate}: {fault}");
    }
    let many: Vec<Value> = vec![json!({"operation": 1, "key": "name", "stringValue": "x"}); 65];
    let fault = parse(&json!({"predicates": many}).to_string(), &PIPELINE).unwrap_err().to_string();
    assert!(fault.contains("more than 64"), "{fault}");
    let fault = parse("{", &PIPELINE).unwrap_err().to_string();
    assert!(fault.starts_with("filter: is no JSON"), "{fault}");
}

fn page(query: Query) -> Result<Page, String> {
    Page::read(&query, &RUN, "created_at").map_err(|fault| fault.to_string())
}

#[test]
fn sizes_and_orders_are_those_of_upstream() {
    for (text, size) in [("", 20), ("0", 20), ("1", 1), ("200", 200), ("5000", 200)] {
        let query = Query { page_size: text.to_owned(), ..Query::default() };
        assert_eq!(page(query).unwrap().size, size, "{text}");
    }
    let ask = |size: &str, sort: &str| page(Query { page_size: size.into(), sort_by: sort.into(), ..Query::default() });
    assert!(ask("-1", "").unwrap_err().starts_with("page_size: -1 is negative"));
    assert!(ask("x", "").unwrap_err().starts_with("page_size: \"x\" is no number"));
    let rows = [
        ("", "created_at", Direction::Ascending),
        ("NAME Desc", "name", Direction::Descending),
        ("finished_at asc", "finished_at", Direction::Ascending),
        ("metric:accuracy desc", "run_id", Direction::Descending),
    ];
    for (sort, key, direction) in rows {
        let order = ask("", sort).unwrap().order;
        assert_eq!((order.field.key, order.direction), (key, direction), "{sort}");
    }
    for sort in ["nope", "name up", "name desc desc"] {
        assert!(ask("", sort).unwrap_err().starts_with("sort_by: "), "{sort}");
    }
}

#[test]
fn a_token_is_good_for_the_same_list_only() {
    let filter = r#"{"predicates":[{"operation":1,"key":"state","stringValue":"FAILED"}]}"#;
    let first = Query { sort_by: "name desc".into(), filter: filter.into(), ..Query::default() };
    let token = page(first.clone()).unwrap().next(&RUN, Sorted::Text("b".into()), "id");
    let with = |change: fn(&mut Query)| {
        let mut query = Query { page_token: token.clone(), ..first.clone() };
        change(&mut query);
        page(query)
    };
    let second = with(|_| {}).unwrap();
    assert_eq!(second.after.as_ref().unwrap().id, "id");
    assert_eq!(with(|query| *query = Query { page_token: query.page_token.clone(), ..Query::default() }), Ok(second));
    assert!(with(|query| query.sort_by = "name".into()).unwrap_err().contains("another sort_by"));
    let other = |query: &mut Query| query.filter = query.filter.replace("FAILED", "RUNNING");
    assert!(with(other).unwrap_err().contains("another filter"));
    let experiment = Query { page_token: token.clone(), ..Query::default() };
    assert!(Page::read(&experiment, &EXPERIMENT, "created_at").is_err(), "a token of another kind");
    for bad in ["x", "e30=", "bnVsbA=="] {
        let fault = page(Query { page_token: bad.into(), ..Query::default() }).unwrap_err();
        assert!(fault.contains("begin again without one"), "{bad}: {fault}");
    }
}

proptest! {
    #[test]
    fn no_filter_panics(text in "\\PC{0,200}") {
        let _ = parse(&text, &RUN);
    }

    #[test]
    fn no_token_panics(text in "[A-Za-z0-9+/=]{0,80}", sort in "\\PC{0,20}") {
        let _ = page(Query { page_token: text, sort_by: sort, ..Query::default() });
    }

    #[test]
    fn what_a_token_says_comes_back(value in "\\PC{0,40}", id in "[a-f0-9-]{0,36}", name in "\\PC{0,20}") {
        let predicate = json!({"operation": 9, "key": "name", "stringValue": name});
        let filter = json!({"predicates": [predicate]}).to_string();
        let first = page(Query { sort_by: "name".into(), filter: filter.clone(), ..Query::default() }).unwrap();
        let token = first.next(&RUN, Sorted::Text(value.clone()), &id);
        let second = page(Query { page_token: token, filter, ..Query::default() }).unwrap();
        let after = second.after.clone().unwrap();
        prop_assert_eq!((after.value, after.id), (Sorted::Text(value), id));
        prop_assert_eq!(second.predicates, first.predicates);
    }
}
