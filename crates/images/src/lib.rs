//! Container images made from files: layers, configurations, manifests and the archives that hold them.
//!
//! * [`core`] decides what is in an image and what its JSON says, byte for byte the same every time.
//! * [`store`] reads trees of files and writes archives in the OCI image layout.
//!
//! It pulls nothing, pushes nothing and runs nothing.

pub mod core;
pub mod store;
