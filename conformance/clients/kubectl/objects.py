"""create, apply, diff, patch, replace, label, annotate, get, describe, delete."""

from kit import case, check, same

from .tool import CONFIG_MAP, DEPLOYMENT, apply, fails, run


@case
def create_makes_config_maps_and_secrets(k):
    run(k, "create", "configmap", "c", "--from-literal=a=1", "--from-literal=b=2").prints("configmap/c created")
    run(k, "get", "configmap", "c").prints("NAME DATA AGE\nc 2 1s")
    run(k, "create", "secret", "generic", "s", "--from-literal=p=word").prints("secret/s created")
    run(k, "get", "secret", "s", "-o", "jsonpath={.data.p} {.type}").prints("d29yZA== Opaque")


@case
def create_makes_what_its_verbs_say(k):
    rows = [
        (("serviceaccount", "robot"), "serviceaccount/robot created"),
        (("role", "r", "--verb=get", "--resource=pods"), "role.rbac.authorization.k8s.io/r created"),
        (("rolebinding", "b", "--role=r", f"--serviceaccount={k.ns}:robot"), "rolebinding.rbac.authorization.k8s.io/b created"),
        (("quota", "q", "--hard=pods=5"), "resourcequota/q created"),
        (("job", "j", "--image=busybox", "--", "true"), "job.batch/j created"),
        (("cronjob", "cj", "--image=busybox", "--schedule=0 0 1 1 *", "--", "true"), "cronjob.batch/cj created"),
        (("deployment", "d", "--image=busybox", "--replicas=0"), "deployment.apps/d created"),
        (("service", "clusterip", "svc", "--tcp=80:8080"), "service/svc created"),
        (("ingress", "i", "--rule=x.example.com/=svc:80"), "ingress.networking.k8s.io/i created"),
        (("poddisruptionbudget", "p", "--selector=a=b", "--min-available=1"), "poddisruptionbudget.policy/p created"),
    ]
    for words, text in rows:
        run(k, "create", *words).prints(text)


@case
def create_twice_is_an_error_with_the_servers_words(k):
    run(k, "create", "configmap", "c")
    fails(k, "create", "configmap", "c").complains(r'^error: failed to create configmap: configmaps "c" already exists$')


@case
def create_from_a_file_validates(k):
    run(k, "create", "-f", "-", stdin=CONFIG_MAP % ("c", "v")).prints("configmap/c created")
    fails(k, "create", "-f", "-", stdin=CONFIG_MAP % ("d", "v") + "nothing: here\n").complains('unknown field "nothing"')


@case
def a_namespace_is_created_and_deleted(k):
    name = k.unique("kubectl")
    k.finally_delete(f"/api/v1/namespaces/{name}")
    run(k, "create", "namespace", name).prints(f"namespace/{name} created")
    run(k, "delete", "namespace", name, "--wait=false").shows(f'namespace "{name}" deleted')


@case
def apply_creates_configures_and_leaves_alone(k):
    apply(k, CONFIG_MAP % ("c", "one")).prints("configmap/c created")
    apply(k, CONFIG_MAP % ("c", "one")).prints("configmap/c unchanged")
    apply(k, CONFIG_MAP % ("c", "two")).prints("configmap/c configured")
    run(k, "get", "configmap", "c", "-o", "jsonpath={.data.key}").prints("two")


@case
def apply_removes_what_is_no_longer_said(k):
    apply(k, CONFIG_MAP % ("c", "one") + "  more: stays\n")
    apply(k, CONFIG_MAP % ("c", "one"))
    run(k, "get", "configmap", "c", "-o", "jsonpath={.data}").prints('{"key":"one"}')


@case
def apply_merges_a_deployment_with_what_others_set(k):
    apply(k, DEPLOYMENT % 0)
    run(k, "set", "env", "deployment/web", "X=1").prints("deployment.apps/web env updated")
    apply(k, (DEPLOYMENT % 0).replace("busybox:1.36", "busybox:1.37")).prints("deployment.apps/web configured")
    run(k, "get", "deployment", "web", "-o", "jsonpath={.spec.template.spec.containers[0].image} {.spec.template.spec.containers[0].env[0].name}").prints("busybox:1.37 X")


