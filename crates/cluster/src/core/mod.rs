//! What the cluster decides, as pure functions: no tokio, no client, no file system, no clock, no
//! environment, no chance that was not handed in.

pub mod admission;
pub mod aggregation;
pub mod apply;
pub mod crd;
pub mod cron;
pub mod deletion;
pub mod discovery;
pub mod endpoint;
pub mod field;
pub mod fields;
pub mod garbage;
pub mod go_json;
pub mod hooks;
pub mod job;
pub mod jsonpath;
pub mod kinds;
pub mod link;
pub mod metrics;
pub mod openapi;
pub mod path;
pub mod protobuf;
pub mod quantity;
pub mod quota;
pub mod rbac;
pub mod resource;
pub mod schema;
pub mod selector;
pub mod spdy;
pub mod status;
pub mod strategic;
pub mod table;
pub mod volume;
pub mod workload;
