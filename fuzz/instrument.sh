#!/bin/sh
# Called by cargo instead of rustc for our own crate: counts the edges that an input reaches, as libFuzzer wants them.
# These are stable options of rustc; `cargo fuzz` passes the same.
rustc=$1
shift
exec "$rustc" "$@" -C passes=sancov-module -C llvm-args=-sanitizer-coverage-level=4 \
    -C llvm-args=-sanitizer-coverage-inline-8bit-counters -C llvm-args=-sanitizer-coverage-pc-table \
    -C llvm-args=-sanitizer-coverage-trace-compares
