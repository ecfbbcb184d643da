//! Reads every compiled pipeline of a folder that `FERROFLOW_KFP_CORPUS` names: upstream's
//! `test_data/sdk_compiled_pipelines`, which is fetched and not kept here. Without it there is nothing to read.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use ferroflow_pipelines::core::ir::read;

fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(next) = waiting.pop() {
        for entry in fs::read_dir(&next)? {
            let path = entry?.path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|extension| extension == "yaml") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

#[test]
fn every_pipeline_of_the_corpus_is_read_and_every_bad_one_refused() {
    let Some(corpus) = std::env::var_os("FERROFLOW_KFP_CORPUS") else {
        eprintln!("skipped: FERROFLOW_KFP_CORPUS names no folder of compiled pipelines");
        return;
    };
    let corpus = Path::new(&corpus);
    let (mut read, mut faults) = (0, Vec::new());
    for path in files(&corpus.join("valid")).unwrap() {
        match read::yaml(&fs::read_to_string(&path).unwrap()) {
            Ok(document) => {
                read += 1;
                let pipeline = read::pipeline(&document).unwrap();
                // What was read can be written and read again.
                let again = read::yaml(&serde_json::to_string(&document).unwrap()).unwrap();
                assert_eq!(read::pipeline(&again).unwrap(), pipeline, "{}", path.display());
            }
            Err(fault) => faults.push(format!("{}: {fault}", path.display())),
        }
    }
    assert!(faults.is_empty(), "{read} read, {} not:\n{}", faults.len(), faults.join("\n"));
    assert!(read > 0, "no pipelines in {}", corpus.display());
    eprintln!("{read} pipelines read");
    for path in files(&corpus.join("invalid")).unwrap() {
        let fault = read::yaml(&fs::read_to_string(&path).unwrap()).unwrap_err();
        eprintln!("{}: {fault}", path.display());
    }
}
