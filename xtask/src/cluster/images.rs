//! The images that a cluster is given: what each is made of, and the archives that hold them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, ensure};
use ferroflow_images::{
    core::{
        digest::Hasher,
        layer::{Entry, Layer},
        manifest::{Descriptor, Start},
    },
    store::{Image, LayerFile, write_archive, write_layer},
};

use super::{
    cache::{self, Work, key},
    certificates, debian, index,
    programs::Programs,
    roots,
};

/// Raised when what is written from the same input changes.
const FORM: u32 = 6;
/// Where Apache and nginx have their pages.
const HTTPD_PAGES: &str = "usr/local/apache2/htdocs";
const NGINX_PAGES: &str = "usr/share/nginx/html";
/// Where `nautilus` has what a test reads of it.
const NAUTILUS_PAGES: &str = "srv";

/// Builds what is missing and returns the archives. `packages` is what [`index::build`] returned.
///
/// # Errors
/// When a tree cannot be made or an archive cannot be written.
pub fn build(repository: &Path, programs: &Programs, packages: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let folder = cache::folder("images")?;
    fs::create_dir_all(&folder)?;
    let mut archives = vec![tests_and_examples(repository, programs, packages, &folder)?];
    archives.extend(ferroflow(repository, &folder)?);
    archives.extend(launcher(repository, &folder)?);
    Ok(archives)
}

/// The archive of everything that comes from elsewhere.
fn tests_and_examples(
    repository: &Path,
    programs: &Programs,
    packages: &Path,
    folder: &Path,
) -> anyhow::Result<PathBuf> {
    let train = repository.join("examples/mnist/train.py");
    let agnhost = programs.path("agnhost")?;
    let (sample, etcd, nnp) = (programs.path("sample-apiserver")?, programs.path("etcd")?, programs.path("nnp")?);
    let key = key(&[
        &FORM.to_string(),
        &debian_key()?,
        &agnhost.display().to_string(),
        &sample.display().to_string(),
        &etcd.display().to_string(),
        &nnp.display().to_string(),
        &digest_of(Path::new("/usr/bin/busybox"))?,
        &digest_of(&train)?,
        &index::pip_configuration(),
        &packages.display().to_string(),
    ]);
    let archive = folder.join(format!("images-{key}.tar"));
    if archive.exists() {
        return Ok(archive);
    }
    eprintln!("building images");
    let work = Work::new(folder, "images")?;
    let layer = |name: &str, layer: &Layer| write_layer(layer, &work.path(name));
    let layers = Layers {
        debian: cached(folder, &format!("debian-{}", debian_key()?), |part| roots::debian(&part.join("root"), &[]))?,
        agnhost: layer("agnhost", &agnhost_layer(&agnhost)?)?,
        busybox: layer("busybox", &roots::busybox()?)?,
        bash: layer("bash", &roots::bash()?)?,
        httpd: layer("httpd", &page_layer(HTTPD_PAGES)?)?,
        nginx: layer("nginx", &page_layer(NGINX_PAGES)?)?,
        nautilus: layer("nautilus", &nautilus_layer()?)?,
        nnp: layer("nnp", &single("usr/local/bin/nnp", Entry { mode: 0o4755, ..roots::host_file(&nnp)? })?)?,
        sample: layer("sample", &single("kube-sample-apiserver", roots::host_file(&sample)?)?)?,
        etcd: layer("etcd", &single("usr/local/bin/etcd", roots::host_file(&etcd)?)?)?,
        mnist: layer("mnist", &mnist_layer(repository, &train)?)?,
        pip: layer("pip", &pip_layer()?)?,
        kfp: layer("kfp", &index::installed(packages, "kfp", &work.path("kfp-packages"))?)?,
    };
    write_whole(&archive, &[for_tests(&layers), for_people(&layers)].concat())?;
    Ok(archive)
}

/// The archive of the image in which two processes train together: PyTorch and Open MPI of Debian, and kubectl, through
/// which mpirun reaches the other pods. Large, so that only those build it who run the example.
///
/// # Errors
/// When a tree cannot be made or the archive cannot be written.
pub fn distributed(programs: &Programs) -> anyhow::Result<PathBuf> {
    let folder = cache::folder("images")?;
    fs::create_dir_all(&folder)?;
    let kubectl = programs.path("kubectl")?;
    let packages = roots::DISTRIBUTED_PACKAGES;
    let debian = format!("debian-{}", key(&[&debian_key()?, &packages.join(" ")]));
    let archive =
        folder.join(format!("distributed-{}.tar", key(&[&FORM.to_string(), &debian, &kubectl.display().to_string()])));
    if !archive.exists() {
        let work = Work::new(&folder, "distributed")?;
        let debian = cached(&folder, &debian, |part| roots::debian(&part.join("root"), &packages))?;
        let kubectl =
            write_layer(&single("usr/local/bin/kubectl", roots::host_file(&kubectl)?)?, &work.path("kubectl"))?;
        write_whole(
            &archive,
            &[image(&["ferroflow.dev/examples/distributed:dev"], &[&debian, &kubectl], &[], &["sh"])],
        )?;
    }
    Ok(archive)
}

