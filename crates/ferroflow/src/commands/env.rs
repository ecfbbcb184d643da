//! `ferroflow env`

use std::{fs, path::Path, process::ExitCode};

use anyhow::Context;

use crate::{paths, record};

/// Prints exports for a shell.
pub fn run(data: &Path) -> anyhow::Result<ExitCode> {
    let record = record::find(data)?.record;
    // Pipelines beside another cluster have no kubeconfig of their own.
    let kubeconfig = paths::kubeconfig(data);
    let has_cluster = kubeconfig.exists();
    if has_cluster {
        println!("export KUBECONFIG={}", quoted(&kubeconfig.to_string_lossy()));
    }
    if let Some(gateway) = record.gateway {
        let token = fs::read_to_string(paths::token(data)).context("the administrator's token cannot be read")?;
        // The client's links lead to the gateway; its calls go through our API server as long as no host is set, and beside
        // another cluster, whose API server knows no way to here, to the gateway too.
        println!("export KF_PIPELINES_UI_ENDPOINT={}", quoted(&format!("http://{gateway}/pipeline")));
        if !has_cluster {
            println!("export KF_PIPELINES_ENDPOINT={}", quoted(&format!("http://{gateway}/pipeline")));
        }
        println!("export FERROFLOW_GATEWAY={}", quoted(&format!("http://{gateway}")));
        println!("export FERROFLOW_TOKEN={}", quoted(token.trim()));
    }
    Ok(ExitCode::SUCCESS)
}

/// A word as a POSIX shell reads it whole.
fn quoted(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+:@".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_path_with_spaces_and_quotes_stays_one_word() {
        assert_eq!(quoted("/a/b-c.d"), "/a/b-c.d");
        assert_eq!(quoted("/a b/it's"), "'/a b/it'\\''s'");
    }
}
