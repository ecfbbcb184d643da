//! What an image's configuration says of the process that runs from it.
//!
//! Form: <https://github.com/opencontainers/image-spec/blob/v1.1.0/config.md>. It looks up no user and starts nothing.

use std::collections::BTreeMap;

use serde::Deserialize;

/// What a container has from its image where nothing else is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    pub entrypoint: Vec<String>,
    pub cmd: Vec<String>,
    /// Variables in the order in which they are written; of two with one name the last counts.
    pub env: Vec<(String, String)>,
    /// Where it starts; empty where the image says nothing.
    pub workdir: String,
    /// `user`, `user:group`, by name or by number; empty for root.
    pub user: String,
    /// The signal that asks it to end, by name or by number; empty for SIGTERM.
    pub stop_signal: String,
    /// Directories whose content belongs to no image.
    pub volumes: Vec<String>,
}

/// A list of words, which early tools wrote as one word.
#[derive(Deserialize)]
#[serde(untagged)]
enum Words {
    Many(Vec<String>),
    One(String),
}

/// The `config` of a configuration; everything may be absent or null.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RawRun {
    entrypoint: Option<Words>,
    cmd: Option<Words>,
    env: Option<Vec<String>>,
    working_dir: Option<String>,
    user: Option<String>,
    stop_signal: Option<String>,
    volumes: Option<BTreeMap<String, serde_json::Value>>,
}

impl From<RawRun> for Run {
    fn from(raw: RawRun) -> Self {
        let words = |words: Option<Words>| match words {
            Some(Words::Many(words)) => words,
            Some(Words::One(word)) if !word.is_empty() => vec![word],
            Some(Words::One(_)) | None => Vec::new(),
        };
        let pair = |text: String| {
            let (name, value) = text.split_once('=').unwrap_or((&text, ""));
            (!name.is_empty()).then(|| (name.to_owned(), value.to_owned()))
        };
        Self {
            entrypoint: words(raw.entrypoint),
            cmd: words(raw.cmd),
            env: raw.env.unwrap_or_default().into_iter().filter_map(pair).collect(),
            workdir: raw.working_dir.unwrap_or_default(),
            user: raw.user.unwrap_or_default(),
            stop_signal: raw.stop_signal.unwrap_or_default(),
            volumes: raw.volumes.unwrap_or_default().into_keys().collect(),
        }
    }
}

/// The first real-time signal that a program may use, as C libraries have it.
const RT_MIN: i32 = 34;
/// The last one.
const RT_MAX: i32 = 64;

/// Signals of Linux by their numbers, from 1 on, on x86 and ARM.
const SIGNALS: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
    "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO",
    "PWR", "SYS",
];

/// The number of a signal that is written as a number, as `SIGTERM` or `TERM`, or as `SIGRTMIN+3`.
pub fn signal(text: &str) -> Option<i32> {
    let text = text.trim().to_ascii_uppercase();
    if let Ok(number) = text.parse::<i32>() {
        return (1..=RT_MAX).contains(&number).then_some(number);
    }
    let name = text.strip_prefix("SIG").unwrap_or(&text);
    if let Some(at) = SIGNALS.iter().position(|known| *known == name) {
        return i32::try_from(at + 1).ok();
    }
    let number = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
        (Some(""), _) => RT_MIN,
        (_, Some("")) => RT_MAX,
        (Some(above), _) => RT_MIN.checked_add(above.strip_prefix('+')?.parse().ok()?)?,
        (_, Some(below)) => RT_MAX.checked_sub(below.strip_prefix('-')?.parse().ok()?)?,
        (None, None) => return None,
    };
    (RT_MIN..=RT_MAX).contains(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str) -> Run {
        serde_json::from_str::<RawRun>(text).unwrap().into()
    }

    #[test]
    fn everything_that_an_image_says_of_its_process_is_read() {
        let found = run(r#"{"User": "app:users", "Env": ["PATH=/bin", "A=b=c", "EMPTY", "=x"], "Entrypoint": ["/run"],
                "Cmd": ["-a"], "WorkingDir": "/srv", "StopSignal": "SIGQUIT", "Volumes": {"/data": {}}}"#);
        let env = [("PATH", "/bin"), ("A", "b=c"), ("EMPTY", "")];
        assert_eq!(found.env, env.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(
            (found.entrypoint[0].as_str(), found.cmd[0].as_str(), found.user.as_str()),
            ("/run", "-a", "app:users")
        );
        assert_eq!((found.workdir.as_str(), found.stop_signal.as_str(), found.volumes.len()), ("/srv", "SIGQUIT", 1));
    }

    #[test]
    fn what_is_absent_or_null_is_empty() {
        assert_eq!(run("{}"), Run::default());
        assert_eq!(
            run(r#"{"Entrypoint": null, "Cmd": null, "Env": null, "Volumes": null, "User": null}"#),
            Run::default()
        );
        assert_eq!(run(r#"{"Cmd": "sh"}"#).cmd, ["sh"]);
    }

    #[test]
    fn signals_have_names_and_numbers() {
        for (text, number) in [
            ("SIGTERM", Some(15)),
            ("quit", Some(3)),
            ("9", Some(9)),
            ("SIGWINCH", Some(28)),
            ("SIGRTMIN+3", Some(37)),
            ("RTMAX-1", Some(63)),
            ("SIGRTMIN", Some(34)),
            ("SIGRTMIN+99999999999", None),
            ("SIGRTMIN+40", None),
            ("0", None),
            ("65", None),
            ("", None),
            ("SIGNONE", None),
        ] {
            assert_eq!(signal(text), number, "{text}");
        }
    }
}
