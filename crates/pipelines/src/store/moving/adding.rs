//! What becomes of each row of an archive where it goes.

use std::collections::HashMap;

use ferroflow_platform::records::Row;

use super::{
    Error,
    import::{BATCH, BATCH_BYTES, Reader},
    line::Table,
};
use crate::{
    core::{
        moving::plan::Fate,
        run::{RunState, StateChange},
        task::TaskError,
    },
    store::{artifacts, cache, experiments, pipelines, places, recurring, removal, runs, tasks},
};

impl<T: FnMut(&super::Moved)> Reader<'_, T> {
    /// Takes a row, whose line has so many bytes.
    pub(super) async fn row(&mut self, table: Table, row: Row, bytes: usize) -> Result<(), Error> {
        match table {
            Table::Experiments => self.experiment(row),
            Table::Pipelines => self.pipeline(row),
            Table::Versions => self.version(row),
            Table::Recurring => self.recurring(row).await,
            Table::Specs => {
                let spec = serde_json::from_str(row.text(1)?)
                    .map_err(|error| Error::Archive(format!("a spec in it is no JSON: {error}")))?;
                // Others may be of it, whether this run is there or not.
                self.group.last.push(runs::insert_spec(row.text(0)?, &spec));
                Ok(())
            }
            Table::Runs => self.run(row),
            _ if self.group.there.is_some() => Ok(()),
            Table::Tasks => {
                let task = tasks::task(row)?;
                self.of_the_group(&task.run_id)?;
                self.group.tasks.push(tasks::save(&task));
                self.group.tasks_bytes += bytes;
                let is_much = self.group.tasks.len() >= BATCH || self.group.tasks_bytes >= BATCH_BYTES;
                if is_much { self.write_tasks().await } else { Ok(()) }
            }
            Table::Uses => {
                self.of_the_group(row.text(1)?)?;
                self.group.last.push(removal::use_task(row.text(0)?, row.text(1)?));
                Ok(())
            }
            Table::Artifacts => {
                let mut artifact = artifacts::artifact(row)?;
                self.of_the_group(&artifact.run_id)?;
                self.choices.renames.namespace(&artifact.namespace.clone()).clone_into(&mut artifact.namespace);
                let root = places::root_of(&artifact.artifact.uri, &artifact.pipeline_name, &artifact.run_id);
                let place = root.and_then(|root| self.blobs.artifact(root).ok().flatten());
                self.group.last.extend(place.and_then(|place| places::hold(&artifact.namespace, &place)));
                self.group.last.push(artifacts::insert(&artifact));
                Ok(())
            }
            Table::Cache => {
                let mut saved = cache::saved(row)?;
                self.choices.renames.namespace(&saved.key.namespace.clone()).clone_into(&mut saved.key.namespace);
                self.group.last.push(cache::add(&saved));
                Ok(())
            }
        }
    }

    /// Rows of a run stand with it: whether that was there before is asked once.
    fn of_the_group(&self, run: &str) -> Result<(), Error> {
        if self.group.run.as_deref() == Some(run) {
            return Ok(());
        }
        Err(Error::Archive(format!("its part {} has a row of run {run}", self.group.directory)))
    }

    fn experiment(&mut self, row: Row) -> Result<(), Error> {
        let mut one = experiments::read(row)?;
        if let Some(Fate::New { id, name }) = self.plan.experiments.get(&one.experiment_id) {
            id.clone_into(&mut one.experiment_id);
            name.clone_into(&mut one.display_name);
            self.choices.renames.namespace(&one.namespace.clone()).clone_into(&mut one.namespace);
            self.group.last.push(experiments::insert(&one));
            self.group.adds.experiments += 1;
        }
        Ok(())
    }

    fn pipeline(&mut self, row: Row) -> Result<(), Error> {
        let mut one = pipelines::read(row)?;
        if let Some(Fate::New { .. }) = self.plan.pipelines.get(&one.pipeline_id) {
            self.choices.renames.namespace(&one.namespace.clone()).clone_into(&mut one.namespace);
            self.group.last.extend(pipelines::insert(&one));
            self.group.adds.pipelines += 1;
        }
        Ok(())
    }

    fn version(&mut self, row: Row) -> Result<(), Error> {
        let mut one = pipelines::read_version(row)?;
        if let Some(Fate::New { name, .. }) = self.plan.versions.get(&one.pipeline_version_id) {
            name.clone_into(&mut one.name);
            one.pipeline_id = is_now(&self.plan.pipelines, one.pipeline_id);
            self.group.last.extend(pipelines::insert_version(&one));
            self.group.adds.versions += 1;
        }
        Ok(())
    }

    async fn recurring(&mut self, row: Row) -> Result<(), Error> {
        let mut one = recurring::read(row)?;
        if recurring::get(self.records, &one.recurring_run_id).await?.is_some() {
            return Ok(());
        }
        one.is_enabled &= self.choices.enables_schedules;
        let renames = &self.choices.renames;
        one.experiment_id = self.plan.experiment(&one.experiment_id, &one.namespace, renames);
        renames.namespace(&one.namespace.clone()).clone_into(&mut one.namespace);
        one.pipeline_id = one.pipeline_id.map(|id| is_now(&self.plan.pipelines, id));
        one.pipeline_version_id = one.pipeline_version_id.map(|id| is_now(&self.plan.versions, id));
        self.group.last.push(recurring::insert(&one));
        self.group.adds.recurring_runs += 1;
        Ok(())
    }

    fn run(&mut self, row: Row) -> Result<(), Error> {
        let mut run = runs::run(row)?;
        self.of_the_group(&run.run_id)?;
        let renames = &self.choices.renames;
        run.experiment_id = self.plan.experiment(&run.experiment_id, &run.namespace, renames);
        renames.namespace(&run.namespace.clone()).clone_into(&mut run.namespace);
        if let Some(there) = &self.group.there {
            if (there.created_ms, &there.namespace) != (run.created_ms, &run.namespace) {
                self.group.adds.others.push(format!("{} ({})", run.display_name, run.run_id));
            }
            return Ok(());
        }
        run.pipeline_id = run.pipeline_id.map(|id| is_now(&self.plan.pipelines, id));
        run.pipeline_version_id = run.pipeline_version_id.map(|id| is_now(&self.plan.versions, id));
        let is_under_way = run.finished_ms.is_none() || !run.state.is_final();
        if is_under_way {
            run.state = RunState::Failed;
            run.finished_ms = Some(self.now_ms);
            run.history.push(StateChange { state: RunState::Failed, at_ms: self.now_ms });
            run.error = Some(TaskError {
                reason: "Moved".to_owned(),
                message: "the run was under way when it was exported; retry it, and it goes on from where it stood"
                    .to_owned(),
                exit_code: None,
            });
            self.group.adds.unfinished += 1;
        }
        self.group.last.push(runs::hold_spec(&run.spec_digest).must_change());
        self.group.last.push(runs::insert(&run));
        self.group.last.push(experiments::note_run(&run.experiment_id, run.created_ms));
        if is_under_way {
            self.group.last.push(tasks::close(&run.run_id, self.now_ms));
        }
        self.group.adds.runs += 1;
        Ok(())
    }
}

/// The id that something of the export has now.
fn is_now(fates: &HashMap<String, Fate>, id: String) -> String {
    fates.get(&id).map_or(id, |fate| fate.id().to_owned())
}
