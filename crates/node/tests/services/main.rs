//! The network of a cluster on this host: names, the table, and ports of the host. Nothing leaves loopback.

mod bed;
mod names;
mod reach;
mod table;
