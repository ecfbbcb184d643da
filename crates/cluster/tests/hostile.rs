//! What no well-behaved client sends: the server answers each with a refusal, never with a 500 (but where
//! upstream has one), a panic or a broken connection, and goes on serving others.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "hostile/bodies.rs"]
mod bodies;
#[path = "hostile/paths.rs"]
mod paths;

use std::sync::{Mutex, Once, PoisonError};

use ferroflow_testkit::{
    TestCluster,
    raw::{Answer, Request},
};
use serde_json::Value;

static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// What a row expects of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    Code(u16),
    /// Any refusal that blames the client.
    Refusal,
    /// Any answer but one that blames the server.
    Answer,
}

/// A server on a socket, and a list of what it did wrong.
struct Target {
    cluster: TestCluster,
    faults: Vec<String>,
}

impl Target {
    async fn start() -> Self {
        // A panic in a task of the server would only break its connection: it is noted here.
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let usual = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                let in_server = panic.location().is_some_and(|place| !place.file().contains("tests/"));
                if in_server {
                    PANICS.lock().unwrap_or_else(PoisonError::into_inner).push(panic.to_string());
                }
                usual(panic);
            }));
        });
        Self { cluster: TestCluster::server_only().await, faults: Vec::new() }
    }

    async fn send(&self, request: Request) -> Answer {
        request.token(&self.cluster.token()).send(self.cluster.http()).await
    }

    /// Sends a request and notes when the answer is not as expected.
    async fn expect(&mut self, what: &str, request: Request, expect: Expect) -> Answer {
        let answer = self.send(request).await;
        let fits = match expect {
            Expect::Code(code) => answer.code == code,
            Expect::Refusal => (400..500).contains(&answer.code),
            Expect::Answer => answer.code < 500,
        };
        if !fits {
            let text: String = answer.text().chars().take(300).collect();
            self.faults.push(format!("{what}: {} where {expect:?} is due: {text}", answer.code));
        }
        // What hyper refuses by itself has no body; what the server refuses has a Status.
        let is_status = answer.body.is_empty() || answer.json()["kind"] == "Status";
        if answer.code >= 400 && answer.head.contains("application/json") && !is_status {
            self.faults.push(format!("{what}: the refusal is no Status: {}", answer.text()));
        }
        answer
    }

    /// Fails with everything that went wrong, and checks that the server still serves.
    async fn done(self) {
        let version = self.send(Request::new("GET", "/version")).await;
        assert_eq!(version.code, 200);
        let panics = std::mem::take(&mut *PANICS.lock().unwrap_or_else(PoisonError::into_inner));
        assert!(panics.is_empty(), "the server panicked: {panics:#?}");
        assert!(self.faults.is_empty(), "{:#?}", self.faults);
        self.cluster.stop().await;
    }
}

const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn config_map(name: &str) -> Value {
    serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})
}
