//! Polls the streams of an HTTP/2 connection in the task of the connection.
//!
//! With a task for each stream, a change that a hundred watchers of a connection are told wakes a hundred tasks on
//! several threads, which then wait for the connection's one lock and make it write again and again. Here it wakes one:
//! that lets every stream write what it has, and then the connection send it. What computes an answer is no business
//! of this task: `connection` gives it one of its own.

use std::{
    collections::HashMap,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures::{FutureExt, future::BoxFuture, task::AtomicWaker};

/// Where a connection puts the streams that begin; [`drive`] takes them from there. Their number is bounded by the
/// connection, which knows how many may run at once.
#[derive(Clone, Default)]
pub struct Begun(Arc<Mutex<Vec<BoxFuture<'static, ()>>>>);

impl<F> hyper::rt::Executor<F> for Begun
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        // A connection yields to other tasks between two rounds of its streams, not within one.
        lock(&self.0).push(tokio::task::unconstrained(stream).boxed());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Streams that were woken, and the task that polls them.
#[derive(Default)]
struct Woken {
    numbers: Mutex<Vec<u64>>,
    task: AtomicWaker,
}

/// What wakes one stream.
struct Bell {
    number: u64,
    rung: AtomicBool,
    woken: Arc<Woken>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            lock(&self.woken.numbers).push(self.number);
            self.woken.task.wake();
        }
    }
}

struct Stream {
    future: BoxFuture<'static, ()>,
    bell: Arc<Bell>,
    waker: Waker,
}

#[derive(Default)]
struct Streams {
    next_number: u64,
    running: HashMap<u64, Stream>,
    woken: Arc<Woken>,
}

impl Streams {
    fn add(&mut self, future: BoxFuture<'static, ()>) {
        let number = self.next_number;
        self.next_number += 1;
        let bell = Arc::new(Bell { number, rung: AtomicBool::new(false), woken: self.woken.clone() });
        bell.wake_by_ref();
        let waker = Waker::from(bell.clone());
        self.running.insert(number, Stream { future, bell, waker });
    }

    /// Polls each stream that has been woken once. One that wakes itself meanwhile has its turn the next time.
    fn poll(&mut self, ctx: &Context<'_>) {
        self.woken.task.register(ctx.waker());
        let numbers = std::mem::take(&mut *lock(&self.woken.numbers));
        for number in numbers {
            let Some(stream) = self.running.get_mut(&number) else { continue };
            stream.bell.rung.store(false, Ordering::Release);
            let mut ctx = Context::from_waker(&stream.waker);
            // A stream that panicked is never polled again.
            let polled = catch_unwind(AssertUnwindSafe(|| stream.future.poll_unpin(&mut ctx)));
            if polled.is_err() {
                tracing::error!("an answer was broken off by a fault of the program");
            }
            if !matches!(polled, Ok(Poll::Pending)) {
                self.running.remove(&number);
            }
        }
    }
}

/// Runs a connection and the streams that it begins, until the connection ends; streams that are left end with it.
pub async fn drive<C: Future>(connection: C, begun: Begun) -> C::Output {
    let mut connection = pin!(connection);
    let mut streams = Streams::default();
    poll_fn(move |ctx| {
        loop {
            streams.poll(ctx);
            // After the streams, so that what they have written goes out together.
            if let Poll::Ready(output) = connection.as_mut().poll(ctx) {
                return Poll::Ready(output);
            }
            let new = std::mem::take(&mut *lock(&begun.0));
            if new.is_empty() {
                return Poll::Pending;
            }
            new.into_iter().for_each(|stream| streams.add(stream));
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use hyper::rt::Executor;
    use tokio::sync::{mpsc, oneshot};

    use super::*;

    #[tokio::test]
    async fn streams_run_until_the_connection_ends() {
        let begun = Begun::default();
        let (end, ended) = oneshot::channel();
        let (tell, mut told) = mpsc::channel::<u32>(8);
        let connection = {
            let begun = begun.clone();
            async move {
                for number in 0..3 {
                    let tell = tell.clone();
                    begun.execute(async move { tell.send(number).await.unwrap() });
                    tokio::task::yield_now().await;
                }
                begun.execute(std::future::pending());
                drop(tell);
                ended.await.unwrap()
            }
        };
        let driving = tokio::spawn(drive(connection, begun));
        for number in 0..3 {
            assert_eq!(told.recv().await, Some(number));
        }
        end.send("over").unwrap();
        assert_eq!(driving.await.unwrap(), "over");
    }

    #[tokio::test]
    async fn a_stream_that_wakes_itself_goes_on_and_leaves_others_their_turn() {
        let begun = Begun::default();
        let (tell, told) = oneshot::channel();
        let turns = Arc::new(Mutex::new(Vec::new()));
        for name in ["one", "two"] {
            let turns = turns.clone();
            begun.execute(async move {
                for _ in 0..100 {
                    let mut is_first = true;
                    poll_fn(|ctx| {
                        ctx.waker().wake_by_ref();
                        if std::mem::take(&mut is_first) { Poll::Pending } else { Poll::Ready(()) }
                    })
                    .await;
                    lock(&turns).push(name);
                }
            });
        }
        let seen = turns.clone();
        begun.execute(async move {
            while lock(&seen).len() < 200 {
                tokio::task::yield_now().await;
            }
            tell.send(()).unwrap();
        });
        drive(told, begun).await.unwrap();
        assert!(lock(&turns)[..100].contains(&"two"), "no stream keeps the others waiting");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn no_wake_from_another_thread_is_lost() {
        const WAKES: u32 = 5_000;
        let begun = Begun::default();
        let (tell, told) = oneshot::channel();
        let left = Arc::new(std::sync::atomic::AtomicU32::new(8));
        let tell = Arc::new(Mutex::new(Some(tell)));
        for _ in 0..8 {
            let (send, mut receive) = mpsc::channel(1);
            tokio::spawn(async move {
                for number in 0..WAKES {
                    send.send(number).await.unwrap();
                }
            });
            let (left, tell) = (left.clone(), tell.clone());
            begun.execute(async move {
                for number in 0..WAKES {
                    assert_eq!(receive.recv().await, Some(number));
                }
                if left.fetch_sub(1, Ordering::AcqRel) == 1 {
                    lock(&tell).take().unwrap().send(()).unwrap();
                }
            });
        }
        tokio::time::timeout(std::time::Duration::from_secs(60), drive(told, begun)).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_stream_that_panics_takes_no_other_along() {
        let begun = Begun::default();
        let (tell, told) = oneshot::channel();
        begun.execute(async { panic!("on purpose") });
        begun.execute(async move { tell.send(()).unwrap() });
        drive(told, begun).await.unwrap();
    }
}
