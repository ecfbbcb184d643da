"""Pipelines and versions."""

import io
import json
import tarfile
import zipfile

from .kit import case, check, echo, predicate, refused, same


@case
def an_uploaded_one_has_a_version(k):
    document = echo(word="x")
    pipeline = k.pipeline(document)
    versions = k.client.list_pipeline_versions(pipeline.pipeline_id).pipeline_versions
    same([one.display_name for one in versions], [pipeline.display_name])
    same(json.loads(json.dumps(versions[0].pipeline_spec)), document, "what was uploaded")
    same(k.client.get_pipeline_id(pipeline.display_name), pipeline.pipeline_id)
    same(k.client.get_pipeline(pipeline.pipeline_id).display_name, pipeline.display_name)


@case
def a_name_is_taken_once(k):
    pipeline = k.pipeline()
    body = refused(409, pipeline.display_name, k.client.upload_pipeline, k.file(echo()), pipeline_name=pipeline.display_name)
    check("error_message" in body, f"an upload's error has another shape: {body}")


@case
def versions_are_added_and_the_last_one_is_run(k):
    pipeline = k.pipeline(echo(name="versions", word="first"))
    added = k.client.upload_pipeline_version(k.file(echo(name="versions", word="second")), k.unique("version"), pipeline_id=pipeline.pipeline_id)
    versions = k.client.list_pipeline_versions(pipeline.pipeline_id, sort_by="created_at desc").pipeline_versions
    same(versions[0].pipeline_version_id, added.pipeline_version_id)
    same(len(versions), 2)
    experiment = k.experiment()
    body = {"display_name": k.unique("latest"), "experiment_id": experiment.experiment_id, "pipeline_version_reference": {"pipeline_id": pipeline.pipeline_id}}
    run = k.client.runs.run_service_create_run(run=body)
    same(run.pipeline_version_reference.pipeline_version_id, added.pipeline_version_id, "the version that is run")
    same(k.wait(run.run_id).state, "SUCCEEDED")
    refused(409, added.display_name, k.client.upload_pipeline_version, k.file(echo()), added.display_name, pipeline_id=pipeline.pipeline_id)


@case
def one_with_versions_stays(k):
    pipeline = k.pipeline()
    refused(400, "version", k.client.delete_pipeline, pipeline.pipeline_id)
    version = k.client.list_pipeline_versions(pipeline.pipeline_id).pipeline_versions[0]
    k.client.delete_pipeline_version(pipeline.pipeline_id, version.pipeline_version_id)
    k.client.delete_pipeline(pipeline.pipeline_id)
    refused(404, "not", k.client.get_pipeline, pipeline.pipeline_id)


@case
def packages_may_be_zip_tar_and_json(k):
    text = json.dumps(echo()).encode()
    as_zip = k.work / f"{k.unique('package')}.zip"
    with zipfile.ZipFile(as_zip, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("pipeline.yaml", text)
    as_tar = k.work / f"{k.unique('package')}.tar.gz"
    with tarfile.open(as_tar, "w:gz") as file:
        entry = tarfile.TarInfo("pipeline.yaml")
        entry.size = len(text)
        file.addfile(entry, io.BytesIO(text))
    for package in (str(as_zip), str(as_tar), k.file(echo(), ".json")):
        pipeline = k.client.upload_pipeline(package, pipeline_name=k.unique("package"))
        versions = k.client.list_pipeline_versions(pipeline.pipeline_id).pipeline_versions
        same(versions[0].pipeline_spec["pipelineInfo"]["name"], "api-echo", package)


@case
def a_bomb_of_a_zip_is_refused(k):
    path = k.work / f"{k.unique('bomb')}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("pipeline.yaml", b"a" * (200 << 20))
    refused(400, "", k.client.upload_pipeline, str(path), pipeline_name=k.unique("bomb"))


@case
def filters_find_names(k):
    pipeline = k.pipeline()
    found = k.client.list_pipelines(filter=predicate("display_name", pipeline.display_name)).pipelines
    same([one.pipeline_id for one in found], [pipeline.pipeline_id])
    same(k.client.list_pipelines(filter=predicate("display_name", k.unique("none"))).pipelines or [], [])


@case
def a_missing_one_is_not_found(k):
    body = refused(404, "not", k.client.get_pipeline, "00000000-0000-0000-0000-000000000000")
    same(body["code"], 5)


@case
def one_is_made_with_a_version_by_url_only_where_the_host_is_allowed(k):
    body = {"pipeline": {"display_name": k.unique("url")}, "pipeline_version": {"package_url": {"pipeline_url": "http://127.0.0.1:1/x.yaml"}}}
    refused(400, "", k.server.call, "POST", "/apis/v2beta1/pipelines/create", body=body)
