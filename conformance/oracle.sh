#!/bin/sh
# Compares our code with the Go libraries on N random cases a subject: conformance/oracle.sh N [SEED]
set -eu
cd "$(dirname "$0")/.."
FERROFLOW_ORACLE="$(conformance/oracle/build.sh)"
FERROFLOW_ORACLE_CASES="${1:-10000}"
FERROFLOW_ORACLE_SEED="${2:-1}"
export FERROFLOW_ORACLE FERROFLOW_ORACLE_CASES FERROFLOW_ORACLE_SEED
exec cargo test --release --package ferroflow-cluster --package ferroflow-pipelines --test oracle -- --nocapture
