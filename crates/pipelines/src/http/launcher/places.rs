//! How many launchers are served at once: each transfer costs memory, and one step must not take what others need.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::answer::Refusal;
use crate::core::step::StepClaims;

/// Uploads at once. One to S3 holds up to 24 MiB, one to disk 3: at most 384 MiB.
const UPLOADS: usize = 16;
/// Downloads at once: each holds less than 1 MiB.
const DOWNLOADS: usize = 128;
/// Reports over [`LARGE`] at once: parsed, one of 80 MiB may take several hundred.
const REPORTS: usize = 2;
/// Bytes of a report that needs no place.
const LARGE: u64 = 1024 * 1024;
/// Transfers of one attempt at once. A launcher has one; another may be the one whose connection it has just lost.
const OF_ONE: usize = 4;
/// How long a launcher waits for a place before it is told to come again: shorter than what it waits for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// The places there are. Cheap to clone.
#[derive(Clone)]
pub struct Places {
    patience: Duration,
    uploads: Arc<Semaphore>,
    downloads: Arc<Semaphore>,
    reports: Arc<Semaphore>,
    steps: Arc<Mutex<HashMap<String, usize>>>,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            patience: PATIENCE,
            uploads: Arc::new(Semaphore::new(UPLOADS)),
            downloads: Arc::new(Semaphore::new(DOWNLOADS)),
            reports: Arc::new(Semaphore::new(REPORTS)),
            steps: Arc::default(),
        }
    }
}

/// A place, which is free again when this is dropped.
pub struct Place {
    _permit: OwnedSemaphorePermit,
    _own: Own,
}

struct Own {
    steps: Arc<Mutex<HashMap<String, usize>>>,
    key: String,
}

impl Drop for Own {
    fn drop(&mut self) {
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        match steps.get_mut(&self.key) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(steps.remove(&self.key)),
        }
    }
}

impl Places {
    /// A place for bytes that come.
    pub async fn upload(&self, claims: &StepClaims) -> Result<Place, Refusal> {
        self.place(&self.uploads, claims).await
    }

    /// A place for bytes that go.
    pub async fn download(&self, claims: &StepClaims) -> Result<Place, Refusal> {
        self.place(&self.downloads, claims).await
    }

    /// A place for a report, where it is large or does not say how large it is.
    pub async fn report(&self, bytes: Option<u64>) -> Result<Option<OwnedSemaphorePermit>, Refusal> {
        if bytes.is_some_and(|bytes| bytes <= LARGE) { Ok(None) } else { self.permit(&self.reports).await.map(Some) }
    }

    async fn place(&self, places: &Arc<Semaphore>, claims: &StepClaims) -> Result<Place, Refusal> {
        let own = self.own(claims)?;
        Ok(Place { _permit: self.permit(places).await?, _own: own })
    }

    fn own(&self, claims: &StepClaims) -> Result<Own, Refusal> {
        let key = format!("{}/{}", claims.task, claims.attempt);
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        let count = steps.entry(key.clone()).or_default();
        if *count >= OF_ONE {
            return Err(Refusal::too_many(OF_ONE));
        }
        *count += 1;
        Ok(Own { steps: self.steps.clone(), key })
    }

    async fn permit(&self, places: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Refusal> {
        match tokio::time::timeout(self.patience, places.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(Refusal::busy()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_step_does_not_take_the_places_of_others() {
        let places = Places { patience: Duration::from_millis(1), ..Places::default() };
        let of = |task: &str| StepClaims {
            aud: String::new(),
            run: String::new(),
            task: task.to_owned(),
            attempt: 0,
            exp: 0,
        };
        let mut held = Vec::new();
        for _ in 0..OF_ONE {
            held.push(places.upload(&of("greedy")).await.unwrap());
        }
        assert_eq!(places.upload(&of("greedy")).await.err().unwrap().status(), 429);
        for task in 0..UPLOADS - OF_ONE {
            held.push(places.upload(&of(&task.to_string())).await.unwrap());
        }
        assert_eq!(places.upload(&of("late")).await.err().unwrap().status(), 503);
        held.clear();
        places.upload(&of("greedy")).await.unwrap();
        assert!(places.steps.lock().unwrap().is_empty());
    }
}
