//! Progress of layers: bars on a terminal, a line for each end elsewhere.

use std::{
    collections::HashMap,
    io::IsTerminal,
    sync::{Arc, Mutex, PoisonError},
};

use ferroflow_images::{
    core::digest::Digest,
    pull::{Progress, Step},
};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// Hexadecimal digits of a layer that are shown.
const SHORT: usize = 12;

/// What shows the progress of this process.
pub fn progress() -> Arc<dyn Progress> {
    if std::io::stderr().is_terminal() { Arc::new(Bars::default()) } else { Arc::new(Lines) }
}

struct Lines;

impl Progress for Lines {
    fn step(&self, layer: &Digest, step: Step) {
        let layer = &layer.hex()[..SHORT];
        match step {
            Step::Present => eprintln!("layer {layer}: there already"),
            Step::Downloaded { bytes, of_bytes } if bytes == of_bytes => {
                eprintln!("layer {layer}: downloaded {}", super::shown(bytes));
            }
            Step::Unpacked => eprintln!("layer {layer}: unpacked"),
            Step::Downloaded { .. } | Step::Unpacking => {}
        }
    }
}

#[derive(Default)]
struct Bars {
    all: MultiProgress,
    bars: Mutex<HashMap<Digest, ProgressBar>>,
}

impl Progress for Bars {
    fn step(&self, layer: &Digest, step: Step) {
        let mut bars = self.bars.lock().unwrap_or_else(PoisonError::into_inner);
        let bar = bars.entry(layer.clone()).or_insert_with(|| self.add(layer));
        match step {
            Step::Present => bar.finish_with_message("there already"),
            Step::Downloaded { bytes, of_bytes } => {
                bar.set_length(of_bytes);
                bar.set_position(bytes);
            }
            Step::Unpacking => bar.set_message("unpacking"),
            Step::Unpacked => bar.finish_with_message("unpacked"),
        }
    }
}

impl Bars {
    fn add(&self, layer: &Digest) -> ProgressBar {
        let bar = self.all.add(ProgressBar::new(0));
        let style = ProgressStyle::with_template("{prefix} {bar:30} {bytes:>11} of {total_bytes:11} {msg}");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        bar.set_prefix(layer.hex()[..SHORT].to_owned());
        bar
    }
}
