//! Paths, queries and headers.

use ferroflow_testkit::raw::Request;
use serde_json::json;

use super::{
    CONFIG_MAPS,
    Expect::{Answer, Code, Refusal},
    Target, config_map,
};

#[tokio::test]
async fn a_page_of_another_origin_and_a_foreign_host_are_refused() {
    let mut target = Target::start().await;
    let rows = [
        ("Host", "evil.example", Code(403)),
        ("Host", "127.0.0.1.evil.example", Code(403)),
        ("Host", "localhost@evil.example", Refusal),
        ("Host", "", Refusal),
        ("Origin", "https://evil.example", Code(403)),
        ("Origin", "null", Code(403)),
        ("Origin", "https://localhost.evil.example", Code(403)),
        ("Origin", "http://127.0.0.1:8080", Code(200)),
        ("Host", "localhost:1", Code(200)),
    ];
    for (header, value, expect) in rows {
        let request = Request::new("GET", CONFIG_MAPS).header(header, value);
        target.expect(&format!("{header}: {value}"), request, expect).await;
        let request = Request::new("GET", "/version").header(header, value);
        target.expect(&format!("/version, {header}: {value}"), request, expect).await;
    }
    target.done().await;
}

#[tokio::test]
async fn a_path_never_leads_out_of_what_it_names() {
    let mut target = Target::start().await;
    let secret =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"a": "hidden"}});
    let secrets = Request::new("POST", "/api/v1/namespaces/default/secrets").json(&secret);
    target.expect("create", secrets, Code(201)).await;
    let paths = [
        "/api/v1/namespaces/default/configmaps/../secrets/s",
        "/api/v1/namespaces/default/configmaps/%2e%2e/secrets/s",
        "/api/v1/namespaces/default/configmaps/..%2fsecrets%2fs",
        "/api/v1/namespaces/default/configmaps/%2e%2e%2fsecrets%2fs",
        "/api/v1/namespaces/../namespaces/default/secrets/s",
        "/api/v1/namespaces/%2e%2e/secrets",
        "/api/v1/namespaces/default/secrets/%2e",
        "/api/v1/namespaces/default/secrets/..",
        "/api/v1/namespaces/default/secrets/s%00",
        "/api/v1/namespaces/default/secrets/%ff",
        "/api/v1/namespaces/default/secrets/%zz",
        "/api/v1/namespaces/default/secrets/%",
        "/api/v1/namespaces/default/pods/%2e%2e/log",
        "/api/v1/namespaces/default/pods/../log",
        "/api/v1/namespaces/default/pods/..%2f..%2fetc%2fpasswd/log",
        "/api/v1/namespaces/%2e%2e%2f%2e%2e/pods/a/log?container=../../etc/passwd",
        "/api/v1/namespaces/default/pods/none/log?container=../../../etc/passwd",
        "/api/v1/namespaces/default/pods/none/proxy/../../../secrets/s",
        "/api/v1/nodes/none/proxy/logs/../../etc/passwd",
        "/logs/../../../../etc/passwd",
        "/static/..%2f..%2fetc/passwd",
        "/openapi/v3/../../etc/passwd",
        "/openapi/v3/apis/%2e%2e/%2e%2e",
        "/apis/../api/v1/secrets",
        "/api/v1/../../etc/passwd",
        "//api//v1//secrets",
    ];
    for path in paths {
        let answer = target.expect(path, Request::new("GET", path), Answer).await;
        for leaked in ["hidden", "aGlkZGVu", "root:"] {
            assert!(!answer.text().contains(leaked), "{path} shows {leaked}");
        }
    }
    for name in ["..", ".", "../x", "a/b", "a%b", "a\\b", "/", "a\nb", "A", "-a", "a..b", &"a".repeat(254)] {
        let create = Request::new("POST", CONFIG_MAPS).json(&config_map(name));
        target.expect(&format!("name {name:?}"), create, Code(422)).await;
        let mut namespace = config_map("in");
        namespace["metadata"]["namespace"] = name.into();
        let create = Request::new("POST", CONFIG_MAPS).json(&namespace);
        target.expect(&format!("namespace {name:?}"), create, Code(400)).await;
        let mut generated = config_map("");
        generated["metadata"] = json!({"generateName": name});
        let create = Request::new("POST", CONFIG_MAPS).json(&generated);
        let expect = if name.len() == 254 || name == "a..b" { Answer } else { Code(422) };
        target.expect(&format!("generateName {name:?}"), create, expect).await;
    }
    for namespace in ["..", "a.b", "a/b", "A", ""] {
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        let create = Request::new("POST", "/api/v1/namespaces").json(&object);
        target.expect(&format!("namespace {namespace:?}"), create, Code(422)).await;
    }
    target.done().await;
}

