//! One generic REST handler over the table of resources.
//!
//! `server` takes a request apart, authenticates, authorizes and hands it on: to `read` (get, list,
//! watch), `write` (create, update, patch, delete), `subresource`, `connect` (streams), `proxy` or `documents`
//! (discovery, OpenAPI). No handler is written for a kind; what kinds decide is in `core`.

pub mod admission;
pub mod aggregate;
pub mod body;
mod caller;
mod command;
pub mod compress;
pub mod connect;
pub mod convert;
pub mod documents;
mod forward;
pub mod hooks;
pub mod local;
mod metrics;
pub mod negotiate;
pub mod options;
mod pages;
pub mod proxy;
mod reach;
pub mod read;
pub mod server;
pub mod services;
mod spdy;
pub mod subresource;
pub mod view;
mod watch;
pub mod write;