@case
def apply_on_the_server_conflicts_and_forces(k):
    apply(k, CONFIG_MAP % ("c", "one"), "--server-side").prints("configmap/c serverside-applied")
    refused = run(k, "apply", "--server-side", "--field-manager=other", "-f", "-", stdin=CONFIG_MAP % ("c", "two"), ok=1)
    refused.complains(r'Apply failed with 1 conflict: conflict with "kubectl": \.data\.key', "--force-conflicts")
    apply(k, CONFIG_MAP % ("c", "two"), "--server-side", "--field-manager=other", "--force-conflicts").prints("configmap/c serverside-applied")


@case
def apply_moves_from_the_client_to_the_server(k):
    apply(k, CONFIG_MAP % ("c", "one"))
    apply(k, CONFIG_MAP % ("c", "two"), "--server-side")
    run(k, "get", "configmap", "c", "-o", "jsonpath={.data.key}").prints("two")


@case
def apply_can_be_tried(k):
    apply(k, CONFIG_MAP % ("c", "one"), "--dry-run=server").prints("configmap/c created (server dry run)")
    fails(k, "get", "configmap", "c").complains(r'^Error from server \(NotFound\): configmaps "c" not found$')


@case
def apply_prunes_with_a_set_of_labels(k):
    labelled = "metadata:\n  labels: {set: mine}\n"
    text = (CONFIG_MAP % ("a", "x")).replace("metadata:\n", labelled) + "---" + (CONFIG_MAP % ("b", "x")).replace("metadata:\n", labelled)
    apply(k, text)
    left = (CONFIG_MAP % ("a", "x")).replace("metadata:\n", labelled)
    run(k, "apply", "--prune", "-l", "set=mine", "--prune-allowlist=core/v1/ConfigMap", "-f", "-", stdin=left).shows("configmap/b pruned")


@case
def diff_shows_what_would_change(k):
    apply(k, CONFIG_MAP % ("c", "one"))
    run(k, "diff", "-f", "-", stdin=CONFIG_MAP % ("c", "one")).prints("")
    run(k, "diff", "-f", "-", stdin=CONFIG_MAP % ("c", "two"), ok=1).shows(r"^-  key: one$", r"^\+  key: two$")


@case
def patch_speaks_three_languages(k):
    apply(k, DEPLOYMENT % 0)
    run(k, "patch", "deployment", "web", "-p", '{"spec":{"template":{"spec":{"containers":[{"name":"main","image":"i:2"}]}}}}').prints("deployment.apps/web patched")
    run(k, "patch", "deployment", "web", "--type=merge", "-p", '{"metadata":{"labels":{"x":"y"}}}').prints("deployment.apps/web patched")
    run(k, "patch", "deployment", "web", "--type=json", "-p", '[{"op":"remove","path":"/metadata/labels/x"}]').prints("deployment.apps/web patched")
    run(k, "patch", "deployment", "web", "--type=merge", "-p", "{}").prints("deployment.apps/web patched (no change)")
    run(k, "get", "deployment", "web", "-o", "jsonpath={.spec.template.spec.containers[*].image} {.metadata.labels}").prints('i:2 {"app":"web"}')


@case
def patch_of_a_subresource_writes_the_status(k):
    apply(k, DEPLOYMENT % 0)
    run(k, "patch", "deployment", "web", "--subresource=scale", "--type=merge", "-p", '{"spec":{"replicas":2}}').prints("scale.autoscaling/web patched")
    run(k, "get", "deployment", "web", "-o", "jsonpath={.spec.replicas}").prints("2")


