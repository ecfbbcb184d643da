use serde_json::json;

use super::*;

#[test]
fn a_chain_starts_each_step_after_the_one_before_and_passes_its_output_on() {
    let spec =
        pipeline(json!({"a": task("make", &[], json!({})), "b": task("take", &["a"], from("a", "out"))}), json!({}));
    let mut sim = Sim::new(&spec);
    assert_eq!(sim.running(), ["a"]);
    assert_eq!(sim.states(), [("a", TaskState::Pending), ("b", TaskState::Pending)]);
    let before = sim.commits;
    sim.finish("root/a", out("x"));
    assert_eq!(sim.running(), ["b"]);
    assert_eq!(sim.commits, before + 1, "an end and the intents that follow are one write");
    assert_eq!(sim.row("root/b").inputs.parameters["in"], "x");
    sim.finish("root/b", done());
    sim.ends(RunState::Succeeded);
    let history: Vec<RunState> = sim.standing.history.iter().map(|change| change.state).collect();
    assert_eq!(history, [RunState::Pending, RunState::Running, RunState::Succeeded]);
}

#[test]
fn a_false_condition_skips_its_task_and_all_that_depends_on_it_and_the_run_succeeds() {
    let group = json!({"dag": {"tasks": {"inner": task("step", &[], json!({}))}},
        "inputDefinitions": {"parameters": {"in": {"parameterType": "STRING"}}}});
    let condition = |value: &str| {
        let mut fields = from("a", "out");
        fields["triggerPolicy"] = json!({"condition": format!("inputs.parameter_values['in'] == '{value}'")});
        fields
    };
    let spec = pipeline(
        json!({
            "a": task("make", &[], json!({})),
            "no": task("group", &["a"], condition("tails")),
            "yes": task("group", &["a"], condition("heads")),
            "after-no": task("step", &["no"], json!({})),
            "after-after": task("step", &["after-no", "yes"], json!({})),
        }),
        json!({"group": group}),
    );
    let mut sim = Sim::new(&spec);
    sim.finish("root/a", out("heads"));
    assert_eq!(sim.running(), ["yes/inner"]);
    sim.finish("root/yes/inner", done());
    sim.ends(RunState::Succeeded);
    let skipped: Vec<&str> =
        sim.states().iter().filter(|(_, state)| *state == TaskState::Skipped).map(|(path, _)| *path).collect();
    assert_eq!(skipped, ["after-after", "after-no", "no"]);
    assert_eq!(sim.row("root/yes").kind, TaskKind::Condition);
}

#[test]
fn a_broken_condition_fails_its_task() {
    let fields = json!({"triggerPolicy": {"condition": "inputs.parameter_values['nowhere'] == 'x'"}});
    let spec = pipeline(json!({"a": task("step", &[], fields)}), json!({}));
    let Ok(pipeline) = ir::read::pipeline(&spec) else { return };
    let mut sim = Sim::of(
        Arc::new(pipeline.clone()),
        Run::new(Arc::new(pipeline), facts(), Limits::default(), Parameters::new(), 0),
    );
    sim.run.begin(0);
    sim.settle();
    sim.ends(RunState::Failed);
    assert_eq!(sim.row("root/a").error.as_ref().unwrap().reason, "Condition");
}

fn looped(items: Value, more: Value) -> Value {
    let body = json!({
        "inputDefinitions": {"parameters": {"item": {"parameterType": "STRING"}}},
        "outputDefinitions": {"parameters": {"all": {"parameterType": "LIST"}}},
        "dag": {
            "tasks": {"work": {
                "taskInfo": {"name": "work"}, "componentRef": {"name": "double"}, "cachingOptions": {},
                "inputs": {"parameters": {"in": {"componentInputParameter": "item"}}},
            }},
            "outputs": {"parameters": {"all": {"valueFromParameter": {
                "producerSubtask": "work", "outputParameterKey": "out"}}}},
        },
    });
    let double = json!({
        "executorLabel": "exec",
        "inputDefinitions": {"parameters": {"in": {"parameterType": "STRING"}}},
        "outputDefinitions": {"parameters": {"out": {"parameterType": "STRING"}}},
    });
    let mut fields = json!({"parameterIterator": {"items": {"raw": items.to_string()}, "itemInput": "item"}});
    fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let sum = json!({
        "executorLabel": "exec", "inputDefinitions": {"parameters": {"in": {"parameterType": "LIST"}}},
    });
    let tasks = json!({"loop": task("body", &[], fields), "sum": task("sum", &["loop"], from("loop", "all"))});
    pipeline(tasks, json!({"body": body, "double": double, "sum": sum}))
}

