//! Expressions by what they answer and cost.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::decl::DeclType;
use super::rules::{Budget, CompiledRule, Validator, compile};
use crate::core::crd::structural::Schema;
use crate::core::field::Path;

fn schema(rule: Value) -> Schema {
    Schema::from_value(&json!({
        "type": "object",
        "properties": {"spec": {"type": "object", "properties": {
            "i": {"type": "integer"},
            "s": {"type": "string", "maxLength": 100},
            "t": {"type": "string", "format": "date-time"},
            "l": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "integer"}},
            "m": {"type": "object", "additionalProperties": {"type": "string"}},
            "port-number": {"type": "integer"},
            "ios": {"x-kubernetes-int-or-string": true},
        }}},
        "x-kubernetes-validations": [rule],
    }))
}

fn compiled(rule: Value) -> CompiledRule {
    let schema = schema(rule);
    let decl = DeclType::of(&schema, true).unwrap();
    compile(&schema, &decl, &HashSet::new()).remove(0)
}

fn errors(rule: Value, spec: Value, old: Option<Value>) -> Vec<String> {
    let validator = Validator::new(&schema(rule), true).unwrap();
    let object = |spec: Value| json!({"apiVersion": "v1", "kind": "T", "metadata": {"name": "n"}, "spec": spec});
    let old = old.map(object);
    let mut budget = Budget::per_request();
    let found = validator.validate(&Path::root(""), &object(spec), old.as_ref(), None, &mut budget);
    found.iter().map(ToString::to_string).collect()
}

fn holds(rule: &str, spec: Value) {
    assert_eq!(errors(json!({"rule": rule}), spec, None), Vec::<String>::new(), "{rule}");
}

fn refused(rule: &str) -> String {
    compiled(json!({"rule": rule})).error.unwrap_or_default()
}

#[test]
fn the_libraries_answer() {
    let spec =
        json!({"i": 3, "s": "a,b", "t": "2024-01-02T03:04:05Z", "l": [1, 2], "m": {"k": "v"}, "port-number": 80});
    for rule in [
        "self.spec.i > 2 && self.spec.i < 4",
        "self.spec.s.split(',') == ['a', 'b']",
        "self.spec.s.matches('^a') && self.spec.s.find('[b-z]') == 'b'",
        "self.spec.t.getFullYear() == 2024",
        "self.spec.l == [2, 1]",
        "self.spec.l.all(x, x > 0) && self.spec.l.exists_one(x, x == 2)",
        "self.spec.l.map(x, x * 2).sum() == 6",
        "self.spec.m.transformMap(k, v, v + '!') == {'k': 'v!'}",
        "self.spec.port__dash__number == 80",
        "!has(self.spec.ios) && self.spec.?ios.orValue(7) == 7",
        "'%s is %d'.format(['x', 4]) == 'x is 4'",
        "quantity('1.5Gi').isGreaterThan(quantity('1G'))",
        "url('https://h:1/p').getHost() == 'h:1'",
        "ip('10.0.0.1').family() == 4 && cidr('10.0.0.0/8').containsIP('10.2.3.4')",
        "format.dns1123Label().validate('No').hasValue()",
        "semver('1.2.3').isLessThan(semver('1.10.0'))",
        "sets.contains([1, 2, 3], self.spec.l)",
        "duration('90m').getHours() == 1",
        "self.metadata.name == 'n'",
    ] {
        holds(rule, spec.clone());
    }
}

#[test]
fn what_does_not_fit_is_refused_with_its_place() {
    assert_eq!(
        refused("self.spec.nope == 1"),
        "compilation failed: ERROR: <input>:1:10: undefined field 'nope'\n | self.spec.nope == 1\n | .........^"
    );
    assert_eq!(
        refused("self.spec.i == 'a'"),
        "compilation failed: ERROR: <input>:1:13: found no matching overload for '_==_' applied to '(int, string)'\n \
         | self.spec.i == 'a'\n | ............^"
    );
    assert_eq!(refused("self.spec.i"), "cel expression must evaluate to a bool");
    assert!(refused("[1, 'a'].size() == 2").contains("expected type 'int' but found 'string'"));
    assert!(
        refused("'%d'.format(['a']) == ''").contains("decimal clause can only be used on integers, was given string")
    );
    assert!(refused("self.spec.s.matches('(')").contains("invalid matches argument"));
    assert!(refused("self.spec.i ==").starts_with("compilation failed: ERROR: <input>:1:15: Syntax error"));
}

#[test]
fn a_fault_at_run_time_fails_the_rule() {
    assert_eq!(
        errors(json!({"rule": "self.spec.s == 'a'"}), json!({}), None),
        [r#"<nil>: Invalid value: "object": no such key: s evaluating rule: self.spec.s == 'a'"#]
    );
    assert_eq!(
        errors(json!({"rule": "1 / self.spec.i == 1"}), json!({"i": 0}), None),
        [r#"<nil>: Invalid value: "object": division by zero evaluating rule: 1 / self.spec.i == 1"#]
    );
    holds("self.spec.s == 'a' || true", json!({}));
}

#[test]
fn a_rule_says_why_and_where_it_failed() {
    let rule = json!({
        "rule": "self.spec.i < 3", "messageExpression": "'too much: ' + string(self.spec.i)",
        "reason": "FieldValueForbidden", "fieldPath": ".spec.i",
    });
    assert_eq!(errors(rule, json!({"i": 4}), None), ["spec.i: Forbidden: too much: 4"]);
    let broken = json!({"rule": "self.spec.i < 3", "messageExpression": "self.spec.s", "message": "told"});
    assert_eq!(errors(broken, json!({"i": 4}), None), [r#"<nil>: Invalid value: "object": told"#]);
}

#[test]
fn the_old_value_is_seen_on_updates() {
    let rule = || json!({"rule": "self.spec.i >= oldSelf.spec.i"});
    assert_eq!(errors(rule(), json!({"i": 1}), None), Vec::<String>::new());
    assert_eq!(errors(rule(), json!({"i": 1}), Some(json!({"i": 2}))).len(), 1);
    let optional = json!({"rule": "oldSelf.hasValue() || self.spec.i == 1", "optionalOldSelf": true});
    assert_eq!(errors(optional.clone(), json!({"i": 2}), None).len(), 1);
    assert_eq!(errors(optional, json!({"i": 2}), Some(json!({"i": 2}))), Vec::<String>::new());
}

#[test]
fn sizes_bound_the_estimate() {
    let bounded = compiled(json!({"rule": "self.spec.s.contains('kitten')"}));
    assert_eq!((bounded.error, bounded.max_cost), (None, 43));
    let unbounded = compiled(json!({"rule": "self.spec.l.all(x, self.spec.l.all(y, x <= y))"}));
    assert!(unbounded.max_cost > super::cost::RULE_COST_LIMIT);
}

#[test]
fn an_expensive_run_is_cut_off() {
    let rule = "self.spec.l.all(a, self.spec.l.all(b, self.spec.l.all(c, a + b + c < 1000000)))";
    let list: Vec<i64> = (0..100).collect();
    let found = errors(json!({"rule": rule}), json!({"l": list}), None);
    assert_eq!(
        found,
        [format!(
            "<nil>: Invalid value: \"object\": 'operation cancelled: actual cost limit exceeded': no further validation \
             rules will be run due to call cost exceeds limit for rule: {rule}"
        )]
    );
}

#[test]
fn deep_nesting_is_refused_and_not_fatal() {
    let deep = format!("{}true{}", "(".repeat(2000), ")".repeat(2000));
    assert!(refused(&deep).starts_with("compilation failed"));
}