@case
def replace_and_its_force(k):
    run(k, "create", "-f", "-", stdin=CONFIG_MAP % ("c", "one"))
    run(k, "replace", "-f", "-", stdin=CONFIG_MAP % ("c", "two")).prints("configmap/c replaced")
    run(k, "replace", "--force", "-f", "-", stdin=CONFIG_MAP % ("c", "three")).shows('configmap "c" deleted', "configmap/c replaced")
    run(k, "get", "configmap", "c", "-o", "jsonpath={.data.key}").prints("three")
    fails(k, "replace", "-f", "-", stdin=CONFIG_MAP % ("none", "x")).complains(r'\(NotFound\): error when replacing "STDIN": configmaps "none" not found')


@case
def labels_and_annotations_come_and_go(k):
    run(k, "create", "configmap", "c")
    run(k, "label", "configmap", "c", "a=b").prints("configmap/c labeled")
    fails(k, "label", "configmap", "c", "a=c").complains(r"'a' already has a value \(b\), and --overwrite is false")
    run(k, "label", "configmap", "c", "a=c", "--overwrite").prints("configmap/c labeled")
    run(k, "get", "configmaps", "-l", "a in (c)", "-o", "name").prints("configmap/c")
    run(k, "get", "configmaps", "-l", "a", "-L", "a").prints("NAME DATA AGE A\nc 0 1s c")
    run(k, "label", "configmap", "c", "a-").prints("configmap/c unlabeled")
    run(k, "annotate", "configmap", "c", "note=hello world").prints("configmap/c annotated")
    run(k, "get", "configmap", "c", "-o", "jsonpath={.metadata.annotations.note}").prints("hello world")


@case
def get_prints_in_many_forms(k):
    run(k, "create", "configmap", "c", "--from-literal=k=v")
    run(k, "get", "cm", "c", "-o", "name").prints("configmap/c")
    run(k, "get", "cm", "c", "-o", "yaml").shows("^kind: ConfigMap$", "^  k: v$")
    run(k, "get", "cm", "c", "-o", "json").shows('"kind": "ConfigMap"')
    run(k, "get", "cm", "c", "-o", "custom-columns=N:.metadata.name,K:.data.k").prints("N K\nc v")
    run(k, "get", "cm", "c", "-o", "go-template={{.data.k}}").prints("v")
    run(k, "get", "cm", "c", "--no-headers").prints("c 1 1s")
    run(k, "get", "cm", "c", "--show-labels").prints("NAME DATA AGE LABELS\nc 1 1s <none>")
    run(k, "get", "cm", "c", "-o", "yaml", "--show-managed-fields").shows("manager: kubectl-create", "f:data:")
    check("managedFields" not in run(k, "get", "cm", "c", "-o", "yaml").out, "managed fields are shown unasked")


@case
def get_of_nothing_says_so(k):
    same(run(k, "get", "pods").err, f"No resources found in {k.ns} namespace.\n")
    fails(k, "get", "pod", "none").complains(r'^Error from server \(NotFound\): pods "none" not found$')
    run(k, "get", "pod", "none", "--ignore-not-found").prints("")
    fails(k, "get", "nothings").complains("the server doesn't have a resource type \"nothings\"")


@case
def get_lists_across_kinds_namespaces_and_fields(k):
    run(k, "create", "configmap", "a")
    run(k, "create", "secret", "generic", "b")
    run(k, "get", "configmap/a", "secret/b", "-o", "name").prints("configmap/a\nsecret/b")
    run(k, "get", "configmaps,secrets", "--field-selector", "metadata.name=b", "-o", "name").prints("secret/b")
    run(k, "get", "configmaps", "-A", "--field-selector", f"metadata.namespace={k.ns},metadata.name=a").prints(f"NAMESPACE NAME DATA AGE\n{k.ns} a 0 1s")
    run(k, "get", "configmaps", "--sort-by=.metadata.name", "--chunk-size=1", "-o", "name").shows("^configmap/a$")


@case
def get_all_shows_what_users_make(k):
    apply(k, DEPLOYMENT % 0)
    run(k, "create", "service", "clusterip", "s", "--tcp=80")
    run(k, "get", "all").shows(r"^service/s +ClusterIP +10\.", r"^deployment.apps/web +0/0 +0 +0 ")


