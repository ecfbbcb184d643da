"""fieldValidation, warnings, and bodies that cannot be read."""

from kit import case, check, same

UNKNOWN = {"metadata": {"name": "a", "nothing": 1}, "data": {"k": "v"}, "extra": {"x": 1}}


@case
def strict_refuses_unknown_fields_and_names_all_of_them(k):
    reply = k.post(k.core("configmaps"), UNKNOWN, {"fieldValidation": "Strict"})
    reply.fails(400, "BadRequest", 'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: unknown field "metadata.nothing", unknown field "extra"')


@case
def strict_refuses_duplicate_fields(k):
    text = '{"metadata":{"name":"a"},"data":{"k":"v","k":"w"}}'
    reply = k.post(k.core("configmaps"), text, {"fieldValidation": "Strict"})
    reply.fails(400, "BadRequest", 'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: duplicate field "data.k"')


@case
def strict_names_the_place_in_a_list(k):
    body = {"metadata": {"name": "d"}, "spec": {"template": {"spec": {"containers": [{"name": "c", "image": "i", "imagee": "x"}]}}}}
    reply = k.post(k.url("apps/v1", "deployments"), body, {"fieldValidation": "Strict"})
    reply.fails(400, "BadRequest", contains='strict decoding error: unknown field "spec.template.spec.containers[0].imagee"')


@case
def warn_stores_and_warns(k):
    reply = k.post(k.core("configmaps"), UNKNOWN, {"fieldValidation": "Warn"})
    reply.ok(201)
    same(reply.warnings(), ['unknown field "metadata.nothing"', 'unknown field "extra"'])


@case
def warn_is_what_is_done_unasked(k):
    reply = k.post(k.core("configmaps"), UNKNOWN)
    reply.ok(201)
    check('unknown field "extra"' in reply.warnings(), reply.warnings())
    check(reply.headers.get("Warning").startswith("299 - "), reply.headers.get("Warning"))


@case
def ignore_stores_in_silence(k):
    reply = k.post(k.core("configmaps"), UNKNOWN, {"fieldValidation": "Ignore"})
    check("extra" not in reply.ok(201), "an unknown field was stored")
    same(reply.warnings(), [])


@case
def an_unknown_field_validation_is_invalid(k):
    reply = k.post(k.core("configmaps"), {"metadata": {"name": "a"}}, {"fieldValidation": "Maybe"})
    reply.fails(422, "Invalid", contains='fieldValidation: Unsupported value: "Maybe": supported values: "", "Ignore", "Strict", "Warn"')


@case
def strict_holds_for_replace_and_every_patch(k):
    k.config_map()
    strict = {"fieldValidation": "Strict"}
    path = k.core("configmaps", "a")
    k.put(path, UNKNOWN, strict).fails(400, "BadRequest", contains='strict decoding error: unknown field "metadata.nothing"')
    k.merge(path, {"extra": 1}, strict).fails(422, "Invalid", contains='unknown field "extra"')
    check(k.strategic(path, {"extra": 1}, strict).status in (400, 422), "a strategic patch was accepted")
    k.json_patch(path, [{"op": "add", "path": "/extra", "value": 1}], strict).fails(422, "Invalid", contains='unknown field "extra"')


@case
def duplicates_in_yaml_are_found(k):
    text = "metadata:\n  name: a\ndata:\n  k: v\n  k: w\n"
    reply = k.post(k.core("configmaps"), text, {"fieldValidation": "Strict"}, content="application/yaml")
    reply.fails(400, "BadRequest", contains='key "k" already set in map')


@case
def a_value_of_the_wrong_type_is_refused(k):
    reply = k.post(k.core("configmaps"), {"metadata": {"name": "a"}, "data": {"k": 1}})
    reply.fails(400, "BadRequest", 'ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct field ConfigMap.data of type string')


@case
def a_number_where_a_list_belongs_is_refused(k):
    body = {"metadata": {"name": "p"}, "spec": {"containers": 1}}
    reply = k.post(k.core("pods"), body)
    reply.fails(400, "BadRequest", 'Pod in version "v1" cannot be handled as a Pod: json: cannot unmarshal number into Go struct field PodSpec.spec.containers of type []v1.Container')


@case
def a_bad_quantity_and_a_bad_time_are_refused(k):
    body = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i", "resources": {"limits": {"cpu": "lots"}}}]}}
    k.post(k.core("pods"), body).fails(400, "BadRequest", contains="quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")
    body = {"metadata": {"name": "l"}, "spec": {"renewTime": "yesterday"}}
    k.post(k.url("coordination.k8s.io/v1", "leases"), body).fails(400, "BadRequest", contains='parsing time "yesterday"')


@case
def a_body_that_is_no_json_is_refused(k):
    k.post(k.core("configmaps"), "{nothing").fails(400, "BadRequest", contains="invalid character 'n' looking for beginning of object key string")


@case
def an_empty_body_is_refused(k):
    reply = k.post(k.core("configmaps"), "")
    check(reply.status in (400, 422), f"{reply.status} {reply.text()}")


@case
def a_content_type_that_is_not_known_is_415(k):
    reply = k.post(k.core("configmaps"), "x", content="text/plain")
    reply.fails(415, "UnsupportedMediaType", contains="the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf")


@case
def an_accept_that_is_not_known_is_406(k):
    reply = k.get(k.core("configmaps"), accept="text/html")
    reply.fails(406, "NotAcceptable", contains="406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, application/vnd.kubernetes.protobuf")


@case
def a_content_type_may_have_parameters(k):
    k.post(k.core("configmaps"), {"metadata": {"name": "a"}}, content="application/json; charset=utf-8").ok(201)


@case
def deprecated_fields_give_warnings(k):
    body = {"metadata": {"name": "p", "annotations": {"seccomp.security.alpha.kubernetes.io/pod": "unconfined"}}, "spec": {"serviceAccount": "default", "nodeSelector": {"beta.kubernetes.io/os": "linux"}, "containers": [{"name": "c", "image": "i"}]}}
    warnings = k.post(k.core("pods"), body).warnings()
    check('spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead' in warnings, warnings)


@case
def duplicate_variables_give_warnings(k):
    env = [{"name": "X", "value": "1"}, {"name": "X", "value": "2"}]
    reply = k.post(k.core("pods"), {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i", "env": env}]}})
    reply.ok(201)
    check(any("hides previous definition of \"X\", which may be dropped when using apply" in text for text in reply.warnings()), reply.warnings())


@case
def a_body_of_more_than_three_mebibytes_is_413(k):
    text = '{"metadata":{"name":"a"},"data":{"k":"' + "x" * (3 * 1024 * 1024 + 1) + '"}}'
    reply = k.post(k.core("configmaps"), text)
    reply.fails(413, "RequestEntityTooLarge", contains="limit is 3145728")


@case
def a_config_map_of_more_than_a_mebibyte_is_invalid(k):
    reply = k.post(k.core("configmaps"), {"metadata": {"name": "a"}, "data": {"k": "x" * (1024 * 1024 + 1)}})
    reply.fails(422, "Invalid", 'ConfigMap "a" is invalid: []: Too long: may not be more than 1048576 bytes')
