"""Who may ask, and from where."""

import json

from .kit import case, check, same


@case
def health_is_told(k):
    answer = k.client.get_kfp_healthz()
    check(answer.multi_user is False, answer)


@case
def nobody_is_refused(k):
    status, body = k.raw("GET", "/apis/v2beta1/runs?namespace=kubeflow")
    check(status in (401, 403), f"{status} {body}")


@case
def a_wrong_token_is_refused(k):
    status, body = k.raw("GET", "/apis/v2beta1/runs?namespace=kubeflow", headers={"Authorization": "Bearer nonsense"})
    same(status, 401, body)


@case
def a_foreign_host_is_refused(k):
    headers = k.bearer()
    status, body = k.raw("GET", "/apis/v2beta1/runs?namespace=kubeflow", headers={**headers, "Host": "evil.example.com"})
    check(status in (400, 403, 421), f"{status} {body}")


@case
def a_foreign_origin_is_refused(k):
    headers = k.bearer()
    status, body = k.raw("POST", "/apis/v2beta1/experiments", {"display_name": k.unique("evil")}, {**headers, "Origin": "http://evil.example.com"})
    check(status in (400, 403), f"{status} {body}")


@case
def odd_json_is_refused(k):
    headers = k.bearer()
    for body in (b"", b"{", b"[]", b"null", b'{"display_name": 1}', b"\xff\xfe"):
        status, told = k.raw("POST", "/apis/v2beta1/experiments", body, headers)
        same(status, 400, f"{body} {told}")
        same(json.loads(told)["code"], 3)


@case
def unknown_paths_are_not_found(k):
    headers = k.bearer()
    same(k.raw("GET", "/apis/v2beta1/nonsense", headers=headers)[0], 404)
    check(k.raw("PUT", "/apis/v2beta1/runs", {}, headers)[0] in (404, 405, 501), "a PUT of runs")
