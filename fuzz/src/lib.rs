//! What a client's bytes reach first, as functions of bytes that must not panic.
//!
//! The sources of `crates/cluster` are taken in as they are, so that they alone are instrumented and the build needs
//! neither a web server nor a database.

/// The pure part of the cluster.
#[allow(dead_code, clippy::all)]
#[path = "../../crates/cluster/src/core"]
pub mod core {
    pub mod admission;
    pub mod apply;
    pub mod crd;
    pub mod discovery;
    pub mod field;
    pub mod fields;
    pub mod go_json;
    pub mod hooks;
    pub mod jsonpath;
    pub mod kinds;
    pub mod path;
    pub mod protobuf;
    pub mod quantity;
    pub mod quota;
    pub mod resource;
    pub mod schema;
    pub mod selector;
    pub mod status;
    pub mod strategic;
}

pub mod seeds;
pub mod targets;
