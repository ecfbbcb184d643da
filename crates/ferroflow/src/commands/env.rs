//! `ferroflow env`

use std::{path::Path, process::ExitCode};

use crate::{paths, record};

/// Prints exports for a shell.
pub fn run(data: &Path) -> anyhow::Result<ExitCode> {
    record::find(data)?;
    println!("export KUBECONFIG={}", quoted(&paths::kubeconfig(data).to_string_lossy()));
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
