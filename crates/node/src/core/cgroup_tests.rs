use super::*;

const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu\\040all rw,relatime - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 /docker/1 /sys/fs/cgroup/memory rw,relatime shared:1 - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";

#[test]
fn hierarchies_of_version_1_are_found_where_they_are_mounted() {
    let own = "8:pids:/\n4:memory:/docker/1/job\n1:cpuacct,cpu:/\n0::/a/b\n";
    let place = legacy(own, HYBRID).unwrap();
    let rows: Vec<(Controller, &str)> =
        place.directories.iter().map(|(controller, path)| (*controller, path.to_str().unwrap())).collect();
    assert_eq!(
        rows,
        [
            (Controller::Cpu, "/sys/fs/cgroup/cpu all"),
            (Controller::Cpuacct, "/sys/fs/cgroup/cpu all"),
            (Controller::Memory, "/sys/fs/cgroup/memory/job"),
        ]
    );
    assert_eq!(place.all().len(), 2);
    let pod = place.below("ferroflow-1").below(&pod_name("u"));
    assert_eq!(pod.directory(Controller::Memory).unwrap(), Path::new("/sys/fs/cgroup/memory/job/ferroflow-1/podu"));
    // Another part of the hierarchy is mounted than the one that the process is in.
    assert!(!legacy("4:memory:/docker/2\n1:cpu,cpuacct:/\n", HYBRID).unwrap().has(Controller::Memory));
    assert_eq!(legacy("0::/\n", HYBRID), None);
}

#[test]
fn the_hierarchy_of_version_2_is_found_where_it_is_mounted() {
    let found = unified("0::/a/b\n", HYBRID).unwrap();
    assert_eq!(found.own, Path::new("/sys/fs/cgroup/unified/a/b"));
    assert_eq!(found.mount, Path::new("/sys/fs/cgroup/unified"));
    // A process that was moved out of its namespace's root.
    assert_eq!(unified("0::/../x\n", HYBRID), None);
    assert_eq!(unified("1:cpu:/\n", HYBRID), None);
    assert_eq!(unified("0::/\n", "nonsense\n1 2 3\n"), None);
}

#[test]
fn bounds_become_a_kernels_values() {
    let rows = |version, bounds| {
        let settings = settings(version, bounds);
        settings.into_iter().map(|one| format!("{} {}", one.file, one.value)).collect::<Vec<_>>()
    };
    let bounds = Bounds {
        memory_bytes: Some(1 << 20),
        cpu_limit_millis: Some(1500),
        cpu_request_millis: Some(500),
        ..Bounds::default()
    };
    assert_eq!(
        rows(Version::V1, bounds),
        [
            "memory.limit_in_bytes 1048576",
            "memory.memsw.limit_in_bytes 1048576",
            "cpu.cfs_period_us 100000",
            "cpu.cfs_quota_us 150000",
            "cpu.shares 512"
        ]
    );
    assert_eq!(
        rows(Version::V2, bounds),
        ["memory.max 1048576", "memory.swap.max 0", "memory.oom.group 1", "cpu.max 150000 100000", "cpu.weight 20"]
    );
    assert_eq!(rows(Version::V1, Bounds::default()), ["cpu.shares 2"]);
    let least = Bounds { cpu_limit_millis: Some(1), ..Bounds::default() };
    assert_eq!(rows(Version::V2, least), ["cpu.max 1000 100000", "cpu.weight 1"]);
}

#[test]
fn groups_weigh_what_is_asked_for_in_them() {
    let rows = [(0, "2", "1"), (1, "2", "1"), (100, "102", "4"), (2000, "2048", "79"), (1_000_000, "262144", "10000")];
    for (millis, shares, weight) in rows {
        for (version, file, value) in [(Version::V1, "cpu.shares", shares), (Version::V2, "cpu.weight", weight)] {
            let setting = share(version, millis);
            assert_eq!((setting.file, setting.value.as_str()), (file, value), "{millis}");
            assert!(setting.controller == Controller::Cpu && setting.optional);
        }
    }
}

#[test]
fn the_working_set_leaves_out_files_that_nobody_has_used_lately() {
    let stat = "cache 10\ninactive_file 5\ntotal_inactive_file 7\n";
    assert_eq!(working_set_bytes(Version::V1, 100, stat), 93);
    assert_eq!(working_set_bytes(Version::V2, 100, stat), 95);
    assert_eq!(working_set_bytes(Version::V2, 3, stat), 0);
    assert_eq!(working_set_bytes(Version::V2, 3, ""), 3);
}

#[test]
fn a_tree_is_named_by_the_data_it_belongs_to() {
    assert_eq!(tree_name(&[0xab, 1, 2, 3, 4, 5]), "ferroflow-ab010203");
}
