//! Finds the `pip install` lines that a command begins with, as those of lightweight components do, so that a node can
//! have the packages ready before the command runs.
//!
//! It only reads: the command runs as it is, and what is found is a hint. A line that may not run, or whose words are not
//! known before it does, is left out. The commands are those of `kfp/dsl/component_factory.py`, 2.0 to 2.17.

use std::collections::BTreeMap;

use ferroflow_api::names::PYTHON_INSTALLS_ANNOTATION;

/// Lines of a command that count: the client writes two at most, and a person hardly more.
const LINES: usize = 16;
/// Bytes of an annotation's value: all annotations of an object share 256 KiB.
const BYTES: usize = 16 * 1024;

/// The annotation that tells a node what a container's command installs; `None` where it installs nothing.
pub fn annotation(container: &str, command: &[String]) -> Option<(String, String)> {
    let lines = installs(command);
    if lines.is_empty() {
        return None;
    }
    let value = serde_json::to_string(&BTreeMap::from([(container, lines)])).ok()?;
    (value.len() <= BYTES).then(|| (PYTHON_INSTALLS_ANNOTATION.to_owned(), value))
}

/// The words after `install` of each `pip install` that a command is sure to run, in their order.
pub fn installs(command: &[String]) -> Vec<Vec<String>> {
    let [shell, option, script, ..] = command else { return Vec::new() };
    let is_shell = matches!(shell.rsplit('/').next(), Some("sh" | "bash"));
    if !is_shell || !matches!(option.as_str(), "-c" | "-ec" | "-ce" | "-exc" | "-euc") || !script.contains("install") {
        return Vec::new();
    }
    let commands = sure_commands(&tokens(script));
    commands.into_iter().filter_map(install).take(LINES).collect()
}

/// The words after `install`, where a command is a `pip install`.
fn install(words: Vec<Word>) -> Option<Vec<String>> {
    let words: Option<Vec<String>> = words.into_iter().skip_while(is_assignment).map(|word| word.text).collect();
    let words = words?;
    let plain: Vec<&str> = words.iter().map(String::as_str).collect();
    let rest = match plain.as_slice() {
        ["python3" | "python", "-m", "pip", "install", ..] => &words[4..],
        ["pip" | "pip3", "install", ..] => &words[2..],
        _ => return None,
    };
    // A placeholder that is still there stands for words that are not known.
    let is_known = !rest.is_empty() && !rest.iter().any(|word| word.contains("{{"));
    is_known.then(|| rest.to_vec())
}

/// A word of a script; without a text where it depends on what the shell puts in.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Word {
    text: Option<String>,
    /// Whether it begins without a quote, as a name of a variable or a command does.
    is_bare: bool,
}

fn is_assignment(word: &Word) -> bool {
    let Some(text) = word.text.as_ref().filter(|_| word.is_bare) else { return false };
    let Some((name, _)) = text.split_once('=') else { return false };
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(Word),
    /// `;` or a new line.
    End,
    And,
    Or,
    Open,
    Close,
    /// What this reader does not know: pipes, redirections, background, documents within a script.
    Other,
}

/// Splits a script; stops at what it cannot read.
fn tokens(script: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut rest = script.chars().peekable();
    while let Some(next) = rest.next() {
        let token = match next {
            ' ' | '\t' | '\r' => continue,
            // A line that goes on.
            '\\' if rest.next_if_eq(&'\n').is_some() => continue,
            '\n' | ';' => Token::End,
            '&' if rest.next_if_eq(&'&').is_some() => Token::And,
            '|' if rest.next_if_eq(&'|').is_some() => Token::Or,
            '(' => Token::Open,
            ')' => Token::Close,
            '&' | '|' | '<' | '>' => Token::Other,
            '#' => {
                while rest.next_if(|c| *c != '\n').is_some() {}
                continue;
            }
            first => match word(first, &mut rest) {
                Some(word) => Token::Word(word),
                // A quote without an end.
                None => break,
            },
        };
        found.push(token);
    }
    found
}

