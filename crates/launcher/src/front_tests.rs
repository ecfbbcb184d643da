use super::*;

fn words(line: &str) -> Vec<String> {
    line.split('|').map(str::to_owned).collect()
}

#[test]
fn a_line_is_part_of_what_was_installed_with_the_same_options() {
    let done: Value = serde_json::from_str(
        r#"{"requirements": ["kfp==2.14.3", "typing-extensions>=3.7.4,<5; python_version<\"3.9\""], "no_deps": true}"#,
    )
    .unwrap();
    let done = Install::of(&done).unwrap();
    for (line, is_part) in [
        (
            "--quiet|--no-warn-script-location|kfp==2.14.3|--no-deps|typing-extensions>=3.7.4,<5; python_version<\"3.9\"",
            true,
        ),
        ("kfp==2.14.3|--no-deps", true),
        ("kfp==2.14.3", false),
        ("kfp==2.14.4|--no-deps", false),
        ("kfp|--no-deps", false),
        ("kfp==2.14.3|other|--no-deps", false),
        ("kfp==2.14.3|--no-deps|--index-url|https://x", false),
        ("kfp==2.14.3|--no-deps|--trusted-host=x", false),
    ] {
        assert_eq!(Install::read(&words(line)).unwrap().is_part_of(&done), is_part, "{line}");
    }
    for line in ["kfp==2.14.3|--upgrade", "--target=/x|a", "-U|a", "-r|file", "--no-deps", "a|--index-url"] {
        assert_eq!(Install::read(&words(line)), None, "{line}");
    }
}

#[test]
fn only_pip_install_itself_is_answered() {
    let of = |name: &str, line: &str| {
        let arguments: Vec<OsString> = words(line).into_iter().map(OsString::from).collect();
        pip_install(name, &arguments).map(|words| words.join("|"))
    };
    assert_eq!(of("python3", "-m|pip|install|-q|a").as_deref(), Some("-q|a"));
    assert_eq!(of("pip", "install|a").as_deref(), Some("a"));
    for (name, line) in
        [("python3", "-I|-m|pip|install|a"), ("python3", "install|a"), ("pip", "list"), ("pip", "-m|pip|install")]
    {
        assert_eq!(of(name, line), None, "{name} {line}");
    }
}

#[test]
fn settings_that_make_pip_another_are_seen() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().display().to_string();
    let usual = |more: &[(&str, &str)]| {
        let all = [("HOME", home.as_str())].into_iter().chain(more.iter().copied());
        is_usual(all.map(|(name, value)| (OsString::from(name), OsString::from(value))), dir.path())
    };
    for (name, value, expect) in [
        ("PIP_DISABLE_PIP_VERSION_CHECK", "1", true),
        ("PIP_INDEX_URL", "https://x", true),
        ("PIP_TARGET", "/x", false),
        ("PIP_CONFIG_FILE", "/x", false),
        ("PYTHONPATH", "", true),
        ("PYTHONPATH", "/x", false),
        ("PYTHONHOME", "/x", false),
        ("LANG", "C", true),
    ] {
        assert_eq!(usual(&[(name, value)]), expect, "{name}={value}");
    }
    let file = dir.path().join(".config/pip/pip.conf");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    for (text, expect) in [
        ("[global]\nindex-url = https://x\n# upgrade = yes\nextra_index_url:\n  https://y\n", true),
        ("[install]\nupgrade = yes\n", false),
        ("[global]\ntarget: /x\n", false),
    ] {
        fs::write(&file, text).unwrap();
        assert_eq!(usual(&[]), expect, "{text}");
        assert!(usual(&[("XDG_CONFIG_HOME", "/nowhere")]), "it is looked for where it is");
    }
}
