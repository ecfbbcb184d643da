//! The launcher as it is embedded, as a process, against the control plane's own routes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod bench;

use std::{
    fs,
    io::Read,
    os::unix::fs::PermissionsExt,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use bench::{Bench, ROOT, lives, parameters, peak, stale};
use ferroflow_pipelines::controller::StepError;

#[tokio::test]
async fn a_step_reads_its_inputs_and_hands_in_what_it_made() {
    let bench = Bench::new(
        "cat ROOT/in/data ROOT/in/set/part/one; ls ROOT/in; printf ' 7\n' > ROOT/parameters/n
         cp ROOT/in/data ROOT/out/model; mkdir -p ROOT/out/tree/sub; echo leaf > ROOT/out/tree/sub/leaf; ln -s sub/leaf ROOT/out/tree/link
         mkdir ROOT/out/hollow; echo err >&2
         echo '{\"parameterValues\": {\"acc\": 0.5}, \"artifacts\": {\"model\": {\"artifacts\": [{\"metadata\": {\"k\": 1}}]}}}' > ROOT/out/executor_output.json",
    )
    .await;
    bench.outputs(&["n", "absent"], &["model", "tree", "hollow", "none"]).inputs(&["data", "set", "metric"]);
    bench.store("minio://mlpipeline/in/data", "the data\n").await;
    bench.store("minio://mlpipeline/in/set/part/one", "one of a set\n").await;
    let ran = bench.run().await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.out, "the data\none of a set\ndata\nset\nerr\n");
    assert!(ran.errors.contains("nothing is stored of artifact \"metric\""), "{}", ran.errors);
    let report = ran.report();
    assert_eq!((report.exit_code, report.reason.as_str(), report.message.as_str()), (Some(0), "", ""));
    assert_eq!(parameters(report), [("n", " 7\n")].into());
    assert_eq!(report.output.as_ref().unwrap()["artifacts"]["model"]["artifacts"][0]["metadata"]["k"], 1);
    let made: Vec<_> =
        report.artifacts.iter().map(|(name, made)| (name.as_str(), made.size_bytes, made.is_directory)).collect();
    assert_eq!(made, [("hollow", 0, true), ("model", 9, false), ("tree", 10, true)]);
    assert!(report.artifacts["model"].digest.starts_with("sha256:") && report.artifacts["tree"].digest.is_empty());
    assert_eq!(bench.stored(&format!("{ROOT}/model")).await.unwrap(), "the data\n");
    assert_eq!(bench.stored(&format!("{ROOT}/tree/sub/leaf")).await.unwrap(), "leaf\n");
    assert_eq!(bench.stored(&format!("{ROOT}/tree/link")).await.unwrap(), "leaf\n");
    assert!(bench.blobs.exists(&format!("{ROOT}/hollow")).await.unwrap());
    assert!(!bench.blobs.exists(&format!("{ROOT}/none")).await.unwrap());
    assert_eq!(bench.stored("logs/run/task/0").await.unwrap(), ran.out);
}