/// Reads a word to its end; `None` where a quote does not end.
fn word(first: char, rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Word> {
    let (mut text, mut is_known) = (String::new(), true);
    let mut next = Some(first);
    while let Some(character) = next {
        match character {
            '\'' => loop {
                match rest.next()? {
                    '\'' => break,
                    other => text.push(other),
                }
            },
            '"' => loop {
                match rest.next()? {
                    '"' => break,
                    '\\' => {
                        is_known = false;
                        rest.next()?;
                    }
                    other => {
                        is_known &= !matches!(other, '$' | '`');
                        text.push(other);
                    }
                }
            },
            '\\' if rest.next_if_eq(&'\n').is_some() => {}
            '\\' => {
                is_known = false;
                rest.next()?;
            }
            '$' if rest.next_if_eq(&'(').is_some() => {
                is_known = false;
                skip_substitution(rest)?;
            }
            other => {
                is_known &= !matches!(other, '$' | '`' | '*' | '?' | '~');
                text.push(other);
            }
        }
        next = rest.next_if(|c| !matches!(c, ' ' | '\t' | '\r' | '\n' | ';' | '&' | '|' | '(' | ')' | '<' | '>'));
    }
    let is_bare = !matches!(first, '\'' | '"');
    Some(Word { text: is_known.then_some(text), is_bare })
}

/// Passes over `$(…)`.
fn skip_substitution(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<()> {
    let mut depth = 1;
    while depth > 0 {
        match rest.next()? {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
    }
    Some(())
}

/// The simple commands that run whenever all before them have succeeded.
fn sure_commands(tokens: &[Token]) -> Vec<Vec<Word>> {
    let (mut found, mut current) = (Vec::new(), Vec::new());
    // Inside of `if`, loops and the like; and after `||`, until its list or parentheses end.
    let (mut nested, mut depth) = (0_usize, 0_usize);
    let mut doubtful: Option<usize> = None;
    let mut is_plain = true;
    for token in tokens.iter().chain([&Token::End]) {
        if let Token::Word(word) = token {
            if current.is_empty() && word.is_bare {
                match word.text.as_deref() {
                    Some("if" | "while" | "until" | "for" | "case" | "{" | "function") => nested += 1,
                    Some("fi" | "done" | "esac" | "}") => nested = nested.saturating_sub(1),
                    Some("exit" | "exec" | "return") if nested == 0 => return found,
                    _ => {}
                }
            }
            current.push(word.clone());
            continue;
        }
        if token == &Token::Other {
            is_plain = false;
            continue;
        }
        let words = std::mem::take(&mut current);
        if !words.is_empty() && nested == 0 && doubtful.is_none() && is_plain {
            found.push(words);
        }
        is_plain = true;
        match token {
            Token::Or => doubtful = Some(doubtful.map_or(depth, |at| at.min(depth))),
            Token::End if doubtful.is_some_and(|at| at >= depth) => doubtful = None,
            Token::Open => depth += 1,
            Token::Close => {
                if doubtful.is_some_and(|at| at >= depth) {
                    doubtful = None;
                }
                depth = depth.saturating_sub(1);
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(script: &str) -> Vec<String> {
        let command = ["sh", "-c", script, "sh", "-ec", "…"].map(str::to_owned);
        installs(&command).into_iter().map(|line| line.join("|")).collect()
    }

    const HEAD: &str = "\nif ! [ -x \"$(command -v pip)\" ]; then\n    python3 -m ensurepip || python3 -m ensurepip --user \
                        || apt-get install python3-pip\nfi\n\nPIP_DISABLE_PIP_VERSION_CHECK=1 ";
    const PIP: &str = "python3 -m pip install --quiet --no-warn-script-location ";
    const KFP: &str = "'kfp==2.14.3' '--no-deps' 'typing-extensions>=3.7.4,<5; python_version<\"3.9\"' ";
    const KFP_WORDS: &str = "--quiet|--no-warn-script-location|kfp==2.14.3|--no-deps|typing-extensions>=3.7.4,<5; \
                             python_version<\"3.9\"";

    #[test]
    fn the_lines_of_lightweight_components_are_found() {
        let end = "&& \"$0\" \"$@\"\n";
        assert_eq!(found(&format!("{HEAD}{PIP}{KFP}{end}")), [KFP_WORDS]);
        let two = found(&format!("{HEAD}{PIP}'pandas==2.2.0' 'scikit-learn'  &&  {PIP}{KFP}{end}"));
        assert_eq!(two, ["--quiet|--no-warn-script-location|pandas==2.2.0|scikit-learn", KFP_WORDS]);
        let index = "--index-url https://a/simple --trusted-host https://a/simple ";
        let indexed = found(&format!("{HEAD}{PIP}{index}\"it's; python_version<'4'\" {end}"));
        let words = "--quiet|--no-warn-script-location|--index-url|https://a/simple|--trusted-host|https://a/simple|";
        assert_eq!(indexed, [format!("{words}it's; python_version<'4'")]);
        let venv = "\nexport PIP_DISABLE_PIP_VERSION_CHECK=1\ntmp=$(mktemp -d)\npython3 -m venv \"$tmp/venv\" \
                    --system-site-packages\n. \"$tmp/venv/bin/activate\"\n ";
        let in_venv = found(&format!("{HEAD}{PIP}'yapf'  && {venv}{PIP}{KFP}{end}"));
        assert_eq!(in_venv, ["--quiet|--no-warn-script-location|yapf", KFP_WORDS]);
        let old = format!("(PIP_X=1 {PIP}'a==1' || PIP_X=1 {PIP}'a==1' --user) && \"$0\" \"$@\"");
        assert_eq!(found(&old), ["--quiet|--no-warn-script-location|a==1"]);
    }

    #[test]
    fn lines_that_may_not_run_or_are_not_known_are_left_out() {
        for (script, expect) in [
            ("pip install a && pip3 install b; python main.py", "a+b"),
            ("pip install a \\\n  b\npip install c", "a|b+c"),
            ("if x; then pip install a; fi; pip install b", "b"),
            ("which a || pip install a; pip install b", "b"),
            ("(x || pip install a) && pip install b", "b"),
            ("x || (y; pip install a); pip install b", "b"),
            ("for i in 1 2; do pip install a; done", ""),
            ("pip install \"$PACKAGE\"", ""),
            ("pip install \"a\\\"b\"", ""),
            ("pip install $(cat list)", ""),
            ("pip install a*", ""),
            ("pip install a > /dev/null", ""),
            ("pip install a | tee log", ""),
            ("pip install '{{$.inputs.parameters[\"x\"]}}'", ""),
            ("echo pip install a", ""),
            ("# pip install a\npip install b # c", "b"),
            ("exec \"$0\"; pip install a", ""),
            ("pip install 'a", ""),
            ("pip install", ""),
        ] {
            assert_eq!(found(script).join("+"), expect, "{script}");
        }
    }

    #[test]
    fn a_command_of_another_shape_installs_nothing() {
        for words in [&["python3", "-c", "pip install a"][..], &["sh", "pip install a"], &["sh", "-c"], &[]] {
            let command: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(annotation("main", &command), None, "{words:?}");
        }
    }

    #[test]
    fn the_annotation_names_the_container() {
        let command = ["sh", "-c", "pip install a b"].map(str::to_owned);
        let (name, value) = annotation("main", &command).unwrap();
        assert_eq!((name.as_str(), value.as_str()), (PYTHON_INSTALLS_ANNOTATION, r#"{"main":[["a","b"]]}"#));
        let long = ["sh".to_owned(), "-c".to_owned(), format!("pip install {}", "a".repeat(BYTES))];
        assert_eq!(annotation("main", &long), None);
    }
}
