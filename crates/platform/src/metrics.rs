//! What a server tells of itself, in the text form of OpenMetrics that Prometheus reads.

use std::{fmt, fs, sync::Arc, sync::Mutex, sync::PoisonError, time::Duration};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, text},
    metrics::{
        counter::{ConstCounter, Counter},
        family::Family,
        gauge::ConstGauge,
        histogram::Histogram,
    },
    registry::{Metric, Registry},
};

/// The content type of [`Metrics::text`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds of the times of requests, in seconds: from what is in memory to what waits for a leader.
const BOUNDS_S: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 20.0];
/// Methods that are counted by name; there is no end to what a client can send.
const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Answered {
    /// Where the service is mounted.
    mount: &'static str,
    method: &'static str,
    code: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Mounted {
    mount: &'static str,
}

/// A registry of metrics. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
    requests: Family<Answered, Counter>,
    seconds: Family<Mounted, Histogram>,
}

impl Metrics {
    /// Those that every server has: of the process since `started_s` (seconds since 1970), and of requests.
    pub fn new(started_s: i64) -> Self {
        let mut registry = Registry::default();
        let requests = Family::<Answered, Counter>::default();
        let seconds = Family::<Mounted, Histogram>::new_with_constructor(|| Histogram::new(BOUNDS_S));
        registry.register("ferroflow_http_requests", "Requests that were answered", requests.clone());
        registry.register("ferroflow_http_request_duration_seconds", "Time to an answer's head", seconds.clone());
        registry.register_collector(Box::new(Process { started_s }));
        Self { registry: Arc::new(Mutex::new(registry)), requests, seconds }
    }

    /// Adds a metric. A counter's name gets `_total` at its end.
    pub fn register(&self, name: &str, help: &str, metric: impl Metric) {
        self.lock().register(name, help, metric);
    }

    /// Counts a request.
    pub fn answered(&self, mount: &'static str, method: &str, code: u16, took: Duration) {
        let method = METHODS.into_iter().find(|known| *known == method).unwrap_or("other");
        self.requests.get_or_create(&Answered { mount, method, code }).inc();
        self.seconds.get_or_create(&Mounted { mount }).observe(took.as_secs_f64());
    }

    /// All of them, as they are now.
    pub fn text(&self) -> String {
        let mut written = String::new();
        match text::encode(&mut written, &self.lock()) {
            Ok(()) => written,
            Err(error) => {
                tracing::warn!(%error, "metrics cannot be written");
                String::new()
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What `/proc` says of this process, under the names that clients of Prometheus give it.
#[derive(Debug)]
struct Process {
    started_s: i64,
}

/// `/proc` counts time in hundredths of a second on every Linux: proc_pid_stat(5), `USER_HZ`.
const TICKS_A_SECOND: f64 = 100.0;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
        if let Some(kilobytes) = resident.and_then(|number| number.parse::<i64>().ok()) {
            let gauge = ConstGauge::new(kilobytes * 1024);
            let help = "Resident memory size in bytes";
            let metric = encoder.encode_descriptor("process_resident_memory_bytes", help, None, gauge.metric_type())?;
            gauge.encode(metric)?;
        }
        if let Some(ticks) = ticks(&fs::read_to_string("/proc/self/stat").unwrap_or_default()) {
            let counter = ConstCounter::new(ticks / TICKS_A_SECOND);
            let help = "User and system processor time";
            let metric = encoder.encode_descriptor("process_cpu_seconds", help, None, counter.metric_type())?;
            counter.encode(metric)?;
        }
        if let Ok(open) = fs::read_dir("/proc/self/fd") {
            let gauge = ConstGauge::new(i64::try_from(open.count()).unwrap_or(i64::MAX));
            let metric =
                encoder.encode_descriptor("process_open_fds", "Open file descriptors", None, gauge.metric_type())?;
            gauge.encode(metric)?;
        }
        let gauge = ConstGauge::new(self.started_s);
        let help = "Start time of the process, in seconds since 1970";
        let metric = encoder.encode_descriptor("process_start_time_seconds", help, None, gauge.metric_type())?;
        gauge.encode(metric)
    }
}

/// The user's and the system's time in `/proc/PID/stat`: fields 14 and 15, of which two stand before the name's end.
fn ticks(stat: &str) -> Option<f64> {
    let mut fields = stat.rsplit_once(") ")?.1.split_ascii_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<f64>().ok();
    Some(next()? + next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_place_method_and_code_and_methods_have_an_end() {
        let metrics = Metrics::new(1_700_000_000);
        for (method, code) in [("GET", 200), ("GET", 200), ("POST", 403), ("BREW", 405), ("FETCH", 405)] {
            metrics.answered("/pipeline", method, code, Duration::from_millis(3));
        }
        let text = metrics.text();
        let count = |method: &str, code: u16| {
            let labels = format!("mount=\"/pipeline\",method=\"{method}\",code=\"{code}\"");
            let line = text.lines().find(|line| line.contains(&labels)).map(str::to_owned);
            line.and_then(|line| line.rsplit_once(' ').map(|(_, number)| number.to_owned()))
        };
        assert_eq!(count("GET", 200).as_deref(), Some("2"), "{text}");
        assert_eq!(count("POST", 403).as_deref(), Some("1"));
        assert_eq!(count("other", 405).as_deref(), Some("2"));
        assert!(text.contains("ferroflow_http_request_duration_seconds_count{mount=\"/pipeline\"} 5"), "{text}");
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn the_process_tells_its_memory_time_and_files() {
        let text = Metrics::new(1_700_000_000).text();
        let value = |name: &str| {
            let line =
                text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name}: {text}"));
            line.trim().parse::<f64>().unwrap()
        };
        assert!(value("process_resident_memory_bytes ") > 1e6);
        assert!(value("process_open_fds ") >= 3.0);
        assert!(value("process_cpu_seconds_total ") >= 0.0);
        assert_eq!(value("process_start_time_seconds "), 1.7e9);
        let stat = "7 (a ) b) S 1 1 1 0 -1 4194560 100 0 0 0 25 17 0 0 20 0 1 0 100 1 1";
        assert_eq!(ticks(stat), Some(42.0));
    }
}
