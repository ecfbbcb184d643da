.PHONY: build demo test lint fmt bench fuzz oracle conformance reference cluster real both manifests

build:       ; cargo build --release --package ferroflow
demo:        ; scripts/demo.sh
test:        ; scripts/test.sh
lint:        ; cargo fmt --check && cargo clippy --workspace --all-targets -- -D warnings && cargo xtask tidy
fmt:         ; cargo fmt
bench:       ; benches/run.sh
fuzz:        ; fuzz/run.sh
oracle:      ; conformance/oracle.sh 100000
conformance: ; conformance/official.sh all
reference:   ; conformance/kubernetes/reference.sh
cluster:     ; cargo xtask cluster up
real:        ; conformance/real.sh
both:        ; conformance/both.sh
manifests:   ; FERROFLOW_WRITE_MANIFESTS=1 cargo test --package ferroflow --bins deploy::
