//! `watch`.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use ferroflow_platform::clock::{BoxFuture, SharedClock};
use http_body::Frame;
use tokio::time::Instant;

use super::{
    body::{Body, BodyError},
    convert,
    options::{self, Options, VersionMatch},
    read::{self, Selection},
    server::Api,
    view::View,
};
use crate::{
    core::{
        field::FieldError,
        status::{Failure, Outcome},
    },
    store::{Change, ChangeKind, Unavailable, Watch, frame},
};

/// A watch that names no timeout ends after this; clients then start it again where it stood.
const WATCH_LENGTH: Duration = Duration::from_secs(30 * 60);
/// Between two bookmarks.
const BOOKMARK_INTERVAL: Duration = Duration::from_secs(60);
/// Changes that a watch takes from the ring at a time.
const WATCH_BATCH: usize = 256;

/// Answers a watch: a body that goes on until its time is over.
///
/// # Errors
/// 422 for options that contradict each other; a revision that is too old is told in the stream.
pub async fn watch(api: &Arc<Api>, view: View, selection: Selection, options: &Options) -> Outcome<Body> {
    check_watch(options)?;
    let (store, clock) = (&api.store, &api.clock);
    let deadline = clock.instant() + options.timeout.unwrap_or(WATCH_LENGTH).min(WATCH_LENGTH);
    let asked = options.resource_version.unwrap_or(0);
    if asked > 0 {
        read::wait_for(store, asked).await?;
    }
    let stream_list = options.send_initial_events == Some(true);
    let with_state = stream_list || (asked == 0 && options.send_initial_events.is_none());
    let mut first = VecDeque::new();
    let mut is_first = true;
    let from = if with_state {
        let snapshot = read::snapshot(api, &selection, None, None, None).await?;
        for entry in &snapshot.entries {
            first.push_back(view.event("ADDED", entry, std::mem::take(&mut is_first))?);
        }
        if stream_list && options.bookmarks {
            first.push_back(view.bookmark(snapshot.revision, true));
        }
        snapshot.revision
    } else if asked == 0 {
        store.revision()
    } else {
        asked
    };
    let source = match store.watch(&selection.served().resource.storage, from) {
        Ok(watch) => Some(watch),
        Err(Unavailable::Expired { oldest }) => {
            first.push_back(too_old(from, oldest));
            None
        }
        Err(Unavailable::Future { current }) => return Err(Failure::future_revision(from, current)),
    };
    let next_bookmark = clock.instant() + BOOKMARK_INTERVAL;
    let bookmarks = options.bookmarks;
    let converts = convert::webhook(selection.served()).is_some();
    let watcher = Watcher {
        source,
        view,
        selection,
        first,
        is_first,
        deadline,
        next_bookmark,
        bookmarks,
        clock: clock.clone(),
        timer: None,
        converter: converts.then(|| api.clone()),
        converting: None,
    };
    Ok(Body::new(watcher))
}

