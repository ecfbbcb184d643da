//! What the engine counts, for Prometheus.

use ferroflow_platform::metrics::Metrics;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Ended {
    state: &'static str,
}

/// Counters since the process started.
#[derive(Clone, Default)]
pub(super) struct Counts {
    runs_ended: Family<Ended, Counter>,
    runs: Gauge,
    pods: Counter,
    hits: Counter,
}

impl Counts {
    pub(super) fn register(&self, metrics: &Metrics) {
        metrics.register("ferroflow_pipeline_runs", "Runs that have not ended", self.runs.clone());
        metrics.register("ferroflow_pipeline_runs_ended", "Runs that have ended, by state", self.runs_ended.clone());
        metrics.register("ferroflow_pipeline_step_pods", "Pods that were asked for to run steps", self.pods.clone());
        metrics.register("ferroflow_pipeline_cache_hits", "Steps that the cache has answered", self.hits.clone());
    }

    /// So many runs are carried out.
    pub(super) fn active(&self, runs: usize) {
        self.runs.set(i64::try_from(runs).unwrap_or(i64::MAX));
    }

    pub(super) fn ended(&self, state: &'static str) {
        self.runs_ended.get_or_create(&Ended { state }).inc();
    }

    pub(super) fn launched(&self) {
        self.pods.inc();
    }

    pub(super) fn hit(&self) {
        self.hits.inc();
    }
}
