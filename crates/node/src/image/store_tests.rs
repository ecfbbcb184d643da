use std::fs;

use ferroflow_images::{
    core::{
        layer::{Content, Entry, Layer},
        manifest::Start,
    },
    load::Loader,
    pull::{Progress, Step},
    store::{write_archive, write_layer},
};
use ferroflow_platform::clock::SystemClock;
use tempfile::TempDir;

use super::*;

struct Silent;

impl Progress for Silent {
    fn step(&self, _: &Digest, _: Step) {}
}

struct Bench {
    root: TempDir,
    images: ImageStore,
}

impl Bench {
    /// A store with images of one layer each, of so many bytes, that were used in this order.
    fn new(sizes: &[usize]) -> Self {
        let root = tempfile::tempdir().unwrap();
        let mut all = Vec::new();
        for (number, size) in sizes.iter().enumerate() {
            let mut layer = Layer::default();
            let content = vec![u8::try_from(number).unwrap(); *size];
            layer.add("file", Entry::file(Content::Bytes(content), 0o644)).unwrap();
            let layer = write_layer(&layer, &root.path().join(format!("{number}.tar"))).unwrap();
            let start = Start { entrypoint: vec!["/file".to_owned()], ..Start::default() };
            let names = vec![format!("image{number}:1")];
            all.push(ferroflow_images::store::Image { names, layers: vec![layer], start });
        }
        let archive = root.path().join("archive.tar");
        write_archive(&all, &archive).unwrap();
        let config = StoreConfig { directory: root.path().join("images"), ..StoreConfig::default() };
        let images = ImageStore::open(config, SystemClock::shared()).unwrap();
        let loader = Loader {
            store: images.store.clone(),
            platform: images.platform.clone(),
            limits: Limits::default(),
            name: None,
            progress: Arc::new(Silent),
        };
        loader.load(fs::File::open(archive).unwrap(), 1).unwrap();
        for number in 0..sizes.len() {
            images.store.touch(&name(number).to_string(), 10 + number as u64).unwrap();
        }
        Self { root, images }
    }

    fn pod(&self, uid: &str) -> PathBuf {
        let directory = self.root.path().join(uid);
        fs::create_dir_all(&directory).unwrap();
        directory
    }

    fn take(&self, number: usize, uid: &str) -> Image {
        let record = self.images.find(&name(number)).unwrap().unwrap();
        let taken = self.images.take(&record, &format!("{uid}/main"), &format!("pod default/{uid}"), &self.pod(uid));
        taken.unwrap().unwrap()
    }

    fn left(&self) -> Vec<String> {
        self.images.images().unwrap().into_iter().map(|(record, _)| record.name).collect()
    }
}

fn name(number: usize) -> Reference {
    format!("image{number}:1").parse().unwrap()
}

#[test]
fn an_image_that_was_loaded_is_there_at_once_with_its_layers_and_words() {
    let bench = Bench::new(&[100]);
    assert_eq!(bench.images.find(&"other:1".parse().unwrap()).unwrap(), None);
    let image = bench.take(0, "a");
    assert_eq!(fs::read(image.layers[0].join("file")).unwrap().len(), 100);
    assert_eq!(image.run.entrypoint, ["/file"]);
    assert!(bench.images.find(&name(0)).unwrap().unwrap().used_s > 10);
}

#[test]
fn an_image_of_another_machine_is_none() {
    let bench = Bench::new(&[10]);
    let record = bench.images.find(&name(0)).unwrap().unwrap();
    let other = NameRecord { platform: "linux/s390x".parse().unwrap(), ..record };
    bench.images.store.add_name(&other).unwrap();
    assert_eq!(bench.images.find(&name(0)).unwrap(), None);
}

#[test]
fn a_full_disk_loses_the_images_that_no_pod_runs_from_the_oldest_first() {
    let bench = Bench::new(&[1000, 1000, 1000]);
    bench.take(0, "a");
    assert_eq!(bench.images.collect_for(100_000, 16_000).unwrap(), None, "84 % is not full");
    let done = bench.images.collect_for(10_000, 1_400).unwrap().unwrap();
    assert_eq!((done.names.len(), done.wanted_bytes, done.freed_bytes), (1, 600, 1000));
    assert_eq!(bench.left(), ["docker.io/library/image0:1", "docker.io/library/image2:1"]);
    let done = bench.images.collect_for(10_000, 0).unwrap().unwrap();
    assert!(done.freed_bytes < done.wanted_bytes, "what runs stays, however full the disk is");
    assert_eq!(bench.left(), ["docker.io/library/image0:1"]);
}

#[test]
fn a_node_that_is_low_on_disk_gives_up_every_image_that_nothing_uses() {
    let bench = Bench::new(&[1000, 1000, 1000]);
    bench.take(1, "a");
    let done = bench.images.remove_unused().unwrap().unwrap();
    assert_eq!((done.names.len(), done.freed_bytes), (2, 2000));
    assert_eq!(bench.left(), ["docker.io/library/image1:1"]);
    assert_eq!(bench.images.remove_unused().unwrap().unwrap().freed_bytes, 0);
}

#[test]
fn an_image_is_free_again_when_its_pod_is_released_or_its_directory_is_gone() {
    let bench = Bench::new(&[1000, 1000]);
    bench.take(0, "a");
    bench.take(1, "b");
    let holders = || bench.images.store.uses().unwrap().into_iter().map(|used| used.holder).collect::<Vec<_>>();
    assert_eq!(holders(), ["pod default/a", "pod default/b"]);
    bench.images.release("a/");
    assert_eq!(holders(), ["pod default/b"]);
    fs::remove_dir_all(bench.pod("b")).unwrap();
    assert_eq!(holders(), [""; 0]);
    assert_eq!(bench.images.collect_for(10_000, 0).unwrap().unwrap().names.len(), 2);
}

#[test]
fn nothing_is_collected_while_another_program_works_on_the_store() {
    let bench = Bench::new(&[1000]);
    let other = bench.images.store.lock(Work::Add).unwrap();
    assert_eq!(bench.images.collect_for(10_000, 0).unwrap(), None);
    drop(other);
    assert!(bench.images.collect_for(10_000, 0).unwrap().is_some());
}

#[test]
fn an_image_that_goes_between_its_pull_and_its_use_is_not_taken() {
    let bench = Bench::new(&[1000]);
    let record = bench.images.find(&name(0)).unwrap().unwrap();
    bench.images.collect_for(10_000, 0).unwrap();
    let taken = bench.images.take(&record, "a/main", "pod default/a", &bench.pod("a"));
    assert!(taken.unwrap().is_none());
    assert!(bench.images.store.uses().unwrap().is_empty());
}

#[test]
fn a_layer_that_comes_twice_is_stacked_once() {
    let [a, b, c] = ["a", "b", "c"].map(|name| Digest::of(name.as_bytes()));
    let layers = [a.clone(), b.clone(), a.clone(), c.clone()];
    assert_eq!(top_first(&layers), [&c, &a, &b]);
}
