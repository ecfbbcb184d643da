//! The CronJob controller: gathers a cron job's jobs, has the plan made, carries it out.

use ferroflow_platform::clock::SharedClock;
use ferroflow_platform::controller::{Cache, Caches, Controller, Error, EventKind, Key, Next, Reconciler, Recorder};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use kube::api::{DeleteParams, Preconditions, PropagationPolicy};

use super::execute::{is_code, message, namespace_ends, write_status};
use crate::core::cron::{Start, Zone, plan, started};
use crate::core::job::Event;
use crate::core::job::pods::controller;

struct CronJobs {
    crons: Cache<CronJob>,
    jobs: Cache<Job>,
    recorder: Recorder,
}

/// Starts the controller.
pub fn register(caches: &Caches, clock: &SharedClock) {
    let crons: Cache<CronJob> = caches.of();
    let jobs: Cache<Job> = caches.of();
    let recorder = Recorder::start(caches.client(), clock.clone(), &caches.group(), "cronjob-controller");
    Controller::new("cronjob", clock.clone())
        .watch(&crons)
        .watch_owned(&jobs, "CronJob")
        .run(&caches.group(), CronJobs { crons, jobs, recorder });
}

/// Looks a time zone up in the data base.
fn zone(cron: &CronJob) -> Zone {
    match cron.spec.as_ref().and_then(|spec| spec.time_zone.as_deref()) {
        None | Some("" | "UTC" | "Local") => Zone::Known(TimeZone::UTC),
        Some(name) => match TimeZone::get(name) {
            Ok(zone) => Zone::Known(zone),
            Err(_) => Zone::Unknown(format!("unknown time zone {name}")),
        },
    }
}

impl Reconciler for CronJobs {
    async fn reconcile(&self, key: Key, now: Timestamp) -> Result<Next, Error> {
        let Some(cron) = self.crons.get(&key) else { return Ok(Next::Done) };
        let uid = cron.metadata.uid.as_deref().unwrap_or_default();
        let mut owned = self.jobs.owned_by(uid);
        owned.retain(|job| controller(&job.metadata.owner_references).is_some_and(|owner| owner.uid == uid));
        let jobs: Vec<&Job> = owned.iter().map(|job| &**job).collect();
        let plan = plan(&cron, &jobs, &zone(&cron), now);
        for (name, uid) in &plan.delete {
            self.delete(&cron, &key.namespace, name, uid).await?;
        }
        let mut status = plan.status.clone();
        if let Some(start) = &plan.start
            && let Some(job) = self.start(&cron, start).await?
        {
            started(&mut status, &job, start.due);
        }
        write_status(&self.crons, &key, cron.status.as_ref(), Some(&status)).await?;
        plan.events.iter().for_each(|event| self.say(&cron, event));
        Ok(plan.again.map_or(Next::Done, Next::After))
    }
}

impl CronJobs {
    fn say(&self, cron: &CronJob, event: &Event) {
        let kind = if event.warning { EventKind::Warning } else { EventKind::Normal };
        self.recorder.event(cron, kind, &event.reason, event.note.clone());
    }

    async fn delete(&self, cron: &CronJob, namespace: &str, name: &str, uid: &str) -> Result<(), Error> {
        let params = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Background),
            preconditions: Some(Preconditions { uid: Some(uid.to_owned()), resource_version: None }),
            ..DeleteParams::default()
        };
        match self.jobs.delete_object(&Key::new(namespace, name), &params).await {
            Ok(()) => self.say(cron, &Event::normal("SuccessfulDelete", format!("Deleted job {name}"))),
            Err(error) if is_code(&error, 409) => {}
            Err(error) => {
                self.say(cron, &Event::warning("FailedDelete", format!("Deleted job: {}", message(&error))));
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// Starts a job. One of that name that is ours counts as started, one that is not is left alone.
    async fn start(&self, cron: &CronJob, start: &Start) -> Result<Option<Job>, Error> {
        match self.jobs.create(&start.job).await {
            Ok(job) => {
                let name = job.metadata.name.clone().unwrap_or_default();
                self.say(cron, &Event::normal("SuccessfulCreate", format!("Created job {name}")));
                Ok(Some(job))
            }
            Err(error) if is_code(&error, 409) => self.standing(cron, start).await,
            Err(error) if namespace_ends(&error) => Ok(None),
            Err(error) => {
                self.say(cron, &Event::warning("FailedCreate", format!("Error creating job: {}", message(&error))));
                Err(error.into())
            }
        }
    }

    async fn standing(&self, cron: &CronJob, start: &Start) -> Result<Option<Job>, Error> {
        let name = start.job.metadata.name.clone().unwrap_or_default();
        let namespace = cron.metadata.namespace.as_deref().unwrap_or_default();
        let job = self.jobs.api(namespace).get(&name).await?;
        let owner = controller(&job.metadata.owner_references).map(|owner| owner.uid.clone());
        let ours = owner.is_some() && owner == cron.metadata.uid;
        Ok(ours.then_some(job))
    }
}
