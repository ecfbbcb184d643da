//! Which replica leads: a Lease of the cluster that one of them holds and renews.
//!
//! A candidate never compares its clock with another's: it takes a Lease that it has seen unchanged for as long as the Lease
//! itself says (client-go's `leaderelection` does the same). A holder that cannot renew gives up before anybody else takes
//! it. That alone keeps no paused holder from writing: what it writes is fenced by an epoch
//! ([`Records::fenced`](crate::records::Records::fenced)).

use std::time::Duration;

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{Api, Client, api::PostParams};
use tokio::{sync::watch, time::Instant};

use crate::clock::SharedClock;

/// On a Lease: where its holder's gateway is reached, as `10.0.3.7:8800`.
pub const ADDRESS_ANNOTATION: &str = "ferroflow.dev/gateway";

/// How long a Lease is held, and how often it is renewed.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// A Lease that is not renewed for so long may be taken.
    pub duration: Duration,
    /// Between two renewals, and between two looks of a candidate.
    pub renew: Duration,
    /// A holder that could not renew for so long has lost it; less than `duration`.
    pub give_up: Duration,
}

impl Default for Terms {
    /// A killed holder is replaced within 13 s.
    fn default() -> Self {
        Self { duration: Duration::from_secs(10), renew: Duration::from_secs(2), give_up: Duration::from_secs(7) }
    }
}

/// Who leads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leader {
    pub holder: String,
    /// Empty where the holder does not say.
    pub address: String,
}

/// What a candidate knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// Nothing, or that nobody leads.
    #[default]
    Open,
    /// This replica leads.
    Leading,
    /// Another one leads.
    Following(Leader),
}

/// Why a replica leads no more.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    #[error("another replica leads: {0}")]
    Taken(String),
    #[error("the lease could not be renewed for {} s", .0.as_secs())]
    Expired(Duration),
}

/// A replica that would lead.
#[derive(Clone)]
pub struct Candidate {
    pub client: Client,
    pub clock: SharedClock,
    pub namespace: String,
    /// Of the Lease.
    pub name: String,
    /// Unique to this process: one that was started again is another.
    pub holder: String,
    /// Where others reach this replica's gateway.
    pub address: String,
    pub terms: Terms,
}

/// What a candidate does with a Lease that it has looked at.
#[derive(Debug, PartialEq, Eq)]
enum Act {
    Renew,
    Take,
    Wait,
}

/// What has come of it.
enum Outcome {
    Held,
    Other(Leader),
    /// Somebody else was quicker, or nobody leads.
    Open,
}

/// A version of the Lease, and since when it is known.
struct Sight {
    version: String,
    since: Instant,
}

fn decide(spec: &LeaseSpec, me: &str, unchanged: Duration, own: Duration) -> Act {
    match spec.holder_identity.as_deref().unwrap_or_default() {
        "" => Act::Take,
        holder if holder == me => Act::Renew,
        _ => {
            let said = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
            if unchanged >= said.map_or(own, Duration::from_secs) { Act::Take } else { Act::Wait }
        }
    }
}

impl Candidate {
    /// Stands for election, tells how it stands, and leads for as long as it can.
    ///
    /// # Errors
    /// [`Lost`], once it has led and leads no more. It must not write then.
    pub async fn run(self, standing: watch::Sender<Standing>) -> Result<(), Lost> {
        let mut sight = None;
        let mut renewed: Option<Instant> = None;
        let mut trouble = Trouble::default();
        loop {
            let began = self.clock.instant();
            let look = tokio::time::timeout(self.terms.renew, self.look(&mut sight));
            let looked = look.await;
            trouble.tell(match &looked {
                Ok(Ok(_)) => None,
                Ok(Err(error)) => Some(format!("it cannot be read or written: {error}")),
                Err(_) => Some("the API server does not answer".to_owned()),
            });
            match looked {
                Ok(Ok(Outcome::Held)) => {
                    renewed = Some(began);
                    tell(&standing, Standing::Leading);
                }
                Ok(Ok(Outcome::Other(leader))) if renewed.is_some() => return Err(Lost::Taken(leader.holder)),
                Ok(Ok(Outcome::Other(leader))) => tell(&standing, Standing::Following(leader)),
                Ok(Ok(Outcome::Open) | Err(_)) | Err(_) => {}
            }
            if let Some(renewed) = renewed {
                let silent = self.clock.instant().saturating_duration_since(renewed);
                if silent >= self.terms.give_up {
                    return Err(Lost::Expired(silent));
                }
            }
            self.clock.sleep(self.terms.renew).await;
        }
    }