#[test]
fn a_loop_collects_its_iterations_in_their_order_whatever_order_they_end_in() {
    let mut sim = Sim::new(&looped(json!(["a", "b", "c"]), json!({})));
    assert_eq!(sim.running(), ["loop/0/work", "loop/1/work", "loop/2/work"]);
    assert_eq!(sim.row("root/loop").iteration_count, Some(3));
    assert_eq!(sim.row("root/loop/1").iteration, Some(1));
    for number in [2, 0, 1] {
        let path = format!("root/loop/{number}/work");
        let item = sim.row(&path).inputs.parameters["in"].as_str().unwrap().to_owned();
        sim.finish(&path, out(&format!("{item}{item}")));
    }
    assert_eq!(sim.row("root/sum").inputs.parameters["in"], json!(["aa", "bb", "cc"]));
    sim.finish("root/sum", done());
    sim.ends(RunState::Succeeded);
}

#[test]
fn a_loop_over_nothing_succeeds_with_an_empty_list() {
    let mut sim = Sim::new(&looped(json!([]), json!({})));
    assert_eq!(sim.state("root/loop"), TaskState::Succeeded);
    assert_eq!(sim.row("root/sum").inputs.parameters["in"], json!([]));
    sim.finish("root/sum", done());
    sim.ends(RunState::Succeeded);
}

#[test]
fn a_loop_makes_no_more_iterations_at_a_time_than_its_limit() {
    let items: Vec<String> = (0..7).map(|number| number.to_string()).collect();
    let mut sim = Sim::new(&looped(json!(items), json!({"iteratorPolicy": {"parallelismLimit": 2}})));
    let mut done = 0;
    while done < 7 {
        assert!(sim.running().len() <= 2 && !sim.running().is_empty());
        assert_eq!(sim.rows.values().filter(|row| row.iteration.is_some()).count(), (done + 2).min(7));
        let path = sim.pods.keys().next_back().unwrap().clone();
        sim.finish(&path, out("x"));
        done += 1;
    }
    assert_eq!(sim.running(), ["sum"]);
}

#[test]
fn a_loop_of_thousands_keeps_in_memory_what_is_open_and_writes_what_has_changed() {
    let items: Vec<String> = (0..3000).map(|number| number.to_string()).collect();
    let mut sim = Sim::new(&looped(json!(items), json!({})));
    let mut most = 0;
    while let Some(path) = sim.pods.keys().next().cloned() {
        most = most.max(sim.run.len());
        sim.finish(&path, out("x"));
    }
    sim.ends(RunState::Succeeded);
    assert!(most < 300, "{most} tasks in memory");
    assert_eq!(sim.rows.len(), 1 + 2 + 6000);
    // An iteration and its step are written when they begin and when they end.
    assert!(sim.saved <= 4 * 3000 + 10, "{} rows written", sim.saved);
}

#[test]
fn loops_in_loops_give_lists_of_lists() {
    let spec = looped(json!(["a", "b"]), json!({}));
    let mut spec = spec;
    let inner = spec["components"]["body"].clone();
    let outer = json!({
        "inputDefinitions": {"parameters": {"item": {"parameterType": "STRING"}}},
        "outputDefinitions": {"parameters": {"all": {"parameterType": "LIST"}}},
        "dag": {
            "tasks": {"inner": task("body", &[], json!({
                "parameterIterator": {"items": {"raw": "[\"1\",\"2\"]"}, "itemInput": "item"},
            }))},
            "outputs": {"parameters": {"all": {"valueFromParameter": {
                "producerSubtask": "inner", "outputParameterKey": "all"}}}},
        },
    });
    spec["components"]["outer"] = outer;
    spec["components"]["body"] = inner;
    spec["root"]["dag"]["tasks"]["loop"]["componentRef"]["name"] = "outer".into();
    let mut sim = Sim::new(&spec);
    assert_eq!(sim.running().len(), 4);
    for path in sim.pods.keys().cloned().collect::<Vec<_>>() {
        sim.finish(&path, out(&path["root/".len()..]));
    }
    let wanted =
        json!([["loop/0/inner/0/work", "loop/0/inner/1/work"], ["loop/1/inner/0/work", "loop/1/inner/1/work"]]);
    assert_eq!(sim.row("root/sum").inputs.parameters["in"], wanted);
}

#[test]
fn a_step_that_was_run_before_is_not_run_again() {
    let caching = json!({"cachingOptions": {"enableCache": true}});
    let tasks = json!({"a": task("make", &[], caching.clone()), "b": task("take", &["a"], from("a", "out"))});
    let spec = pipeline(tasks, json!({}));
    let mut first = Sim::new(&spec);
    first.finish("root/a", out("x"));
    assert_eq!(first.row("root/a").cache.reason, "nothing");
    let mut second = Sim::idle(&spec);
    second.cached = first.cached.clone();
    second.run.begin(0);
    second.settle();
    assert_eq!(second.state("root/a"), TaskState::Cached);
    assert_eq!(second.row("root/a").cache.hit.as_ref(), Some(&first.row("root/a").task_id));
    assert_eq!(second.running(), ["b"], "what depends on it runs, with its output");
    assert_eq!(second.row("root/b").inputs.parameters["in"], "x");
}

