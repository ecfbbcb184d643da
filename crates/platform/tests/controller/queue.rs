//! The queue.

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use ferroflow_platform::controller::{Key, Queue};
use ferroflow_testkit::{SimulatedClock, wait::eventually};
use jiff::Timestamp;

fn queue() -> (Queue, SimulatedClock) {
    let clock = SimulatedClock::new(Timestamp::UNIX_EPOCH);
    (Queue::new(Arc::new(clock.clone())), clock)
}

fn key(name: &str) -> Key {
    Key::new("a", name)
}

/// What a future has already; `None` when it has to wait.
async fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    tokio::select! {
        biased;
        value = &mut future => Some(value),
        () = std::future::ready(()) => None,
    }
}

#[tokio::test]
async fn a_key_that_is_added_often_is_handed_out_once() {
    let (queue, _) = queue();
    for name in ["x", "y", "x", "x", "y"] {
        queue.add(key(name));
    }
    assert_eq!(at_once(queue.next()).await, Some(key("x")));
    assert_eq!(at_once(queue.next()).await, Some(key("y")));
    assert_eq!(at_once(queue.next()).await, None);
}

#[tokio::test]
async fn a_key_is_never_handed_out_twice_at_a_time_and_again_when_it_changed_meanwhile() {
    let (queue, _) = queue();
    queue.add(key("x"));
    assert_eq!(at_once(queue.next()).await, Some(key("x")));
    queue.add(key("x"));
    queue.add(key("x"));
    assert_eq!(at_once(queue.next()).await, None, "x still runs");
    queue.done(&key("x"));
    assert_eq!(at_once(queue.next()).await, Some(key("x")));
    queue.done(&key("x"));
    assert_eq!(at_once(queue.next()).await, None, "nothing changed while it ran the second time");
}

#[tokio::test]
async fn a_delayed_key_comes_when_its_time_has_come() {
    let (queue, clock) = queue();
    queue.add_after(key("x"), Duration::from_secs(10));
    clock.advance(Duration::from_secs(9));
    assert_eq!(at_once(queue.next()).await, None);
    let waiting = queue.clone();
    let waiting = tokio::spawn(async move { waiting.next().await });
    tokio::task::yield_now().await;
    clock.advance(Duration::from_secs(1));
    assert_eq!(eventually("the waiting worker is woken", waiting).await.unwrap(), key("x"));
}

#[tokio::test]
async fn the_earliest_of_several_times_counts() {
    let (queue, clock) = queue();
    queue.add_after(key("x"), Duration::from_secs(10));
    queue.add_after(key("x"), Duration::from_secs(5));
    queue.add_after(key("x"), Duration::from_secs(20));
    clock.advance(Duration::from_secs(5));
    assert_eq!(at_once(queue.next()).await, Some(key("x")));
    queue.done(&key("x"));
    clock.advance(Duration::from_secs(60));
    assert_eq!(at_once(queue.next()).await, None, "the later times are forgotten");
    queue.add_after(key("y"), Duration::from_secs(10));
    queue.add(key("y"));
    assert_eq!(at_once(queue.next()).await, Some(key("y")));
    queue.done(&key("y"));
    clock.advance(Duration::from_secs(60));
    assert_eq!(at_once(queue.next()).await, None, "now came before later");
}

#[tokio::test]
async fn back_off_doubles_to_half_a_minute_and_a_success_forgets_it() {
    let (queue, clock) = queue();
    let mut last = Duration::ZERO;
    for failure in 0..20 {
        let delay = queue.add_failed(key("x"));
        let expect = if failure == 0 { Duration::from_millis(5) } else { (last * 2).min(Duration::from_secs(30)) };
        assert_eq!(delay, expect, "failure {failure}");
        clock.advance(delay);
        assert_eq!(at_once(queue.next()).await, Some(key("x")));
        queue.done(&key("x"));
        last = delay;
    }
    queue.succeeded(&key("x"));
    assert_eq!(queue.add_failed(key("x")), Duration::from_millis(5));
}

#[tokio::test]
async fn each_of_several_waiting_workers_is_woken() {
    let (queue, _) = queue();
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let queue = queue.clone();
            tokio::spawn(async move { queue.next().await })
        })
        .collect();
    tokio::task::yield_now().await;
    for name in ["a", "b", "c", "d"] {
        queue.add(key(name));
    }
    let mut got = Vec::new();
    for worker in workers {
        got.push(eventually("a worker has a key", worker).await.unwrap().name);
    }
    got.sort();
    assert_eq!(got, ["a", "b", "c", "d"]);
}