@case
def get_shows_more_when_it_is_wide(k):
    apply(k, DEPLOYMENT % 0)
    run(k, "get", "deployment", "web", "-o", "wide").prints("NAME READY UP-TO-DATE AVAILABLE AGE CONTAINERS IMAGES SELECTOR\nweb 0/0 0 0 1s main busybox:1.36 app=web")


@case
def get_watches(k):
    run(k, "create", "configmap", "c")
    run(k, "wait", "--for=jsonpath={.metadata.name}=c", "configmap/c", "--timeout=20s").prints("configmap/c condition met")
    run(k, "get", "configmap", "c", "-w", "--request-timeout=2s", ok=None).shows("^c ")


@case
def describe_tells_a_story(k):
    apply(k, DEPLOYMENT % 0)
    run(k, "describe", "deployment", "web").shows(
        "^Name: +web$", f"^Namespace: +{k.ns}$", "^Selector: +app=web$", r"^Replicas: +0 desired \| 0 updated", "^StrategyType: +RollingUpdate$", "^    Image: +busybox:1.36$")
    run(k, "create", "configmap", "c", "--from-literal=k=v")
    run(k, "describe", "configmap", "c").shows("^Data$", "^k:$", "^v$")
    run(k, "create", "service", "clusterip", "s", "--tcp=80")
    run(k, "describe", "service", "s").shows("^Type: +ClusterIP$", r"^IP: +10\.", "^Port: +80  80/TCP$")
    run(k, "describe", "namespace", k.ns).shows("^Status: +Active$", "No resource quota.", "No LimitRange resource.")


@case
def delete_takes_names_labels_and_files(k):
    for name in "abc":
        run(k, "create", "configmap", name)
    run(k, "label", "configmap", "b", "c", "x=y")
    run(k, "delete", "configmap", "a").shows('^configmap "a" deleted')
    run(k, "delete", "configmaps", "-l", "x=y").shows('configmap "b" deleted', 'configmap "c" deleted')
    run(k, "create", "-f", "-", stdin=CONFIG_MAP % ("d", "v"))
    run(k, "delete", "-f", "-", stdin=CONFIG_MAP % ("d", "v")).shows('configmap "d" deleted')
    fails(k, "delete", "configmap", "a").complains(r'\(NotFound\): configmaps "a" not found')
    run(k, "delete", "configmap", "a", "--ignore-not-found").prints("")


@case
def a_custom_kind_is_known_once_it_is_defined(k):
    group = k.unique("g").replace("-", "") + ".kubectl.example.com"
    text = f"""
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: gadgets.{group}}}
spec:
  group: {group}
  scope: Namespaced
  names: {{plural: gadgets, singular: gadget, kind: Gadget, shortNames: [gdt]}}
  versions:
  - name: v1
    served: true
    storage: true
    additionalPrinterColumns: [{{name: Size, type: integer, jsonPath: .spec.size}}]
    schema: {{openAPIV3Schema: {{type: object, properties: {{spec: {{type: object, properties: {{size: {{type: integer, description: How big it is.}}}}}}}}}}}}
"""
    k.finally_delete(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/gadgets.{group}")
    apply(k, text).prints(f"customresourcedefinition.apiextensions.k8s.io/gadgets.{group} created")
    run(k, "wait", "--for=condition=Established", f"crd/gadgets.{group}", "--timeout=30s").shows("condition met")
    apply(k, f"apiVersion: {group}/v1\nkind: Gadget\nmetadata: {{name: g}}\nspec: {{size: 3}}\n").prints(f"gadget.{group}/g created")
    apply(k, f"apiVersion: {group}/v1\nkind: Gadget\nmetadata: {{name: g}}\nspec: {{size: 4}}\n").prints(f"gadget.{group}/g configured")
    run(k, "get", f"gadgets.{group}").prints("NAME SIZE\ng 4")
    run(k, "explain", f"gadgets.spec.size", f"--api-version={group}/v1").shows("^FIELD: size <integer>", "How big it is.")
