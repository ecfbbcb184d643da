use proptest::prelude::*;
use serde_json::json;

use super::*;

fn parameters() -> Parameters {
    let rows = [
        ("s", json!("heads")),
        ("n", json!(5)),
        ("text", json!("5")),
        ("half", json!(2.5)),
        ("yes", json!(true)),
        ("list", json!([1, 2, "x"])),
        ("map", json!({"a": {"b": 1}})),
        ("json", json!("{\"k\": [1.0, 2]}")),
    ];
    rows.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

#[test]
fn conditions_hold_or_not() {
    for (condition, holds) in [
        // What compilers write.
        ("inputs.parameter_values['s'] == 'heads'", true),
        ("inputs.parameter_values['s'] != 'no-such-result'", true),
        ("int(inputs.parameter_values['n']) > 5", false),
        ("int(inputs.parameter_values['n']) >= int(inputs.parameter_values['text'])", true),
        ("inputs.parameter_values['yes'] == true", true),
        ("!(inputs.parameter_values['s'] == 'heads')", false),
        (
            "!(inputs.parameter_values['s'] == 'tails') && !(int(inputs.parameter_values['n']) < 5) \
             && inputs.parameter_values['s'] == 'heads'",
            true,
        ),
        ("double(int(inputs.parameter_values['n'])) == 5.0", true),
        ("inputs.parameter_values['half'] < 3", true),
        ("'inputs.parameter_values[\\'n\\']' == inputs.parameter_values['s']", false),
        // What people write.
        ("inputs.parameter_values.s == \"heads\" || inputs.parameter_values['missing'] == 1", true),
        ("inputs.parameter_values['missing'] == 1 || true", true),
        ("false && inputs.parameter_values['missing'] == 1", false),
        ("1 + 2 * 3 == 7 && (1 + 2) * 3 == 9 && 7 / 2 == 3 && 7 % 2 == 1 && 7.0 / 2 == 3.5", true),
        ("2 in inputs.parameter_values['list'] && !('y' in inputs.parameter_values['list'])", true),
        ("'a' in inputs.parameter_values.map && inputs.parameter_values.map.a['b'] == 1", true),
        ("parseJson(inputs.parameter_values['json'])['k'][0] == 1", true),
        ("size(inputs.parameter_values['list']) == 3 && inputs.parameter_values['s'].size() == 5", true),
        ("inputs.parameter_values['s'].startsWith('he') && inputs.parameter_values['s'].matches('^h.*s$')", true),
        ("has(inputs.parameter_values.s) && !has(inputs.parameter_values.missing)", true),
        ("inputs.parameter_values['n'] > 3 ? inputs.parameter_values['yes'] : false", true),
        ("inputs.parameter_values['list'].exists(it, it == 'x') && [1, 2].all(n, n > 0)", true),
        ("inputs.parameter_values.map.exists_one(key, key == 'a') && [1, 2, 3].filter(n, n > 1) == [2, 3]", true),
        ("[1, 2, 3].map(n, n > 1, n * 2) == [4, 6] && [[1], [2]].all(row, row.exists(n, n in [1, 2]))", true),
        // What decides does so, whatever is wrong with other items; variables hide what is around them.
        ("inputs.parameter_values['list'].exists(n, n > 1) && ![2, 1].all(n, n < 2 && [0].all(n, n == 0))", true),
        ("[].all(n, n.nothing) && ![].exists(n, n.nothing) && ['a'].exists(inputs, inputs == 'a')", true),
        // Numbers of inputs are doubles.
        ("inputs.parameter_values['n'] / inputs.parameter_values['list'][1] == 2.5", true),
        ("inputs.parameter_values['n'] / 2.0 == 2.5 && string(inputs.parameter_values['n']) == '5'", true),
        (
            "string(1e6) == '1e+06' && string(-0.00001) == '-1e-05' && string(1234.5) == '1234.5' && string(7) == '7'",
            true,
        ),
        ("inputs.parameter_values['list'][double(1)] == 2", true),
        ("'5' == 5", false),
        ("[1, 2] + [3] == [1, 2, 3.0] && {'a': 1} == {'a': 1.0}", true),
        ("-3 < -2 && 0x10 == 16 && 1e2 == 100 && r'\\n' == '\\\\n'", true),
    ] {
        let parsed = Condition::parse(condition).unwrap_or_else(|fault| panic!("{condition}: {fault}"));
        assert_eq!(parsed.evaluate(&parameters()), Ok(holds), "{condition}");
    }
}

#[test]
fn what_does_not_fit_is_told() {
    for (condition, fault) in [
        (
            "inputs.parameter_values['missing'] == 1",
            "needs the input parameter \"missing\", which the task is not given",
        ),
        ("inputs.parameter_values['s']", "gives the string \"heads\", and a condition must be true or false"),
        ("int(inputs.parameter_values['s']) > 1", "calls int with the string \"heads\""),
        ("inputs.parameter_values['s'] > 1", "compares the string \"heads\" with the number 1"),
        ("outputs.x == 1", "uses outputs, which is not known; known is inputs"),
        ("inputs.parameter_values['list'][7] == 1", "needs [7] of a list, which has none"),
        ("[1, 'a'].all(n, n < 5)", "compares the string \"a\" with the number 5"),
        ("'abc'.all(c, c == 'a')", "goes through the string \"abc\", which is no list and no map"),
        ("1 / 0 == 1", "cannot reckon with the number 1 and the number 0"),
    ] {
        let parsed = Condition::parse(condition).unwrap();
        assert_eq!(parsed.evaluate(&parameters()).unwrap_err().what, fault, "{condition}");
    }
}

#[test]
fn what_is_no_expression_is_told_with_its_column() {
    for (condition, fault) in [
        ("inputs.parameter_values['s'] == 'it's'", "a string has no end"),
        ("1 ==", "needs a value in column 5, and there is the end"),
        ("1 == 1 1", "needs an operator or the end in column 8, and there is 1"),
        ("f(1)", "calls f, which is not known"),
        ("a.b(1)", "calls the method b, which is not known"),
        ("[1].all(1, true)", "calls all with no name for an item"),
        ("[1].map(x)", "calls map with 1 arguments; it takes 2"),
        ("[1].exists(x, true, true)", "calls exists with 3 arguments; it takes 2"),
        ("1 = 1", "holds '=', which means nothing here, in column 3"),
        ("int(1, 2)", "calls int with 2 arguments; it takes 1"),
        ("", "needs a value in column 1, and there is the end"),
        ("'a\\w' == 1", "a string holds a backslash"),
    ] {
        let error = Condition::parse(condition).unwrap_err().what;
        assert!(error.contains(fault), "{condition}: {error}");
    }
    assert!(Condition::parse(&"(".repeat(100_000)).is_err());
    assert!(Condition::parse(&"!".repeat(60_000)).is_err());
    assert!(Condition::parse(&format!("1{}", "+1".repeat(30_000))).is_err());
}

#[test]
fn what_multiplies_is_bounded() {
    let mut parameters = parameters();
    parameters.insert("many".to_owned(), (0..5000).collect::<Vec<_>>().into());
    let many = "inputs.parameter_values['many']";
    for condition in [
        format!("{many}.all(a, {many}.all(b, a != b || a == b))"),
        format!("{many}.exists(a, {many}.exists(b, a < 0 && b < 0))"),
        format!("['a']{}[0] == ''", ".map(x, x + x)".repeat(90)),
        format!("[[1]]{}[0] == []", ".map(x, [x, x])".repeat(90)),
    ] {
        let fault = Condition::parse(&condition).unwrap().evaluate(&parameters).unwrap_err().what;
        assert_eq!(fault, "needs more than 1000000 values; compute it in a step", "{condition}");
    }
    assert_eq!(Condition::parse(&format!("{many}.all(a, a >= 0)")).unwrap().evaluate(&parameters), Ok(true));
}

#[test]
fn a_selector_takes_a_value_out_of_another() {
    for (selector, from, selected) in [
        ("parseJson(string_value)[\"A_a\"]", json!({"A_a": "heads"}), json!("heads")),
        ("parseJson(string_value)[\"p_a\"]", json!({"p_a": [{"q_a": 2.0}]}), json!([{"q_a": 2}])),
        ("parseJson(string_value)[\"k\"]", json!("{\"k\": 1.0}"), json!(1)),
        ("struct_value.a", json!({"a": null}), json!(null)),
        ("list_value[1]", json!([1, 2]), json!(2)),
    ] {
        assert_eq!(Condition::parse(selector).unwrap().select(&from).unwrap(), selected, "{selector}");
    }
    let missing = Condition::parse("parseJson(string_value)['x']").unwrap().select(&json!({"y": 1}));
    assert_eq!(missing.unwrap_err().what, "needs [\"x\"] of an object, which has none");
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_fail_badly(text in "[ a-z0-9'\"\\\\.\\[\\](){}&|=!<>?:,+*/%-]{0,60}") {
        if let Ok(parsed) = Condition::parse(&text) {
            let _ = parsed.evaluate(&parameters());
        }
    }

    #[test]
    fn escaped_text_compares_as_itself(text in ".{0,20}") {
        let mut parameters = Parameters::new();
        parameters.insert("s".to_owned(), text.clone().into());
        let quoted = serde_json::to_string(&text).unwrap();
        if let Ok(parsed) = Condition::parse(&format!("inputs.parameter_values['s'] == {quoted}")) {
            prop_assert_eq!(parsed.evaluate(&parameters), Ok(true));
        } else {
            // JSON escapes that CEL does not have.
            prop_assert!(quoted.contains("\\b") || quoted.contains("\\f"));
        }
    }
}