#[tokio::test]
async fn what_a_program_fails_of_is_told() {
    let bench = Bench::new("").await;
    let file = |name: &str, text: &str, mode: u32| {
        let path = bench.directory.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let shell = |script: &str| ["sh", "-c", script].map(str::to_owned).to_vec();
    let plain = file("plain", "text", 0o644);
    let binary = file("binary", "\x7fELF is no program", 0o755);
    let script = file("script", "#!/no/such/interpreter\n", 0o755);
    for (command, code, reason, message) in [
        (shell("echo why; exit 3"), 3, "Error", "exit code 3; the last lines of its log:\nwhy"),
        (shell("exit 1"), 1, "Error", "exit code 1"),
        (shell("kill -SEGV $$"), 139, "Signal", "ended by SIGSEGV"),
        (vec!["my_program".to_owned()], 127, "NotFound", "executable not found: \"my_program\" is not in this image"),
        (vec!["/no/run.sh".to_owned()], 127, "NotFound", "executable not found: \"/no/run.sh\" is not in this image"),
        (vec![plain], 126, "NotFound", "cannot be executed: permission denied"),
        (vec![binary], 127, "NotFound", "(exec format error)"),
        (vec![script], 127, "NotFound", "executable not found: the interpreter or loader that"),
        (vec![], 127, "NotFound", "executable not found: the step has no command"),
        (vec!["true".to_owned(), "x".repeat(140_000)], 126, "NotFound", "has 140000 bytes, 131071 are allowed"),
    ] {
        bench.step.0.lock().unwrap().command = command.clone();
        let ran = bench.run().await;
        let report = ran.report();
        assert_eq!((ran.code, report.exit_code, report.reason.as_str()), (code, Some(code), reason), "{ran:?}");
        assert!(report.message.contains(message), "{ran:?}");
        assert!(report.artifacts.is_empty());
    }
    bench.step.0.lock().unwrap().command = shell("kill -KILL $$");
    let ran = bench.run().await;
    assert_eq!((ran.code, ran.reports.len()), (137, 0), "the pod's status may say why: {ran:?}");
}

#[tokio::test]
async fn what_a_program_prints_is_kept_within_bounds() {
    // 200 MB: enough to show that nothing grows with it.
    let bench = Bench::new("echo first; head -c 200000000 /dev/zero | tr '\\0' x; echo; echo last; exit 4").await;
    let (code, used) = bench.run_measured().await;
    assert_eq!(code, 4);
    assert!(used > 0 && used < 40 * 1024, "the launcher took {used} KiB");
    let log = bench.stored("logs/run/task/0").await.unwrap();
    assert!(log.starts_with("first\nxxx") && log.ends_with("xxx\nlast\n"));
    assert!((16 << 20..17 << 20).contains(&log.len()), "{}", log.len());
    assert!(log.contains("\n--- 183222796 bytes of the log are left out here ---\n"));
    let message = bench.step.0.lock().unwrap().reports[0].message.clone();
    assert!(message.ends_with("xxx\nlast") && message.len() < 5000);
}

#[tokio::test]
async fn nothing_of_a_program_outlives_it() {
    let bench = Bench::new(
        "trap '' TERM
         sleep 600 & echo $! > ROOT/pids
         setsid sh -c 'echo $$ >> ROOT/pids; sleep 600' &
         (setsid sh -c 'trap \"\" TERM; echo $$ >> ROOT/pids; while true; do sleep 600; done' &)
         while [ $(wc -l < ROOT/pids) -lt 3 ]; do sleep 0.01; done; echo done",
    )
    .await;
    let began = Instant::now();
    let ran = bench.run().await;
    assert!(began.elapsed() < Duration::from_secs(60));
    assert_eq!((ran.code, ran.out.as_str()), (0, "done\n"), "{ran:?}");
    let pids = fs::read_to_string(bench.work().join("pids")).unwrap();
    assert_eq!(pids.lines().count(), 3);
    assert!(!pids.lines().any(lives), "{pids}");
}

#[tokio::test]
async fn a_program_is_told_to_end_and_then_killed() {
    // Why is known to whoever told it: the pod's status says so, and the launcher nothing.
    for script in [
        "trap 'echo bye; exit 5' TERM; touch ROOT/ready; while true; do sleep 0.01; done",
        "touch ROOT/ready; exec sleep 600",
        "trap '' TERM; touch ROOT/ready; while true; do sleep 0.01; done",
    ] {
        let bench = Bench::new(script).await;
        let mut command = bench.command(&bench.token(600));
        let child = command.env("FERROFLOW_GRACE_SECONDS", "1").stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = child.spawn().unwrap();
        while !bench.work().join("ready").exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // SAFETY: the call takes numbers only.
        unsafe { libc::kill(child.id().cast_signed(), libc::SIGTERM) };
        let ran = bench.wait(child).await;
        assert_eq!((ran.code, ran.reports.len()), (143, 0), "{ran:?}");
    }
}

#[tokio::test]
async fn the_launcher_waits_while_the_control_plane_is_away() {
    let mut bench = Bench::away("echo once >> ROOT/count; echo x > ROOT/out/a");
    bench.outputs(&[], &["a"]);
    let busy = || StepError::Unavailable("starting".to_owned());
    bench.refusing((0..4).map(|_| busy()));
    let mut child = bench.command(&bench.token(600)).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let said = said_away(&mut child).await;
    bench.serve().await;
    let ran = bench.wait(child).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(said.contains("is away (Connection refused") && ran.errors.contains("is back"), "{said}{}", ran.errors);
    assert_eq!(fs::read_to_string(bench.work().join("count")).unwrap(), "once\n");
    assert_eq!(bench.stored(&format!("{ROOT}/a")).await.unwrap(), "x\n");

    let bench = Bench::away("true");
    let mut child = bench.command(&bench.token(600)).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    said_away(&mut child).await;
    // SAFETY: the call takes numbers only.
    unsafe { libc::kill(child.id().cast_signed(), libc::SIGTERM) };
    assert_eq!(bench.wait(child).await.code, 143);
}

/// The line in which a launcher says that nobody answers, once it has said so.
async fn said_away(child: &mut Child) -> String {
    let mut errors = child.stderr.take().unwrap();
    let said = tokio::task::spawn_blocking(move || {
        let (mut line, mut byte) = (Vec::new(), [0]);
        while errors.read(&mut byte).unwrap() == 1 && byte != *b"\n" {
            line.push(byte[0]);
        }
        (String::from_utf8(line).unwrap(), errors)
    });
    let (line, errors) = tokio::time::timeout(Duration::from_secs(60), said).await.expect("it says nothing").unwrap();
    child.stderr = Some(errors);
    line
}

#[tokio::test]
async fn an_attempt_that_is_no_longer_wanted_ends() {
    let bench = Bench::new("echo ran >> ROOT/count").await;
    let ran = bench.refusing([stale()]).run().await;
    assert!(
        ran.errors.contains("attempt 0 of task \"task\" is no longer current") && ran.reports.is_empty(),
        "{ran:?}"
    );
    assert!(!bench.work().join("count").exists());

    for (token, why) in
        [(bench.token(-1), "the token has expired"), ("a.b".to_owned(), "not one that this control plane has signed")]
    {
        let ran = bench.run_with(&token).await;
        assert!(ran.code == 1 && ran.errors.contains(why) && ran.reports.is_empty(), "{ran:?}");
    }
    let away = Bench::away("true");
    let ran = away.run_with(&away.token(2)).await;
    assert!(ran.code == 1 && ran.errors.contains("has expired while the control plane was away"), "{ran:?}");
}

#[tokio::test]
async fn a_program_cannot_hand_in_what_is_not_its_own() {
    let bench = Bench::new("").await;
    fs::write(bench.directory.path().join("secret"), "secret").unwrap();
    bench.outputs(&["p"], &["a"]);
    let large = format!("{{\"x\": \"{}\"}}", "y".repeat(70 << 20));
    fs::write(bench.directory.path().join("large"), large).unwrap();
    for (script, message) in [
        ("ln -s ROOT/../secret ROOT/out/a", "output artifact \"a\": "),
        ("mkdir ROOT/out/a; ln -s ../../../secret ROOT/out/a/b", "output artifact \"a\": "),
        ("rm -r ROOT/out; ln -s / ROOT/out; ln -s /etc ROOT/b", ""),
        ("ln -s ROOT/../secret ROOT/parameters/p", "output parameter \"p\": "),
        ("head -c 2000000 /dev/zero > ROOT/parameters/p", "has more than 1048576 bytes"),
        ("printf '\\377' > ROOT/parameters/p", "output parameter \"p\": it is no UTF-8"),
        ("mkdir ROOT/parameters/p", "is no file"),
        ("mkfifo ROOT/out/a", "is neither a file nor a directory"),
        ("echo '{\"x\": NaN}' > ROOT/out/executor_output.json", "it is no JSON"),
        ("mv ROOT/../large ROOT/out/executor_output.json", "has more than 67108864 bytes"),
    ] {
        let _ = fs::remove_dir_all(bench.work());
        bench.step.0.lock().unwrap().command = ["sh", "-ec", script].map(str::to_owned).to_vec();
        let ran = bench.run().await;
        let report = ran.report();
        if message.is_empty() {
            assert!(report.artifacts.is_empty() && report.output.is_none(), "{ran:?}");
        } else {
            assert_eq!(
                (ran.code, report.exit_code, report.reason.as_str()),
                (1, Some(0), "Output"),
                "{script}: {ran:?}"
            );
            assert!(report.message.contains(message), "{script}: {ran:?}");
            assert!(bench.stored("logs/run/task/0").await.unwrap().contains(message));
        }
        assert!(!bench.blobs.exists(&format!("{ROOT}/a/b")).await.unwrap());
    }
}

#[tokio::test]
async fn artifacts_are_taken_from_where_the_program_says() {
    let bench = Bench::new(
        "mkdir ROOT/out/x; echo moved > ROOT/out/x/moved; echo two > ROOT/out/two; mkdir ROOT/../custom; echo c > ROOT/../custom/c
         echo '{\"artifacts\": {
           \"custom\": {\"artifacts\": [{\"custom_path\": \"ROOT/../custom\"}]},
           \"list\": {\"artifacts\": [{\"uri\": \"ROOT/out/x/moved\"}, {\"uri\": \"ROOT/out/two\"}]},
           \"foreign\": {\"artifacts\": [{\"uri\": \"oci://registry/model\"}]}}}' > ROOT/out/executor_output.json",
    )
    .await;
    let ran = bench.outputs(&[], &["custom", "list", "foreign"]).run().await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let made = &ran.report().artifacts;
    assert_eq!(made.keys().collect::<Vec<_>>(), ["custom", "list"]);
    assert_eq!((made["list"].size_bytes, made["list"].is_directory), (10, true));
    assert_eq!(bench.stored(&format!("{ROOT}/custom/c")).await.unwrap(), "c\n");
    assert_eq!(bench.stored(&format!("{ROOT}/x/moved")).await.unwrap(), "moved\n");
    assert_eq!(bench.stored(&format!("{ROOT}/two")).await.unwrap(), "two\n");
}

#[tokio::test]
async fn a_program_does_not_see_the_token_of_its_step() {
    let bench = Bench::new("env; cat /proc/$PPID/environ || echo hidden").await;
    let mut command = bench.command(&bench.token(600));
    command.env("USER_SET", "yes");
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let ran = bench.wait(child).await;
    assert!(ran.out.contains("USER_SET=yes") && ran.out.contains("FERROFLOW_WORK="), "{ran:?}");
    let of_the_program = ran.out.split("/proc").next().unwrap().split("USER_SET=yes").next().unwrap();
    assert!(!of_the_program.contains("FERROFLOW_STEP_TOKEN"), "{ran:?}");
}

#[tokio::test]
async fn large_artifacts_stream_through() {
    const BYTES: u64 = 300 << 20;
    let bench = Bench::new("cp ROOT/in/big ROOT/out/big; mkdir ROOT/out/tree; ln ROOT/out/big ROOT/out/tree/big").await;
    bench.inputs(&["big"]).outputs(&[], &["big", "tree"]);
    let zeros = futures::stream::iter((0..300).map(|_| Ok::<_, std::io::Error>(vec![7; 1 << 20].into())));
    bench.blobs.put("minio://mlpipeline/in/big", zeros).await.unwrap();
    let before = peak("self").unwrap();
    let (code, used) = bench.run_measured().await;
    assert_eq!(code, 0);
    assert!(used > 0 && used < 16 * 1024, "the launcher took {used} KiB");
    let grown = peak("self").unwrap() - before;
    assert!(grown < 64 * 1024, "the control plane grew by {grown} KiB");
    let made = bench.step.0.lock().unwrap().reports[0].artifacts.clone();
    assert_eq!((made["big"].size_bytes, made["tree"].size_bytes), (BYTES, BYTES));
}
