use proptest::prelude::*;
use serde_json::json;

use super::*;

/// What happens to a run from outside, one after another.
#[derive(Clone, Copy, Debug)]
enum Turn {
    /// The step of a number, of those that run, succeeds.
    Succeed(usize),
    Fail(usize),
    Lose(usize),
    Begin(usize),
    Crash,
    Wait,
}

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        8 => (0..16_usize).prop_map(Turn::Succeed),
        1 => (0..16_usize).prop_map(Turn::Fail),
        1 => (0..16_usize).prop_map(Turn::Lose),
        2 => (0..16_usize).prop_map(Turn::Begin),
        1 => Just(Turn::Crash),
        2 => Just(Turn::Wait),
    ]
}

/// A DAG of tasks each of which waits for some before it: steps, loops of steps, groups; some are retried, some run
/// whatever became of those before.
fn dag() -> impl Strategy<Value = Value> {
    let task = (0..4_u8, any::<u16>(), any::<bool>(), 0..6_u8);
    proptest::collection::vec(task, 1..8).prop_map(|rows| {
        let mut tasks = Map::new();
        for (number, (kind, after, is_retried, strategy)) in rows.into_iter().enumerate() {
            let after: Vec<String> =
                (0..number).filter(|before| after & (1 << before) != 0).map(|before| format!("t{before}")).collect();
            let after: Vec<&str> = after.iter().map(String::as_str).collect();
            let mut fields = json!({});
            if is_retried {
                fields["retryPolicy"] = json!({"maxRetryCount": 1, "backoffDuration": "1s", "backoffFactor": 1.0});
            }
            if strategy == 0 && !after.is_empty() {
                fields["triggerPolicy"] = json!({"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"});
            }
            let component = match kind {
                0 => "group",
                1 => {
                    fields["parameterIterator"] = json!({"items": {"raw": "[\"a\",\"b\",\"c\"]"}, "itemInput": "in"});
                    fields["iteratorPolicy"] = json!({"parallelismLimit": 2});
                    "take"
                }
                _ => "step",
            };
            tasks.insert(format!("t{number}"), super::task(component, &after, fields));
        }
        let group = json!({"dag": {"tasks": {
            "x": super::task("step", &[], json!({})), "y": super::task("step", &["x"], json!({})),
        }}});
        pipeline(Value::Object(tasks), json!({"group": group}))
    })
}

/// Plays turns until the run has ended; then everything that still runs succeeds.
fn play(spec: &Value, turns: &[Turn], places: usize) -> Result<(Sim, Vec<String>), TestCaseError> {
    let mut sim = Sim::idle(spec);
    sim.places = places;
    sim.run.begin(0);
    sim.settle();
    let mut succeeded = Vec::new();
    let mut left = turns.iter().copied();
    for _ in 0..1000 {
        prop_assert!(sim.held.len() <= places, "{} steps have a place", sim.held.len());
        if sim.has_ended {
            break;
        }
        let running: Vec<String> = sim.pods.keys().cloned().collect();
        let pick = |number: usize| running.get(number % running.len().max(1)).cloned();
        match left.next().unwrap_or(if running.is_empty() { Turn::Wait } else { Turn::Succeed(0) }) {
            Turn::Succeed(number) => {
                if let Some(path) = pick(number) {
                    prop_assert!(!succeeded.contains(&path), "{path} ran after it had succeeded");
                    succeeded.push(path.clone());
                    sim.finish(&path, done());
                }
            }
            Turn::Fail(number) => pick(number).into_iter().for_each(|path| sim.finish(&path, failed())),
            Turn::Lose(number) => {
                if let Some(path) = pick(number) {
                    sim.see(&path, Sight::Gone);
                    sim.pods
                        .remove(&path)
                        .filter(|(node, attempt, _)| sim.run.step(*node).is_some_and(|step| step.attempt != *attempt));
                    relist(&mut sim);
                }
            }
            Turn::Begin(number) => {
                if let Some((node, attempt, _)) = pick(number).and_then(|path| sim.pods.get(&path).cloned()) {
                    sim.tell(Event::Begun { node, attempt, work_root: None });
                }
            }
            Turn::Crash => sim = sim.crash(),
            Turn::Wait => sim.pass(1000),
        }
    }
    Ok((sim, succeeded))
}

/// A lost pod may have been replaced at once by that of the next attempt, which runs.
fn relist(sim: &mut Sim) {
    for (node, attempt, pod) in sim.run.pods() {
        let path = sim.run.step(node).expect("a step").path.to_owned();
        sim.pods.entry(path).or_insert((node, attempt, pod));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn every_run_ends_and_no_step_runs_after_it_has_succeeded(
        spec in dag(), turns in proptest::collection::vec(turn(), 0..40), places in 1..5_usize,
    ) {
        let (sim, _) = play(&spec, &turns, places)?;
        prop_assert!(sim.has_ended, "{:?}", sim.states());
        let open: Vec<&str> = sim.rows.values().filter(|row| !row.state.is_final()).map(|row| row.path.as_str()).collect();
        prop_assert!(open.is_empty(), "{open:?}");
        let has_failed = sim.rows.values().any(|row| row.state == TaskState::Failed);
        prop_assert_eq!(sim.standing.state == RunState::Failed, has_failed);
    }

    #[test]
    fn where_nothing_fails_the_order_of_ends_and_restarts_do_not_matter(
        spec in dag(), picks in proptest::collection::vec((0..16_usize, any::<bool>()), 0..40), places in 1..5_usize,
    ) {
        let turns: Vec<Turn> = picks.into_iter()
            .flat_map(|(number, crashes)| [Turn::Succeed(number)].into_iter().chain(crashes.then_some(Turn::Crash)))
            .collect();
        let (sim, mut ran) = play(&spec, &turns, places)?;
        let (straight, mut ran_straight) = play(&spec, &[], 100)?;
        ran.sort();
        ran_straight.sort();
        prop_assert_eq!(ran, ran_straight);
        prop_assert_eq!(sim.states(), straight.states());
        prop_assert_eq!(sim.standing.state, RunState::Succeeded);
    }

    #[test]
    fn a_failed_run_that_is_retried_until_all_goes_well_runs_each_step_to_its_success_once(
        spec in dag(), turns in proptest::collection::vec(turn(), 0..40),
    ) {
        let (sim, _) = play(&spec, &turns, 4)?;
        prop_assume!(sim.standing.state == RunState::Failed);
        let mut sim = sim.retry();
        for _ in 0..1000 {
            if sim.has_ended { break; }
            match sim.pods.keys().next().cloned() {
                Some(path) => sim.finish(&path, done()),
                None => sim.pass(1000),
            }
        }
        prop_assert_eq!(sim.standing.state, RunState::Succeeded);
        prop_assert!(sim.rows.values().all(|row| row.state == TaskState::Succeeded), "{:?}", sim.states());
    }
}