fn check_watch(options: &Options) -> Outcome<()> {
    let matching = options.version_match;
    if options.send_initial_events.is_some() && matching != Some(VersionMatch::NotOlderThan) {
        return Err(options::list_option(FieldError::forbidden(
            "resourceVersionMatch",
            "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        )));
    }
    if matching.is_some() && options.send_initial_events.is_none() {
        return Err(options::list_option(FieldError::forbidden(
            "resourceVersionMatch",
            "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
        )));
    }
    Ok(())
}

fn too_old(asked: u64, oldest: u64) -> Bytes {
    let failure = Failure::expired(format!("too old resource version: {asked} ({oldest})"));
    frame("ERROR", failure.status().to_string().as_bytes())
}
/// A running watch: the body of its answer.
struct Watcher {
    /// `None` once it has failed.
    source: Option<Watch>,
    view: View,
    selection: Selection,
    /// Lines that are ready to be sent.
    first: VecDeque<Bytes>,
    is_first: bool,
    deadline: Instant,
    next_bookmark: Instant,
    bookmarks: bool,
    clock: SharedClock,
    /// The timer that runs, and its time: one that were made anew for each change would cost more than the change.
    timer: Option<(Instant, BoxFuture<'static, ()>)>,
    /// Where a webhook converts the objects.
    converter: Option<Arc<Api>>,
    /// Changes that are on their way through the webhook; later ones wait.
    converting: Option<BoxFuture<'static, Outcome<Vec<Arc<Change>>>>>,
}

impl Watcher {
    /// The next lines; `None` at the end of the watch.
    fn poll_next(&mut self, ctx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            if let Some(line) = self.first.pop_front() {
                return Poll::Ready(Some(self.joined(line)));
            }
            if let Some(converting) = &mut self.converting {
                let converted = ready!(converting.as_mut().poll(ctx));
                self.converting = None;
                match converted {
                    Ok(changes) => changes.iter().for_each(|change| self.tell(change)),
                    Err(failure) => self.fail(&failure),
                }
                continue;
            }
            let Some(source) = &mut self.source else { return Poll::Ready(None) };
            match source.take(WATCH_BATCH) {
                Err(_) => {
                    let position = source.progress();
                    self.source = None;
                    self.first.push_back(too_old(position, position));
                }
                Ok(changes) if changes.is_empty() => ready!(self.poll_wait(ctx)),
                Ok(changes) => self.take(changes),
            }
        }
    }

    fn take(&mut self, changes: Vec<Arc<Change>>) {
        let Some(api) = self.converter.clone() else {
            return changes.iter().for_each(|change| self.tell(change));
        };
        let served = self.view.served.clone();
        self.converting = Some(Box::pin(async move { convert::changes(&api, &served, changes).await }));
    }

    /// Tells a failure and ends.
    fn fail(&mut self, failure: &Failure) {
        self.first.push_back(frame("ERROR", failure.status().to_string().as_bytes()));
        self.source = None;
    }

    /// Lines that are ready together are sent together.
    fn joined(&mut self, line: Bytes) -> Bytes {
        if self.first.is_empty() {
            return line;
        }
        let mut joined = Vec::with_capacity(line.len() + self.first.iter().map(Bytes::len).sum::<usize>());
        joined.extend_from_slice(&line);
        for line in self.first.drain(..) {
            joined.extend_from_slice(&line);
        }
        joined.into()
    }

    /// Ready after a change, at a bookmark's time and at the end.
    fn poll_wait(&mut self, ctx: &mut Context<'_>) -> Poll<()> {
        let Some(source) = &mut self.source else { return Poll::Ready(()) };
        if source.poll_changed(ctx).is_ready() {
            return Poll::Ready(());
        }
        let until = if self.bookmarks { self.next_bookmark.min(self.deadline) } else { self.deadline };
        let (_, timer) = match self.timer.take().filter(|(at, _)| *at == until) {
            Some(running) => self.timer.insert(running),
            None => self.timer.insert((until, self.clock.sleep_until(until))),
        };
        ready!(timer.as_mut().poll(ctx));
        self.timer = None;
        let now = self.clock.instant();
        if self.bookmarks {
            let position = source.progress();
            self.first.push_back(self.view.bookmark(position, false));
            self.next_bookmark = now + BOOKMARK_INTERVAL;
        }
        if now >= self.deadline {
            self.source = None;
        }
        Poll::Ready(())
    }

    fn tell(&mut self, change: &Change) {
        if !self.selection.in_namespace(&change.entry.key) {
            return;
        }
        let line = if self.selection.is_selective() {
            self.selected(change)
        } else {
            Some(self.view.change(change, self.is_first))
        };
        match line {
            None => {}
            Some(Ok(line)) => {
                self.is_first = false;
                self.first.push_back(line);
            }
            Some(Err(failure)) => self.fail(&failure),
        }
    }

    /// A change as it looks to one who sees only selected objects: one that comes into the selection is
    /// added, one that leaves it is deleted.
    fn selected(&self, change: &Change) -> Option<Outcome<Bytes>> {
        let before = change.previous.as_ref().is_some_and(|previous| self.selection.matches(previous));
        let after = change.kind == ChangeKind::Put && self.selection.matches(&change.entry);
        let event_type = match (before, after) {
            (false, false) => return None,
            (false, true) => "ADDED",
            (true, true) => "MODIFIED",
            (true, false) => "DELETED",
        };
        if event_type == "DELETED" && change.kind == ChangeKind::Put {
            let last = change.previous.as_ref()?.at_revision(change.entry.revision);
            return Some(self.view.event(event_type, &last, self.is_first));
        }
        Some(self.view.event(event_type, &change.entry, self.is_first))
    }
}

impl http_body::Body for Watcher {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        ctx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        self.poll_next(ctx).map(|lines| lines.map(|lines| Ok(Frame::data(lines))))
    }
}