#[tokio::test]
async fn queries_that_make_no_sense_are_refused() {
    let mut target = Target::start().await;
    target.expect("create", Request::new("POST", CONFIG_MAPS).json(&config_map("one")), Code(201)).await;
    let rows = [
        ("?resourceVersion=abc", Refusal),
        ("?resourceVersion=-1", Refusal),
        ("?resourceVersion=99999999999999999999999", Refusal),
        ("?limit=-1", Answer),
        ("?limit=99999999999999999999999", Refusal),
        ("?limit=abc", Refusal),
        ("?limit=1&continue=%ff%fe", Refusal),
        ("?limit=1&continue=AAAA", Refusal),
        ("?continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6LTUsInN0YXJ0IjoiLi4vLi4ifQ", Answer),
        ("?labelSelector=%ff", Refusal),
        ("?labelSelector=a+in+(", Refusal),
        ("?labelSelector=((((((((((", Refusal),
        ("?labelSelector==", Refusal),
        ("?fieldSelector=a", Refusal),
        ("?fieldSelector=metadata.name%3D%5C", Refusal),
        ("?fieldSelector=spec.none=1", Code(400)),
        ("?watch=1&resourceVersion=abc", Code(500)),
        ("?watch=1&timeoutSeconds=abc", Refusal),
        ("?watch=1&sendInitialEvents=true", Code(422)),
        ("?resourceVersionMatch=Nonsense&resourceVersion=1", Code(422)),
        ("?pretty=%00", Answer),
        ("?dryRun=Maybe", Answer),
        ("?%=%&&&==&a", Answer),
        ("?timeoutSeconds=99999999999999999999999", Refusal),
    ];
    for (query, expect) in rows {
        target.expect(query, Request::new("GET", &format!("{CONFIG_MAPS}{query}")), expect).await;
    }
    let writes = [
        ("POST", "?dryRun=Maybe", Code(422)),
        ("POST", "?fieldValidation=Perhaps", Code(422)),
        ("POST", "?fieldManager=%0a", Code(422)),
        ("DELETE", "/one?gracePeriodSeconds=abc", Refusal),
        ("DELETE", "/one?gracePeriodSeconds=-5", Answer),
        ("DELETE", "/one?gracePeriodSeconds=99999999999999999999", Refusal),
        ("DELETE", "/one?propagationPolicy=Sideways", Code(422)),
    ];
    for (method, query, expect) in writes {
        let mut request = Request::new(method, &format!("{CONFIG_MAPS}{query}"));
        if method == "POST" {
            request = request.json(&config_map("two"));
        }
        target.expect(&format!("{method} {query}"), request, expect).await;
    }
    target.done().await;
}

#[tokio::test]
async fn methods_and_headers_that_make_no_sense_are_refused() {
    let mut target = Target::start().await;
    let one = format!("{CONFIG_MAPS}/one");
    let rows = [
        ("TRACE", CONFIG_MAPS, Code(405)),
        ("PROPFIND", CONFIG_MAPS, Code(405)),
        ("POST", one.as_str(), Code(405)),
        ("PUT", CONFIG_MAPS, Code(405)),
        ("PATCH", CONFIG_MAPS, Refusal),
        ("GET", "/api/v1/namespaces/default/nothings", Code(404)),
        ("GET", "/apis/none.example/v1/things", Code(404)),
        ("GET", "/api/v9/pods", Code(404)),
        ("POST", "/api/v1/namespaces/default/pods/none/exec", Refusal),
        ("GET", "/api/v1/namespaces/default/pods/none/exec?command=a", Refusal),
        ("GET", "/api/v1/namespaces/default/pods/none/log?tailLines=-1", Refusal),
        ("GET", "/api/v1/namespaces/default/pods/none/log?sinceSeconds=abc", Refusal),
    ];
    for (method, path, expect) in rows {
        target.expect(&format!("{method} {path}"), Request::new(method, path), expect).await;
    }
    let long = "x".repeat(9000);
    let headers = [
        ("Accept", "text/html", Code(406)),
        ("Accept", ";;;,,,", Refusal),
        ("Accept", "application/json;as=Nonsense;g=none;v=v9", Refusal),
        ("Accept", "application/json;as=Table;g=meta.k8s.io;v=v1", Code(200)),
        ("Authorization", "Bearer", Code(401)),
        ("Authorization", "Bearer nonsense", Code(401)),
        ("Authorization", "Bearer a.b.c", Code(401)),
        ("Authorization", "Bearer eyJhbGciOiJub25lIn0.e30.", Code(401)),
        ("Authorization", "Basic YTpi", Code(401)),
        ("Impersonate-User", "\u{1}", Refusal),
        ("Impersonate-User", "system:serviceaccount:a", Answer),
        ("User-Agent", &long, Code(200)),
        ("Upgrade", "nonsense", Answer),
        ("Content-Length", "-1", Refusal),
        ("X-Long", &"y".repeat(1 << 20), Refusal),
    ];
    for (name, value, expect) in headers {
        let request = Request::new("GET", CONFIG_MAPS).token(&target.cluster.token()).header(name, value);
        let answer = request.send(target.cluster.http()).await;
        let fits = match expect {
            Code(code) => answer.code == code,
            Refusal => (400..500).contains(&answer.code),
            Answer => answer.code < 500,
        };
        if !fits {
            let shown: String = value.chars().take(60).collect();
            target.faults.push(format!(
                "{name}: {shown:?}: {} where {expect:?} is due: {}",
                answer.code,
                answer.text()
            ));
        }
    }
    let long_path = format!("{CONFIG_MAPS}/{}", "z".repeat(100_000));
    target.expect("a long path", Request::new("GET", &long_path), Refusal).await;
    target.done().await;
}
