//! `ferroflow images list`

use std::{collections::BTreeSet, path::Path, process::ExitCode};

use anyhow::Context;
use ferroflow_images::{
    core::record::{NameRecord, UseRecord},
    store::Store,
};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{args::Output, image_args::ListImages, paths};

/// Prints the images that are there; asking makes nothing.
pub fn run(data: &Path, list: &ListImages) -> anyhow::Result<ExitCode> {
    let images = match paths::images(data).exists() {
        true => read(data)?,
        false => Vec::new(),
    };
    match list.output {
        Output::Json => println!("{:#}", Value::Array(images)),
        Output::Text => print(&images),
    }
    Ok(ExitCode::SUCCESS)
}

fn read(data: &Path) -> anyhow::Result<Vec<Value>> {
    let store = super::store(data)?;
    let names = store.names().context("the images of the data directory")?;
    let uses = store.uses().context("the images of the data directory")?;
    names.iter().map(|record| image(&store, record, &uses)).collect()
}

fn image(store: &Store, record: &NameRecord, uses: &[UseRecord]) -> anyhow::Result<Value> {
    let is_whole = store.is_whole(record);
    let mut size_bytes = 0;
    for layer in record.layers.iter().filter(|layer| store.has_layer(layer)) {
        size_bytes += store.layer_record(layer)?.size_bytes;
    }
    let time = |seconds: u64| {
        let seconds = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
        seconds.map(|time| time.to_string())
    };
    let users = uses.iter().filter(|used| used.manifest == record.manifest);
    let holders: BTreeSet<&str> = users.map(|used| used.holder.as_str()).collect();
    Ok(json!({
        "name": record.name,
        "digest": record.target.to_string(),
        "id": record.config.to_string(),
        "platform": record.platform.to_string(),
        "layers": record.layers.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "sizeBytes": size_bytes,
        "whole": is_whole,
        "pulled": time(record.pulled_s),
        "used": time(record.used_s),
        "usedBy": holders,
    }))
}

/// Hexadecimal digits of an id that are shown, as others do.
const SHORT: usize = 12;

fn print(images: &[Value]) {
    if images.is_empty() {
        eprintln!("no images; `ferroflow images pull` and `load` bring some");
        return;
    }
    let text = |image: &Value, field: &str| image[field].as_str().unwrap_or_default().to_owned();
    let width = images.iter().map(|image| text(image, "name").len()).max().unwrap_or_default();
    println!("{:width$}  {:SHORT$}  {:14}  {:>10}  PULLED", "NAME", "ID", "PLATFORM", "SIZE");
    for image in images {
        let id: String = text(image, "id").chars().skip("sha256:".len()).take(SHORT).collect();
        let size = super::shown(image["sizeBytes"].as_u64().unwrap_or_default());
        let note = if image["whole"] == true { "" } else { "  (incomplete; pull it again)" };
        let (name, platform, pulled) = (text(image, "name"), text(image, "platform"), text(image, "pulled"));
        println!("{name:width$}  {id:SHORT$}  {platform:14}  {size:>10}  {pulled}{note}");
    }
}
