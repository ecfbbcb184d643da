"""Experiments."""

from .kit import case, check, predicate, refused, same


@case
def making_one_twice_gives_the_same(k):
    name = k.unique("twice")
    first = k.client.create_experiment(name, description="for a case", namespace=k.namespace)
    again = k.client.create_experiment(name, namespace=k.namespace)
    same(again.experiment_id, first.experiment_id)
    same(k.client.get_experiment(experiment_id=first.experiment_id).description, "for a case")
    same(k.client.get_experiment(experiment_name=name, namespace=k.namespace).experiment_id, first.experiment_id)


@case
def a_missing_one_is_not_found(k):
    body = refused(404, "not", k.client.experiments.experiment_service_get_experiment, "00000000-0000-0000-0000-000000000000")
    same(body["code"], 5)


@case
def a_name_must_be_there(k):
    body = refused(400, "name", k.client.experiments.experiment_service_create_experiment, {"display_name": "", "namespace": k.namespace})
    same(body["code"], 3)


@case
def lists_have_pages(k):
    made = [k.client.create_experiment(k.unique("paged"), namespace=k.namespace).experiment_id for _ in range(5)]
    found, token = [], ""
    while True:
        page = k.client.list_experiments(page_token=token, page_size=2, sort_by="created_at desc", namespace=k.namespace)
        check(len(page.experiments) <= 2, "a page is longer than asked for")
        found += [one.experiment_id for one in page.experiments]
        token = page.next_page_token
        if not token or set(made) <= set(found):
            break
    check([one for one in found if one in made] == list(reversed(made)), f"{found} are not in the order of {made}")
    check(len(found) == len(set(found)), "an experiment is on two pages")


@case
def archived_ones_take_their_runs_along(k):
    experiment = k.experiment()
    run = k.finished(experiment=experiment)
    k.client.archive_experiment(experiment.experiment_id)
    same(k.client.get_experiment(experiment.experiment_id).storage_state, "ARCHIVED")
    same(k.client.get_run(run.run_id).storage_state, "ARCHIVED")
    k.client.unarchive_experiment(experiment.experiment_id)
    same(k.client.get_experiment(experiment.experiment_id).storage_state, "AVAILABLE")
    same(k.client.get_run(run.run_id).storage_state, "ARCHIVED", "the run's state, which is not restored,")


@case
def one_can_be_deleted(k):
    experiment = k.experiment()
    k.client.delete_experiment(experiment.experiment_id)
    refused(404, "not", k.client.experiments.experiment_service_get_experiment, experiment.experiment_id)


@case
def filters_know_names_and_states(k):
    experiment = k.experiment()
    name = experiment.display_name
    for key, value, operation, there in (
        ("display_name", name, 1, True),
        ("name", name, 1, True),
        ("display_name", name[2:], 9, True),
        ("display_name", name, 2, False),
        ("storage_state", "AVAILABLE", 1, True),
    ):
        token, found = "", False
        while not found:
            page = k.client.list_experiments(page_size=200, page_token=token, filter=predicate(key, value, operation), namespace=k.namespace)
            found = any(one.experiment_id == experiment.experiment_id for one in page.experiments or [])
            token = page.next_page_token
            if not token:
                break
        same(found, there, f"{key} {operation} {value}")
    refused(400, "colour", k.client.list_experiments, filter=predicate("colour", "red"), namespace=k.namespace)
