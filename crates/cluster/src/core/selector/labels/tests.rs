use serde_json::json;

use super::*;

#[test]
fn selectors_print_sorted_and_normalised() {
    for (text, printed) in [
        ("", ""),
        ("x=a,y=b", "x=a,y=b"),
        ("y==b , x=a", "x=a,y==b"),
        ("x in (c,a,b)", "x in (a,b,c)"),
        ("x notin ()", "x notin ()"),
        ("!x,y", "!x,y"),
        ("x>5,z<7", "x>5,z<7"),
        ("x=,y", "x=,y"),
        ("x in (a,)", "x in (,a)"),
        ("in in (in)", "in in (in)"),
        ("x != a", "x!=a"),
    ] {
        assert_eq!(Selector::parse(text).unwrap().to_string(), printed, "{text}");
    }
}

#[test]
fn a_bad_selector_says_what_upstream_says() {
    for (text, message) in [
        (",", "found ',', expected: !, identifier, or 'end of string'"),
        ("x=a,", "found '', expected: identifier after ','"),
        ("x=a b", "found 'b', expected: ',' or 'end of string'"),
        ("x a", "unable to parse requirement: found 'a', expected: in, notin, =, ==, !=, gt, lt"),
        ("!", "unable to parse requirement: found '', expected: identifier"),
        ("x in a", "unable to parse requirement: found 'a' expected: '('"),
        ("x in (a b)", "unable to parse requirement: found 'b', expected: ',' or ')'"),
        ("x in (=)", "unable to parse requirement: found '=', expected: ',', ')' or identifier"),
        ("x in (,=", "unable to parse requirement: found '=', expected: ',', or identifier"),
        ("x==(", "unable to parse requirement: found '(', expected: identifier"),
        ("!x=a", "found '=', expected: ',' or 'end of string'"),
        (
            "x>a",
            "unable to parse requirement: values[0]: Invalid value: \"a\": for 'Gt', 'Lt' operators, the value must be \
             an integer",
        ),
    ] {
        assert_eq!(Selector::parse(text).unwrap_err().to_string(), message, "{text}");
    }
    let key = Selector::parse("-x").unwrap_err().to_string();
    assert!(
        key.starts_with("unable to parse requirement: <nil>: Invalid value: \"-x\": name part must consist"),
        "{key}"
    );
}

#[test]
fn labels_match_as_their_operators_say() {
    let labels = json!({"app": "web", "size": "4"});
    for (text, selected) in [
        ("", true),
        ("app=web", true),
        ("app=db", false),
        ("app!=db", true),
        ("tier!=x", true),
        ("app in (db,web)", true),
        ("tier notin (x)", true),
        ("app notin (web)", false),
        ("app", true),
        ("!app", false),
        ("!tier", true),
        ("size>3", true),
        ("size<4", false),
        ("app>3", false),
    ] {
        assert_eq!(Selector::parse(text).unwrap().matches(&labels), selected, "{text}");
    }
}

#[test]
fn the_json_form_selects_nothing_when_null_and_everything_when_empty() {
    let object = json!({"metadata": {}});
    assert!(!Selector::from_json(&Value::Null).unwrap().matches_object(&object));
    assert!(Selector::from_json(&json!({})).unwrap().matches_object(&object));
    let selector = json!({
        "matchLabels": {"b": "1"},
        "matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["y", "x"]}],
    });
    assert_eq!(Selector::from_json(&selector).unwrap().to_string(), "a notin (x,y),b=1");
    let wrong = json!({"matchExpressions": [{"key": "a", "operator": "Has"}]});
    assert_eq!(Selector::from_json(&wrong).unwrap_err().to_string(), "\"Has\" is not a valid label selector operator");
    let empty = json!({"matchExpressions": [{"key": "a", "operator": "In"}]});
    assert_eq!(
        Selector::from_json(&empty).unwrap_err().to_string(),
        "values: Invalid value: null: for 'in', 'notin' operators, values set can't be empty"
    );
}
