"""Recurring runs."""

import datetime

from .kit import case, check, echo, refused, repeat, same


def runs_of(k, recurring, experiment):
    found = k.client.list_runs(experiment_id=experiment.experiment_id, page_size=200).runs or []
    return [run for run in found if run.recurring_run_id == recurring.recurring_run_id]


def made(k, experiment, **trigger):
    return k.client.create_recurring_run(
        experiment.experiment_id, k.unique("recurring"), pipeline_package_path=k.file(echo(name="recurring", word="w")), params={"word": "[[ScheduledTime]]"}, **trigger
    )


@case
def each_interval_starts_a_run(k):
    experiment = k.experiment()
    recurring = made(k, experiment, interval_second=1, max_concurrency=10)
    same(recurring.status, "ENABLED")
    runs = repeat(lambda: runs_of(k, recurring, experiment), lambda found: len(found) >= 3)
    k.client.disable_recurring_run(recurring.recurring_run_id)
    same(k.client.get_recurring_run(recurring.recurring_run_id).status, "DISABLED")
    same(len({run.display_name for run in runs}), len(runs), "different names")
    for run in runs:
        ended = k.wait(run.run_id)
        same(ended.state, "SUCCEEDED")
        check(ended.scheduled_at is not None and ended.scheduled_at.year > 2000, ended.scheduled_at)
    k.client.delete_recurring_run(recurring.recurring_run_id)
    refused(404, "not", k.client.get_recurring_run, recurring.recurring_run_id)


@case
def a_cron_schedule_has_seconds(k):
    experiment = k.experiment()
    recurring = made(k, experiment, cron_expression="* * * * * *", max_concurrency=10)
    repeat(lambda: runs_of(k, recurring, experiment), lambda found: len(found) >= 2)
    k.client.disable_recurring_run(recurring.recurring_run_id)
    for run in runs_of(k, recurring, experiment):
        k.wait(run.run_id)


@case
def a_classic_line_of_five_fields_is_refused_with_its_reason(k):
    # It would be read shifted: every five seconds for every five minutes.
    refused(400, "second", made, k, k.experiment(), cron_expression="*/5 * * * *")


@case
def runs_do_not_overlap_beyond_the_bound(k):
    experiment = k.experiment()
    recurring = k.client.create_recurring_run(
        experiment.experiment_id, k.unique("slow"), pipeline_package_path=k.file(echo(name="slow", command=["sleep", "3"])), interval_second=1, max_concurrency=1
    )
    repeat(lambda: runs_of(k, recurring, experiment), lambda found: len(found) >= 2)
    k.client.disable_recurring_run(recurring.recurring_run_id)
    spans = sorted((run.created_at, k.wait(run.run_id).finished_at) for run in runs_of(k, recurring, experiment))
    for (_, ended), (began, _) in zip(spans, spans[1:]):
        check(began >= ended.replace(microsecond=0), f"{began} is before {ended}")


@case
def missed_times_are_caught_up_or_not(k):
    began = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=240)
    for no_catchup, least, most in ((False, 4, 5), (True, 1, 2)):
        experiment = k.experiment()
        recurring = made(k, experiment, interval_second=60, start_time=began.strftime("%Y-%m-%dT%H:%M:%SZ"), no_catchup=no_catchup, max_concurrency=10)
        repeat(lambda: runs_of(k, recurring, experiment), lambda found: len(found) >= least)
        k.client.disable_recurring_run(recurring.recurring_run_id)
        found = runs_of(k, recurring, experiment)
        check(len(found) <= most, f"no_catchup {no_catchup}: {len(found)} runs")
        for run in found:
            k.wait(run.run_id)


@case
def they_are_listed_and_filtered(k):
    experiment = k.experiment()
    recurring = made(k, experiment, interval_second=3600)
    listed = k.client.list_recurring_runs(experiment_id=experiment.experiment_id).recurring_runs
    same([one.recurring_run_id for one in listed], [recurring.recurring_run_id])
    same(listed[0].trigger.periodic_schedule.interval_second, "3600")
    same(listed[0].max_concurrency, "1")


@case
def an_archived_experiment_disables_them(k):
    experiment = k.experiment()
    recurring = made(k, experiment, interval_second=3600)
    k.client.archive_experiment(experiment.experiment_id)
    same(k.client.get_recurring_run(recurring.recurring_run_id).status, "DISABLED")


@case
def faults_of_the_pipeline_are_told_at_once(k):
    refused(400, "zeal", k.client.create_recurring_run, k.experiment().experiment_id, k.unique("bad"), pipeline_package_path=k.file(echo()), interval_second=60, params={"zeal": 1})
