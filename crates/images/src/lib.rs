//! Container images: made from files, pulled from registries, loaded from archives, and kept unpacked on disk.
//!
//! * [`core`] decides: names, what is in an image, what of a stranger's image is taken, which images go.
//! * [`registry`] asks registries for manifests and blobs.
//! * [`store`] reads trees of files, writes archives, and keeps layers unpacked.
//! * [`pull`] and [`load`] put the three together.
//!
//! It pushes nothing and runs nothing.

pub mod core;
pub mod load;
pub mod pull;
pub mod registry;
pub mod store;