    async fn look(&self, sight: &mut Option<Sight>) -> kube::Result<Outcome> {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), &self.namespace);
        let Some(lease) = leases.get_opt(&self.name).await? else {
            let lease = self.held(Lease::default(), true);
            return outcome(leases.create(&PostParams::default(), &lease).await);
        };
        let version = lease.metadata.resource_version.clone().unwrap_or_default();
        let now = self.clock.instant();
        let seen = match sight.take() {
            Some(seen) if seen.version == version => seen,
            _ => Sight { version, since: now },
        };
        let unchanged = now.saturating_duration_since(seen.since);
        *sight = Some(seen);
        let spec = lease.spec.clone().unwrap_or_default();
        let act = decide(&spec, &self.holder, unchanged, self.terms.duration);
        if act == Act::Wait {
            let annotations = lease.metadata.annotations.as_ref();
            let address = annotations.and_then(|annotations| annotations.get(ADDRESS_ANNOTATION)).cloned();
            let holder = spec.holder_identity.unwrap_or_default();
            return Ok(Outcome::Other(Leader { holder, address: address.unwrap_or_default() }));
        }
        let lease = self.held(lease, act == Act::Take);
        outcome(leases.replace(&self.name, &PostParams::default(), &lease).await)
    }

    /// The Lease as this replica holds it.
    fn held(&self, mut lease: Lease, takes: bool) -> Lease {
        let now = Some(MicroTime(self.clock.now()));
        let mut spec = lease.spec.take().unwrap_or_default();
        if takes {
            // The first holder has taken it from nobody.
            spec.lease_transitions = Some(spec.lease_transitions.map_or(0, |count| count.saturating_add(1)));
            spec.acquire_time.clone_from(&now);
        }
        spec.holder_identity = Some(self.holder.clone());
        spec.lease_duration_seconds = i32::try_from(self.terms.duration.as_secs()).ok();
        spec.renew_time = now;
        let mut metadata =
            ObjectMeta { name: Some(self.name.clone()), namespace: Some(self.namespace.clone()), ..lease.metadata };
        metadata.annotations.get_or_insert_default().insert(ADDRESS_ANNOTATION.to_owned(), self.address.clone());
        Lease { metadata, spec: Some(spec) }
    }

    /// Lets go of the Lease, if it is held, so that nobody has to wait until it is over. Called once nothing is written any
    /// more.
    ///
    /// # Errors
    /// What the API server answers.
    pub async fn release(&self) -> kube::Result<()> {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), &self.namespace);
        // A renewal that was on its way may come between.
        let mut again = 5;
        loop {
            let Some(mut lease) = leases.get_opt(&self.name).await? else { return Ok(()) };
            let spec = lease.spec.as_mut().filter(|spec| spec.holder_identity.as_ref() == Some(&self.holder));
            let Some(spec) = spec else { return Ok(()) };
            spec.holder_identity = None;
            match leases.replace(&self.name, &PostParams::default(), &lease).await {
                Err(kube::Error::Api(status)) if status.code == 409 && again > 0 => again -= 1,
                written => return written.map(drop),
            }
        }
    }
}

/// What is wrong with the Lease, which is logged once for as long as it is the same.
#[derive(Default)]
struct Trouble(Option<String>);

impl Trouble {
    fn tell(&mut self, now: Option<String>) {
        if self.0 == now {
            return;
        }
        match &now {
            Some(why) => tracing::warn!(why, "the Lease that says who leads is out of reach"),
            None => tracing::info!("the Lease that says who leads is there again"),
        }
        self.0 = now;
    }
}

fn outcome(written: kube::Result<Lease>) -> kube::Result<Outcome> {
    match written {
        Ok(_) => Ok(Outcome::Held),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(Outcome::Open),
        Err(error) => Err(error),
    }
}

fn tell(standing: &watch::Sender<Standing>, now: Standing) {
    standing.send_if_modified(|before| {
        let is_new = *before != now;
        *before = now;
        is_new
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_taken_from_nobody_and_from_who_was_silent_for_as_long_as_it_says() {
        let of = |holder: &str, seconds: Option<i32>| LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: seconds,
            ..LeaseSpec::default()
        };
        let own = Duration::from_secs(10);
        let rows = [
            (LeaseSpec::default(), 0, Act::Take),
            (of("", Some(60)), 0, Act::Take),
            (of("me", Some(60)), 100, Act::Renew),
            (of("other", Some(15)), 14, Act::Wait),
            (of("other", Some(15)), 15, Act::Take),
            (of("other", None), 9, Act::Wait),
            (of("other", None), 10, Act::Take),
            (of("other", Some(-1)), 10, Act::Take),
        ];
        for (spec, unchanged, expect) in rows {
            assert_eq!(decide(&spec, "me", Duration::from_secs(unchanged), own), expect, "{spec:?}");
        }
    }
}