/// What images are put together of.
struct Layers {
    debian: LayerFile,
    agnhost: LayerFile,
    busybox: LayerFile,
    bash: LayerFile,
    httpd: LayerFile,
    nginx: LayerFile,
    nautilus: LayerFile,
    nnp: LayerFile,
    sample: LayerFile,
    etcd: LayerFile,
    mnist: LayerFile,
    pip: LayerFile,
    kfp: LayerFile,
}

/// Stand-ins for the images that the official suite of Kubernetes 1.34 names.
///
/// Names: <https://github.com/kubernetes/kubernetes/blob/v1.34.4/test/utils/image/manifest.go>.
fn for_tests(layers: &Layers) -> Vec<Image> {
    let suite = |name: &str| format!("registry.k8s.io/e2e-test-images/{name}");
    let Layers { debian, agnhost, busybox, bash, httpd, nginx, nautilus, nnp, sample, etcd, .. } = layers;
    vec![
        image(&["registry.k8s.io/pause:3.10", "registry.k8s.io/pause:3.10.1"], &[agnhost], &["/agnhost", "pause"], &[]),
        image(&[&suite("agnhost:2.56"), &suite("jessie-dnsutils:1.7")], &[debian, agnhost], &["/agnhost"], &["pause"]),
        image(&[&suite("busybox:1.37.0-1")], &[busybox, bash], &[], &["sh"]),
        image(&[&suite("nonewprivs:1.3")], &[busybox, nnp], &[], &["nnp"]),
        serving(&[&suite("httpd:2.4.38-4"), &suite("httpd:2.4.39-4")], busybox, httpd, HTTPD_PAGES),
        serving(&[&suite("nginx:1.14-4"), &suite("nginx:1.15-4")], busybox, nginx, NGINX_PAGES),
        serving(&[&suite("nautilus:1.7")], busybox, nautilus, NAUTILUS_PAGES),
        image(&[&suite("sample-apiserver:1.29.2")], &[sample], &["/kube-sample-apiserver"], &[]),
        image(&["registry.k8s.io/etcd:3.6.4-0"], &[etcd], &[], &["/usr/local/bin/etcd"]),
    ]
}

/// Images of the names that people write, for the clients' suites and the examples.
fn for_people(layers: &Layers) -> Vec<Image> {
    let Layers { debian, busybox, mnist, pip, kfp, .. } = layers;
    vec![
        // With kfp, which else each Python step of a pipeline would install for itself.
        image(&["python:3.11", "python:3.11-slim", "python:3"], &[debian, pip, kfp], &[], &["python3"]),
        image(&["busybox:latest", "busybox:1.36", "busybox:1.37"], &[busybox], &[], &["sh"]),
        Image {
            start: Start {
                env: vec![path_variable(), "MNIST_DATA=/data".to_owned()],
                entrypoint: vec!["python3".to_owned(), "/train.py".to_owned()],
                ..Start::default()
            },
            ..image(&["lachlanevenson/tf-mnist:gpu"], &[debian, mnist], &[], &[])
        },
        // Steps of examples/mnist-pipeline, which install from the index what they want.
        Image {
            start: Start {
                env: vec![path_variable(), "MNIST_DATA=/data".to_owned()],
                cmd: vec!["python3".to_owned()],
                ..Start::default()
            },
            ..image(&["ferroflow/mnist-steps:1"], &[debian, mnist, pip], &[], &[])
        },
    ]
}

/// `ferroflow:dev`, where the release binary has been built, which writes its own image.
fn ferroflow(repository: &Path, folder: &Path) -> anyhow::Result<Option<PathBuf>> {
    if !binary(repository).exists() {
        eprintln!("no image ferroflow:dev: {} is not built", binary(repository).display());
        return Ok(None);
    }
    of_binary(repository, folder, "server", "ferroflow:dev").map(Some)
}

/// The release binary.
fn binary(repository: &Path) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository.join("target"), PathBuf::from);
    std::env::var_os("FERROFLOW_BINARY").map_or_else(|| target.join("release/ferroflow"), PathBuf::from)
}

/// `ferroflow-launcher:dev`, where the release binary has been built, which holds that image.
fn launcher(repository: &Path, folder: &Path) -> anyhow::Result<Option<PathBuf>> {
    if !binary(repository).exists() {
        return Ok(None);
    }
    of_binary(repository, folder, "launcher", "ferroflow-launcher:dev").map(Some)
}

/// An image that the release binary writes, once for each binary.
fn of_binary(repository: &Path, folder: &Path, which: &str, name: &str) -> anyhow::Result<PathBuf> {
    let built = binary(repository);
    let archive = folder.join(format!("ferroflow-{which}-{}.tar", key(&[&FORM.to_string(), &digest_of(&built)?])));
    if !archive.exists() {
        let work = Work::new(folder, &format!("ferroflow-{which}"))?;
        let partial = work.path("archive");
        let mut command = Command::new(&built);
        command.args(["images", which, "--name", name]).arg(&partial).stdout(Stdio::null());
        let status = command.status().with_context(|| built.display().to_string())?;
        ensure!(status.success(), "{command:?} ended with {status}");
        fs::rename(&partial, &archive).with_context(|| archive.display().to_string())?;
    }
    Ok(archive)
}

