//! One of several servers that share a database: it answers what is recorded, leads or hands the rest on to the one that
//! does.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use anyhow::Context;
use ferroflow_pipelines::http::api::{Api, is_for_leader};
use ferroflow_platform::{
    clock::{BoxFuture, SharedClock},
    forward::{self, FORWARDED, Line},
    gateway::{Service, rewritten},
    http::body::Body,
    identity::Identity,
    lease::{Candidate, Leader, Standing},
    metrics::Metrics,
    task::{Group, Kind},
};
use http::{Request, Response, StatusCode};
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{Notify, Semaphore, watch};

/// How long a request waits for a replica that leads: longer than it takes to replace one that was killed.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two attempts to reach it.
const PAUSE: Duration = Duration::from_millis(250);
/// Requests that wait for a replica that leads, or for its answer.
const WAITING: usize = 1024;
/// Where the gateway of the other replica has what is mounted here.
const MOUNTED: &str = "/pipeline";

/// A replica.
pub struct Replica {
    reader: Arc<Api>,
    leading: OnceLock<Arc<Api>>,
    led: Notify,
    standing: watch::Receiver<Standing>,
    places: Semaphore,
    clock: SharedClock,
    group: Group,
}

impl Replica {
    /// Stands for election, and leads once it is elected. Losing that ends the group: the process is to be started again,
    /// as another candidate.
    ///
    /// # Errors
    /// When the records cannot be read.
    pub async fn start(
        options: ferroflow_pipelines::Options,
        candidate: Candidate,
        metrics: Metrics,
    ) -> anyhow::Result<Arc<Self>> {
        let (group, clock) = (options.group.clone(), options.clock.clone());
        let reader = ferroflow_pipelines::reader(options.clone()).await.context("pipelines cannot be started")?;
        let (sender, standing) = watch::channel(Standing::Open);
        let leading = OnceLock::new();
        let (led, places) = (Notify::new(), Semaphore::new(WAITING));
        let replica = Arc::new(Self { reader, leading, led, standing, places, clock, group: group.clone() });
        let holder = candidate.holder.clone();
        group.spawn("election", Kind::Essential, candidate.run(sender));
        let elected = replica.clone();
        group.spawn("leadership", Kind::Essential, async move {
            elected.lead(options, &holder, &metrics).await.map_err(|error| format!("{error:#}"))?;
            std::future::pending::<Result<(), String>>().await
        });
        Ok(replica)
    }

    async fn lead(
        &self,
        mut options: ferroflow_pipelines::Options,
        holder: &str,
        metrics: &Metrics,
    ) -> anyhow::Result<()> {
        let leads = Gauge::<i64>::default();
        metrics.register("ferroflow_leader", "Whether this replica carries out runs", leads.clone());
        let mut standing = self.standing.clone();
        standing.wait_for(|standing| *standing == Standing::Leading).await.context("the election has ended")?;
        // From here on no write of an earlier leader is taken.
        let epoch = options.records.take_epoch(holder).await.context("no epoch can be taken")?;
        options.records = options.records.fenced(epoch);
        let api = ferroflow_pipelines::register(options).await.context("pipelines cannot be started")?;
        tracing::info!(%epoch, holder, "this replica leads");
        api.engine.tell(metrics);
        leads.set(1);
        let _ = self.leading.set(api);
        self.led.notify_waiters();
        Ok(())
    }

    /// Whether what is the leader's is answered here.
    pub fn leads(&self) -> bool {
        self.leading.get().is_some()
    }

    /// A connection to the leader, once it says that it is one.
    async fn reach(&self, leader: &Leader) -> Result<Line, String> {
        let unreached = |why: String| format!("is not reached: {why}");
        let mut line = forward::connect(&leader.address, &self.group).await.map_err(unreached)?;
        match line.leads().await.map_err(unreached)? {
            true => Ok(line),
            false => Err("does not know that it leads".to_owned()),
        }
    }

    /// Answers what is the leader's: hands it on, or waits until there is one, or until it is this one.
    async fn hand_on(&self, request: Request<Body>, identity: Identity) -> Response<Body> {
        let Ok(_place) = self.places.try_acquire() else {
            let what = format!("{WAITING} requests wait for the replica that leads; nothing was done, try again later");
            return self.refuse(StatusCode::SERVICE_UNAVAILABLE, &what);
        };
        let until = self.clock.instant() + PATIENCE;
        let mut standing = self.standing.clone();
        let mut fault = "no replica leads".to_owned();
        let is_forwarded = request.headers().contains_key(FORWARDED);
        while self.clock.instant() < until {
            let led = self.led.notified();
            if let Some(api) = self.leading.get() {
                return api.clone().answer(request, identity).await;
            }
            let now = standing.borrow_and_update().clone();
            if let Standing::Following(leader) = now {
                if is_forwarded {
                    fault = format!("this replica does not lead: {} does", leader.holder);
                    break;
                }
                match self.reach(&leader).await {
                    Ok(line) => return self.ask(&leader, line, request).await,
                    Err(why) => fault = format!("the replica that leads, {}, {why}", leader.address),
                }
            }
            tokio::select! {
                () = led => {}
                _ = standing.changed() => {}
                () = self.clock.sleep(PAUSE) => {}
            }
        }
        self.refuse(StatusCode::SERVICE_UNAVAILABLE, &format!("{fault}; nothing was done, try again"))
    }
}

impl Replica {
    /// Sends a request to the leader and waits for its answer, for as long as that one leads: one that is paused takes
    /// connections, and answers nothing.
    async fn ask(&self, leader: &Leader, line: Line, mut request: Request<Body>) -> Response<Body> {
        let path = format!("{MOUNTED}{}", request.uri().path());
        let Some(uri) = rewritten(request.uri(), &path) else {
            return self.refuse(StatusCode::BAD_REQUEST, "the path is no path");
        };
        *request.uri_mut() = uri;
        let mut standing = self.standing.clone();
        let is_replaced = |now: &Standing| !matches!(now, Standing::Following(other) if other == leader);
        let fault = tokio::select! {
            answer = line.send(request) => match answer {
                Ok(response) => return response,
                Err(error) => error,
            },
            _ = standing.wait_for(is_replaced) => "another has taken its place".to_owned(),
        };
        let what = format!(
            "the replica that leads was lost before it answered ({fault}); see what stands before you try again"
        );
        // At 503 clients try again, while it may have been done.
        self.refuse(StatusCode::INTERNAL_SERVER_ERROR, &what)
    }
}

impl Service for Replica {
    fn answer(self: Arc<Self>, request: Request<Body>, identity: Identity) -> BoxFuture<'static, Response<Body>> {
        Box::pin(async move {
            if let Some(api) = self.leading.get() {
                return api.clone().answer(request, identity).await;
            }
            if is_for_leader(request.method(), request.uri().path()) {
                return self.hand_on(request, identity).await;
            }
            self.reader.clone().answer(request, identity).await
        })
    }

    fn is_open(&self, path: &str) -> bool {
        self.reader.is_open(path)
    }

    fn refuse(&self, status: StatusCode, message: &str) -> Response<Body> {
        self.reader.refuse(status, message)
    }
}
