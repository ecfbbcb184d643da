"""The platform document: secrets, config maps, claims, metadata of pods, scheduling, workspace, and task configurations."""

from typing import Optional

from kfp import dsl, kubernetes

from _parts import IMAGE, shell


@dsl.pipeline(name="secrets")
def secrets(name: str = "kfp-case-secret"):
    env = shell(script='printf "%s" "$USER_NAME"')
    kubernetes.use_secret_as_env(env, secret_name=name, secret_key_to_env={"user": "USER_NAME"})
    volume = shell(script="cat /secret/user /secret/password")
    kubernetes.use_secret_as_volume(volume, secret_name="kfp-case-secret", mount_path="/secret")
    absent = shell(script='printf "[%s]" "$NONE"; ls /none | wc -l')
    kubernetes.use_secret_as_env(absent, secret_name="kfp-case-absent", secret_key_to_env={"x": "NONE"}, optional=True)
    kubernetes.use_secret_as_volume(absent, secret_name="kfp-case-absent", mount_path="/none", optional=True)


@dsl.pipeline(name="secret-that-is-missing")
def secret_that_is_missing():
    task = shell(script="echo never")
    kubernetes.use_secret_as_env(task, secret_name="kfp-case-absent", secret_key_to_env={"x": "NONE"})


@dsl.pipeline(name="config-maps")
def config_maps(name: str = "kfp-case-config"):
    env = shell(script='printf "%s" "$COLOUR"')
    kubernetes.use_config_map_as_env(env, config_map_name=name, config_map_key_to_env={"colour": "COLOUR"})
    volume = shell(script="cat /config/colour")
    kubernetes.use_config_map_as_volume(volume, config_map_name=name, mount_path="/config")


@dsl.pipeline(name="pod-metadata")
def pod_metadata(team: str = "blue"):
    task = shell(script='printf "%s|%s|%s|%s" "$LABEL" "$NOTE" "$NAMESPACE" "$([ -n "$NAME" ] && echo named)"')
    kubernetes.add_pod_label(task, "team", "red")
    kubernetes.add_pod_annotation(task, "example.com/note", "a note")
    kubernetes.use_field_path_as_env(task, "LABEL", "metadata.labels['team']")
    kubernetes.use_field_path_as_env(task, "NOTE", "metadata.annotations['example.com/note']")
    kubernetes.use_field_path_as_env(task, "NAMESPACE", "metadata.namespace")
    kubernetes.use_field_path_as_env(task, "NAME", "metadata.name")


@dsl.pipeline(name="empty-directories")
def empty_directories():
    task = shell(script="echo kept >/scratch/file; cat /scratch/file; ls /memory | wc -l")
    kubernetes.empty_dir_mount(task, volume_name="scratch", mount_path="/scratch", size_limit="10Mi")
    kubernetes.empty_dir_mount(task, volume_name="memory", mount_path="/memory", medium="Memory")


@dsl.pipeline(name="claims")
def claims():
    made = kubernetes.CreatePVC(pvc_name_suffix="-kept", access_modes=["ReadWriteOnce"], size="1Mi", storage_class_name="standard")
    written = shell(script="echo kept >/data/file; echo written").set_caching_options(False)
    kubernetes.mount_pvc(written, pvc_name=made.outputs["name"], mount_path="/data")
    read = shell(script="cat /data/file").after(written).set_caching_options(False)
    kubernetes.mount_pvc(read, pvc_name=made.outputs["name"], mount_path="/data")
    kubernetes.DeletePVC(pvc_name=made.outputs["name"]).after(read)


@dsl.pipeline(name="claim-in-subpath")
def claim_in_subpath(claim: str = "kfp-case-claim"):
    written = shell(script="mkdir -p /data/below; echo sub >/data/below/file; echo written").set_caching_options(False)
    kubernetes.mount_pvc(written, pvc_name=claim, mount_path="/data")
    read = shell(script="cat /data/file").after(written).set_caching_options(False)
    kubernetes.mount_pvc(read, pvc_name=claim, mount_path="/data", sub_path="below")


