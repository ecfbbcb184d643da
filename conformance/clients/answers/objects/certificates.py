"""Requests for certificates, to a signer that nobody is."""

import base64

from ..asking import Thing

REQUEST = base64.b64encode(b"""-----BEGIN CERTIFICATE REQUEST-----
MIHMMHQCAQAwEjEQMA4GA1UEAwwHYW5zd2VyczBZMBMGByqGSM49AgEGCCqGSM49
AwEHA0IABFc3tqoLsF6W5vY8womfOmi9SmWdsmOZ1HaHa6NeQanXTuvDfQASAMcu
Ta2pvowlfmntWwuogvaGa4i9xcwENYCgADAKBggqhkjOPQQDAgNIADBFAiEAwp0h
g/E/SDD3c4+NVDRWjY0jQORzPGdfy+pWpSf+/uECIASxw1aKBzPPGkyZcX0/RHYX
lRI1SI99eZHPoptBq1Nk
-----END CERTIFICATE REQUEST-----
""").decode()
CERTIFICATE = base64.b64encode(b"""-----BEGIN CERTIFICATE-----
MIIBIDCBxwIUE1Ppbr1nuTxpAj5cLIfP4sAziAIwCgYIKoZIzj0EAwIwEjEQMA4G
A1UEAwwHYW5zd2VyczAgFw0yNjExMjcxNjQxMjFaGA8yMTI2MTEwMzE2NDEyMVow
EjEQMA4GA1UEAwwHYW5zd2VyczBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABFc3
tqoLsF6W5vY8womfOmi9SmWdsmOZ1HaHa6NeQanXTuvDfQASAMcuTa2pvowlfmnt
WwuogvaGa4i9xcwENYAwCgYIKoZIzj0EAwIDSAAwRQIhANjK2VAKRdufEq8TBwtc
yEpTx9zDGNL0riQCTp09BeXcAiAtK/IARf1bzyDLewba+vAWqM0jJsEeJSDEB3Ji
dawYfw==
-----END CERTIFICATE-----
""").decode()


def things(_):
    plain = {"request": REQUEST, "signerName": "example.org/nobody", "usages": ["client auth"]}
    variants = {
        "minimal": {"spec": plain},
        "rich": {"spec": {**plain, "usages": ["digital signature", "key encipherment", "server auth"], "expirationSeconds": 3600, "username": "me", "groups": ["g"]}},
        "with a status": {"spec": plain, "status": {"conditions": [{"type": "Approved", "status": "True"}]}},
    }
    return [Thing("certificates.k8s.io/v1", "certificatesigningrequests", "CertificateSigningRequest", variants, {"metadata": {"labels": {"a": "b"}}}, scope="cluster")]
