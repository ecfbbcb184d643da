"""What a user of a notebook in the cluster does: the unmodified client, with the token that the pod has, runs a pipeline.

    notebook.py NAME [HOST [CA]]      without a host, or with an empty one, as `kfp.Client()` finds the server by itself

Prints the id and the state of the run.
"""

import sys

import kfp
from kfp import dsl
from kfp.client import ServiceAccountTokenVolumeCredentials

NAME, HOST, CA = (sys.argv[1:] + ["", ""])[:3]


@dsl.component(base_image="python:3.11")
def double(number: int) -> int:
    return 2 * number


@dsl.pipeline(name="from-a-notebook")
def doubled(number: int = 21) -> int:
    return double(number=double(number=number).output).output


told = {"ssl_ca_cert": CA} if CA else {}
if HOST:
    told.update(host=HOST, credentials=ServiceAccountTokenVolumeCredentials())
client = kfp.Client(**told)
experiment = client.create_experiment(NAME, namespace="kubeflow")
run = client.create_run_from_pipeline_func(
    doubled, run_name=NAME, experiment_id=experiment.experiment_id, enable_caching=False
)
done = client.wait_for_run_completion(run.run_id, timeout=120, sleep_duration=0.5)
if done.state != "SUCCEEDED":
    sys.exit(f"{done.state}: {done.error}")
if run.run_id not in [one.run_id for one in client.list_runs(namespace="kubeflow", page_size=100, sort_by="created_at desc").runs]:
    sys.exit("the run is not listed")
print(run.run_id, done.state)