@dsl.pipeline(name="tolerations-and-selectors")
def tolerations_and_selectors(tolerance: dict = {"key": "case", "operator": "Exists", "effect": "NoSchedule"}, selector: Optional[dict] = None):
    task = shell(script="echo placed")
    kubernetes.add_toleration(task, key="gpu", operator="Equal", value="yes", effect="NoSchedule")
    kubernetes.add_toleration_json(task, tolerance)
    kubernetes.add_node_selector(task, "kubernetes.io/os", "linux")
    kubernetes.add_node_selector_json(task, selector)


@dsl.pipeline(name="no-node-fits", pipeline_config=dsl.PipelineConfig(active_deadline_seconds=6))
def no_node_fits():
    # A node may come, so that the step waits; the run's own deadline ends it.
    task = shell(script="echo never")
    kubernetes.add_node_selector(task, "case/none", "none")


@dsl.pipeline(name="timeout-of-a-task")
def timeout_of_a_task():
    task = shell(script="sleep 300")
    kubernetes.set_timeout(task, 2)


@dsl.pipeline(name="image-policy-and-user")
def image_policy_and_user():
    task = shell(script="id -u; id -g")
    kubernetes.set_image_pull_policy(task, "IfNotPresent")
    kubernetes.set_security_context(task, run_as_user=65534, run_as_group=65534)


@dsl.component
def seen(task_config: dsl.TaskConfig) -> dict:
    import os

    return {
        "env": task_config.env,
        "resources": task_config.resources,
        "selector": task_config.node_selector,
        "tolerations": task_config.tolerations,
        "own": os.environ.get("ONE"),
    }


configured = dsl.component(
    seen.python_func,
    task_config_passthroughs=[
        dsl.TaskConfigField.RESOURCES,
        dsl.TaskConfigField.KUBERNETES_TOLERATIONS,
        dsl.TaskConfigField.KUBERNETES_NODE_SELECTOR,
        dsl.TaskConfigPassthrough(field=dsl.TaskConfigField.ENV, apply_to_task=True),
    ],
)


@dsl.pipeline(name="task-configuration")
def task_configuration():
    task = configured().set_env_variable("ONE", "1")
    task.set_cpu_request("10m").set_cpu_limit("4000").set_memory_request("20Mi").set_memory_limit("30Gi")
    kubernetes.add_toleration(task, key="gpu", operator="Exists", effect="NoSchedule")
    # No node has it: the task's own pod must not ask for what is passed on.
    kubernetes.add_node_selector(task, "disk", "none")


@dsl.component
def writes_workspace(place: str) -> str:
    import os

    os.makedirs(place, exist_ok=True)
    with open(os.path.join(place, "file"), "w") as file:
        file.write("shared")
    return place


@dsl.component
def reads_workspace(place: str) -> str:
    with open(f"{place}/file") as file:
        return file.read()


@dsl.pipeline(
    name="workspace",
    pipeline_config=dsl.PipelineConfig(
        workspace=dsl.WorkspaceConfig(size="10Mi", kubernetes=dsl.KubernetesWorkspaceConfig(pvcSpecPatch={"accessModes": ["ReadWriteOnce"], "storageClassName": "standard"}))
    ),
)
def workspace():
    written = writes_workspace(place=f"{dsl.WORKSPACE_PATH_PLACEHOLDER}/below")
    reads_workspace(place=f"{dsl.WORKSPACE_PATH_PLACEHOLDER}/below").after(written)


@dsl.container_component
def limited(out: dsl.OutputPath(str)):
    return dsl.ContainerSpec(image=IMAGE, command=["sh", "-ec", 'mkdir -p "$(dirname "$0")"; printf ok >"$0"'], args=[out])


@dsl.pipeline(name="resources")
def resources(memory: str = "64Mi", cpu: str = "250m"):
    limited().set_memory_limit(memory).set_memory_request("16Mi").set_cpu_limit(cpu).set_cpu_request("10m")


@dsl.pipeline(name="image-by-parameter")
def image_by_parameter(image: str = IMAGE):
    limited().set_container_image(image)
