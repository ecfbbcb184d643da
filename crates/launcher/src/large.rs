//! Commands with an argument that the system does not take: Linux hands a program no single argument of 128 KiB or more.
//!
//! A lightweight component carries its program, and all of its inputs, in arguments. Where one of them is too long, it goes
//! into a file, and the command's own script, whose shape is known (`kfp/dsl/component_factory.py`), reads it from there.

use std::{fs, io, path::Path};

/// `MAX_ARG_STRLEN` of Linux: 32 pages, with the zero byte at the end.
const LONGEST: usize = 32 * 4096 - 1;
/// How the script writes the program down, and how it does so from a file.
const PRINT: (&str, &str) = ("printf \"%s\" \"$0\" > ", "cat \"$0\" > ");
const EXECUTOR: &str = "python3 -m kfp.dsl.executor_main ";
/// What an argument that lies in a file begins with.
const MARK: &str = "@ferroflow-argument:";

/// The command, with arguments of a lightweight component that are too long in files below `work`; the same command where
/// nothing is too long, or where its shape is another.
///
/// # Errors
/// When a file cannot be written.
pub fn rewrite(mut command: Vec<String>, work: &Path) -> io::Result<Vec<String>> {
    if command.iter().all(|argument| argument.len() <= LONGEST) {
        return Ok(command);
    }
    let Some(script) = script(&command) else { return Ok(command) };
    let program = script + 1;
    let directory = work.join("arguments");
    fs::create_dir_all(&directory)?;
    if command[program].len() > LONGEST {
        command[script] = command[script].replacen(PRINT.0, PRINT.1, 1);
        command[program] = set_down(&directory, program, &command[program])?;
    }
    let mut is_marked = false;
    for (number, argument) in command.iter_mut().enumerate().skip(program + 1) {
        if argument.len() > LONGEST {
            let path = set_down(&directory, number, argument)?;
            *argument = format!("{MARK}{path}");
            is_marked = true;
        }
    }
    if is_marked {
        command[script] = command[script].replacen(EXECUTOR, &format!("python3 -c '{}' ", reader()), 1);
    }
    Ok(command)
}

/// Where in a command the script is that writes its program down and runs it: the next word is the program.
fn script(command: &[String]) -> Option<usize> {
    let at = command.iter().position(|word| word.contains(PRINT.0) && word.contains(EXECUTOR))?;
    // Whether it is that: the shell, `-ec`, the script, the program.
    let is_script = at >= 2 && command[at - 1].starts_with('-') && command[at - 1].ends_with('c');
    let is_once = command[at].matches("$0").count() == 1;
    (is_script && is_once && at + 1 < command.len()).then_some(at)
}

/// Runs the executor with its arguments read from their files. Stands in single quotes of a shell.
fn reader() -> String {
    format!(
        "import runpy, sys\nmark = \"{MARK}\"\nread = lambda path: open(path, encoding=\"utf-8\", newline=\"\").read()\n\
         sys.argv[1:] = [read(one[len(mark):]) if one.startswith(mark) else one for one in sys.argv[1:]]\n\
         runpy.run_module(\"kfp.dsl.executor_main\", run_name=\"__main__\", alter_sys=True)"
    )
}

fn set_down(directory: &Path, number: usize, text: &str) -> io::Result<String> {
    let path = directory.join(number.to_string());
    fs::write(&path, text)?;
    Ok(path.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &str = "\nprogram_path=$(mktemp -d)\n\nprintf \"%s\" \"$0\" > \"$program_path/ephemeral_component.py\"\n\
                          _KFP_RUNTIME=true python3 -m kfp.dsl.executor_main                         \
                          --component_module_path                         \
                          \"$program_path/ephemeral_component.py\"                         \"$@\"\n";

    fn command(script: &str, program: &str, input: &str) -> Vec<String> {
        let words = ["sh", "-c", "\"$0\" \"$@\"", "sh", "-ec", script, program, "--executor_input", input];
        words.map(str::to_owned).to_vec()
    }

    #[test]
    fn what_fits_and_what_is_of_another_shape_stays() {
        let dir = tempfile::tempdir().unwrap();
        let long = "x".repeat(LONGEST + 1);
        for given in [
            command(SCRIPT, &"x".repeat(LONGEST), "{}"),
            command("echo \"$0\"", &long, "{}"),
            command(&format!("{SCRIPT}echo $0"), &long, "{}"),
            vec![SCRIPT.to_owned(), long.clone()],
            vec!["sh".to_owned(), "-c".to_owned(), long],
        ] {
            assert_eq!(rewrite(given.clone(), dir.path()).unwrap(), given);
        }
        assert!(!dir.path().join("arguments").exists());
    }

    #[test]
    fn a_program_and_inputs_of_any_length_reach_the_executor() {
        let dir = tempfile::tempdir().unwrap();
        // An executor that shows what it gets.
        let package = dir.path().join("kfp/dsl");
        fs::create_dir_all(&package).unwrap();
        for name in ["kfp/__init__.py", "kfp/dsl/__init__.py"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let shows = "import hashlib, sys\nassert sys.argv[1] == '--component_module_path'\nwith open(sys.argv[2], 'rb') as \
                     file: text = file.read()\nprint(len(text), hashlib.sha256(text).hexdigest()[:8], sys.argv[3], \
                     len(sys.argv[4]), hashlib.sha256(sys.argv[4].encode()).hexdigest()[:8])\n";
        fs::write(package.join("executor_main.py"), shows).unwrap();
        let run = |command: &[String]| {
            let output = std::process::Command::new(&command[0])
                .args(&command[1..])
                .env("PYTHONPATH", dir.path())
                .output()
                .unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        let short = ("print('é\\n')\n# \"$0\" `x`", "{\"a\": \"'$HOME\\\\n\"}");
        let small = run(&rewrite(command(SCRIPT, short.0, short.1), dir.path()).unwrap());
        assert!(small.starts_with(&format!("{} ", short.0.len())), "{small}");
        let (program, input) = (short.0.repeat(20_000), short.1.repeat(20_000));
        let digests = |program: &str, input: &str| {
            let large = rewrite(command(SCRIPT, program, input), dir.path()).unwrap();
            assert!(large.iter().all(|word| word.len() <= LONGEST));
            run(&large)
        };
        let (both, first, second) = (digests(&program, &input), digests(&program, short.1), digests(short.0, &input));
        let parts = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let (both, first, second, small) = (parts(&both), parts(&first), parts(&second), parts(&small));
        assert_eq!((&both[..2], &both[2..]), (&first[..2], &second[2..]));
        assert_eq!((&second[..2], &first[2..]), (&small[..2], &small[2..]));
        assert_eq!(both[0], program.len().to_string());
        assert_eq!(both[3], input.chars().count().to_string());
    }
}