fn image(names: &[&str], layers: &[&LayerFile], entrypoint: &[&str], cmd: &[&str]) -> Image {
    let own = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    Image {
        names: own(names),
        layers: layers.iter().map(|layer| (*layer).clone()).collect(),
        start: Start { env: vec![path_variable()], entrypoint: own(entrypoint), cmd: own(cmd), ..Start::default() },
    }
}

/// busybox, serving the pages of a folder.
fn serving(names: &[&str], busybox: &LayerFile, pages: &LayerFile, root: &str) -> Image {
    image(names, &[busybox, pages], &[], &["httpd", "-f", "-p", "80", "-h", &format!("/{root}")])
}

fn path_variable() -> String {
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()
}

fn agnhost_layer(agnhost: &Path) -> anyhow::Result<Layer> {
    let mut layer = Layer::default();
    layer.add("agnhost", roots::host_file(agnhost)?)?;
    layer.add("agnhost-2", Entry::symlink("agnhost"))?;
    // What it serves TLS with, where it is told of no other.
    let (certificate, key) = certificates::self_signed("localhost")?;
    layer.add("localhost.crt", roots::text(&certificate))?;
    layer.add("localhost.key", roots::text(&key))?;
    Ok(layer)
}

/// What tells pip in a pod where packages are.
fn pip_layer() -> anyhow::Result<Layer> {
    let mut layer = Layer::default();
    layer.add("etc/pip.conf", roots::text(&index::pip_configuration()))?;
    Ok(layer)
}

fn page_layer(folder: &str) -> anyhow::Result<Layer> {
    let mut layer = Layer::default();
    layer.add(&format!("{folder}/index.html"), roots::text("<html><body><h1>It works!</h1></body></html>\n"))?;
    Ok(layer)
}

fn nautilus_layer() -> anyhow::Result<Layer> {
    single(&format!("{NAUTILUS_PAGES}/data.json"), roots::text("{\"image\": \"nautilus.jpg\"}\n"))
}

fn single(path: &str, entry: Entry) -> anyhow::Result<Layer> {
    let mut layer = Layer::default();
    layer.add(path, entry)?;
    Ok(layer)
}

/// The program and the complete data set of the example.
fn mnist_layer(repository: &Path, train: &Path) -> anyhow::Result<Layer> {
    let mut command = Command::new(repository.join("examples/mnist/fetch_data.sh"));
    let output = command.stderr(Stdio::inherit()).output().context("examples/mnist/fetch_data.sh")?;
    ensure!(output.status.success(), "examples/mnist/fetch_data.sh could not bring the data");
    let data = PathBuf::from(String::from_utf8(output.stdout)?.trim());
    let mut layer = Layer::default();
    layer.add("train.py", roots::host_file(train)?)?;
    for prefix in ["train", "t10k"] {
        for kind in ["images-idx3-ubyte", "labels-idx1-ubyte"] {
            let name = format!("{prefix}-{kind}");
            layer.add(&format!("data/{name}"), roots::host_file(&data.join(&name))?)?;
        }
    }
    Ok(layer)
}

/// A layer that takes long to make, kept under its name.
fn cached(folder: &Path, name: &str, make: impl FnOnce(&Path) -> anyhow::Result<Layer>) -> anyhow::Result<LayerFile> {
    let path = folder.join(format!("{name}.layer"));
    if !path.exists() {
        eprintln!("building {name}");
        let work = Work::new(folder, name)?;
        let part = write_layer(&make(work.folder())?, &work.path("layer"))?;
        fs::rename(part.path, &path)?;
    }
    let mut hasher = Hasher::default();
    std::io::copy(&mut fs::File::open(&path)?, &mut Feed(&mut hasher))?;
    let size_bytes = hasher.size_bytes();
    Ok(LayerFile { path, descriptor: Descriptor::layer(hasher.finish(), size_bytes) })
}

fn write_whole(archive: &Path, images: &[Image]) -> anyhow::Result<()> {
    let part = archive.with_extension("part");
    write_archive(images, &part)?;
    fs::rename(part, archive)?;
    Ok(())
}

fn debian_key() -> anyhow::Result<String> {
    Ok(key(&["1", &debian::release()?.codename, &roots::DEBIAN_PACKAGES.join(" ")]))
}

fn digest_of(path: &Path) -> anyhow::Result<String> {
    let mut hasher = Hasher::default();
    let mut file = fs::File::open(path).with_context(|| path.display().to_string())?;
    std::io::copy(&mut file, &mut Feed(&mut hasher))?;
    Ok(hasher.finish().to_string())
}

struct Feed<'a>(&'a mut Hasher);

impl std::io::Write for Feed<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
