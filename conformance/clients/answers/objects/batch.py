"""Jobs and cron jobs. A job that stays is suspended and another controller's, so that none counts its pods."""

from ..asking import Thing
from .pods import CONTAINER, LABELS, PROBES

ONCE = {"spec": {"restartPolicy": "Never", "containers": [CONTAINER]}}
AGAIN = {"metadata": {"labels": LABELS}, "spec": {"restartPolicy": "OnFailure", "containers": [PROBES]}}
FAILURES = {"rules": [
    {"action": "FailJob", "onExitCodes": {"containerName": "c", "operator": "In", "values": [3, 4]}},
    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}, {"type": "Other", "status": "False"}]},
    {"action": "FailIndex", "onExitCodes": {"operator": "NotIn", "values": [0, 5]}},
]}


def job(template=ONCE, **more):
    return {"spec": {"suspend": True, "managedBy": "example.org/nobody", "template": template, **more}}


def jobs():
    variants = {
        "minimal": job(),
        "plain": {"spec": {"template": ONCE}},
        "rich": job(AGAIN, parallelism=3, completions=4, backoffLimit=2, activeDeadlineSeconds=60, ttlSecondsAfterFinished=0, podReplacementPolicy="Failed"),
        "parallel alone": job(parallelism=2),
        "completions alone": job(completions=2),
        "indexed": job(completionMode="Indexed", completions=5, parallelism=2, backoffLimitPerIndex=1, maxFailedIndexes=2, podFailurePolicy=FAILURES, successPolicy={"rules": [{"succeededIndexes": "0,2-3", "succeededCount": 2}]}),
        "a selector of its own": job({**ONCE, "metadata": {"labels": LABELS}}, manualSelector=True, selector={"matchLabels": LABELS}),
    }
    return Thing("batch/v1", "jobs", "Job", variants, {"metadata": {"labels": {"x": "y"}}, "spec": {"parallelism": 4, "backoffLimit": 1}})


def cron_jobs():
    plain = {"schedule": "0 0 1 1 *", "suspend": True, "jobTemplate": {"spec": {"template": ONCE}}}
    variants = {
        "minimal": {"spec": plain},
        "not suspended": {"spec": {**plain, "suspend": None}},
        "rich": {"spec": {
            **plain, "schedule": "@daily", "timeZone": "Europe/Berlin", "startingDeadlineSeconds": 30, "concurrencyPolicy": "Forbid", "successfulJobsHistoryLimit": 0, "failedJobsHistoryLimit": 5,
            "jobTemplate": {"metadata": {"labels": LABELS, "annotations": {"c": "d"}}, "spec": {"template": AGAIN, "parallelism": 2, "podFailurePolicy": None}},
        }},
    }
    return Thing("batch/v1", "cronjobs", "CronJob", variants, {"spec": {"schedule": "1 0 1 1 *", "concurrencyPolicy": "Replace"}})


def things(_):
    return [jobs(), cron_jobs()]