#[test]
fn identical_steps_wait_for_the_one_that_runs() {
    let spec = pipeline(json!({"a": task("make", &[], json!({"cachingOptions": {"enableCache": true}}))}), json!({}));
    let mut sim = Sim::idle(&spec);
    sim.run.begin(0);
    let look = |sim: &mut Sim| {
        let effects = sim.run.take_effects();
        effects.into_iter().find_map(|effect| match effect {
            Effect::Look { node, .. } => Some(node),
            _ => None,
        })
    };
    let node = look(&mut sim).expect("it looks");
    sim.run.handle(Event::Looked { node, found: Found::Busy }, 0);
    sim.settle();
    assert_eq!((sim.running().len(), sim.state("root/a")), (0, TaskState::Pending));
    sim.run.handle(Event::Landed { node }, 0);
    assert_eq!(look(&mut sim), Some(node), "it looks again");
    let outputs = out("x").unwrap();
    sim.run.handle(Event::Looked { node, found: Found::Hit { task_id: "t".to_owned(), outputs } }, 0);
    sim.settle();
    sim.ends(RunState::Succeeded);
}

#[test]
fn what_needs_no_pod_is_done_by_the_engine() {
    let importer = json!({"importer": {
        "artifactUri": {"constant": "gs://bucket/data"}, "typeSchema": {"schemaTitle": "system.Dataset", "schemaVersion": "0.0.1"},
    }});
    let component = json!({
        "executorLabel": "import",
        "outputDefinitions": {"artifacts": {"artifact": {"artifactType": {"schemaTitle": "system.Dataset", "schemaVersion": "0.0.1"}}}},
    });
    let mut spec = pipeline(json!({"i": task("importer", &[], json!({}))}), json!({"importer": component}));
    spec["deploymentSpec"]["executors"] = json!({"import": importer});
    let mut sim = Sim::new(&spec);
    let Action::Import { output, artifact, reuse } = sim.acts[0].1.clone() else { panic!("{:?}", sim.acts) };
    assert_eq!((output.as_str(), artifact.uri.as_str(), reuse), ("artifact", "gs://bucket/data", true));
    let artifacts = [(output, vec![artifact])].into();
    sim.acted(Ok(Values { artifacts, ..Values::default() }));
    sim.ends(RunState::Succeeded);
    assert_eq!(sim.row("root/i").kind, TaskKind::Importer);
}

#[test]
fn no_more_steps_have_a_pod_than_there_are_places() {
    let tasks: Map<String, Value> = (0..5).map(|number| (format!("t{number}"), task("step", &[], json!({})))).collect();
    let mut sim = Sim::idle(&pipeline(Value::Object(tasks), json!({})));
    sim.places = 2;
    sim.run.begin(0);
    sim.settle();
    let mut ran = 0;
    while let Some(path) = sim.pods.keys().next().cloned() {
        assert!(sim.pods.len() <= 2);
        sim.finish(&path, done());
        ran += 1;
    }
    assert_eq!(ran, 5);
    sim.ends(RunState::Succeeded);
}

#[test]
fn a_pods_name_follows_from_run_task_and_attempt() {
    let spec = pipeline(json!({"Train model": task("step", &[], json!({}))}), json!({}));
    let names: Vec<String> =
        (0..2).map(|_| Sim::new(&spec).row("root/Train model").pod_name.clone().unwrap()).collect();
    assert_eq!(names[0], names[1]);
    assert!(names[0].len() <= 60 && names[0].ends_with("-0"), "{}", names[0]);
}

#[test]
fn artifacts_get_an_id_that_follows_from_where_they_came_from() {
    let component = json!({
        "executorLabel": "exec",
        "outputDefinitions": {"artifacts": {"data": {"artifactType": {"schemaTitle": "system.Artifact", "schemaVersion": "0.0.1"}}}},
    });
    let spec = pipeline(json!({"a": task("maker", &[], json!({}))}), json!({"maker": component}));
    let ids: Vec<String> = (0..2)
        .map(|_| {
            let mut sim = Sim::new(&spec);
            let artifacts = [("data".to_owned(), vec![artifact("minio://b/k")])].into();
            sim.finish("root/a", Ok(Values { artifacts, ..Values::default() }));
            sim.row("root/a").outputs.artifacts["data"][0].id.clone()
        })
        .collect();
    assert_eq!((ids[0].len(), &ids[0]), (36, &ids[1]));
}
