//! How the binary is linked.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let of_target = |name: &str| std::env::var(format!("CARGO_CFG_TARGET_{name}")).unwrap_or_default();
    // A program that may lie anywhere has its tables of addresses written anew each time that it starts: a megabyte
    // that the supervisor of each pod would have to itself, and half of the time that it takes to start. At a place of
    // its own the tables are right as they lie on disk, and shared by all. The heap, the stack and libraries still lie
    // where chance puts them.
    if of_target("OS") == "linux" && of_target("ENV") == "gnu" {
        println!("cargo:rustc-link-arg-bins=-no-pie");
    }
}
