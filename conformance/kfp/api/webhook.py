"""A mutating webhook of pods, for as long as a case lasts: a server of this process, which the cluster reaches at the address
that the gateway has."""

import base64
import datetime
import http.server
import ipaddress
import json
import ssl
import tempfile
import threading
import urllib.parse

import kubernetes as cluster
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


def certificate(address):
    """A certificate and its key in one PEM, which signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "beside")])
    now = datetime.datetime.now(datetime.timezone.utc)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return built.public_bytes(serialization.Encoding.PEM), secret


class Mutating:
    """Applies a JSON patch to each pod that is made in namespaces with `labels`, and counts them."""

    def __init__(self, name, labels, patch, host):
        self.name, self.labels, self.patch = name, labels, patch
        self.address = urllib.parse.urlsplit(host).hostname
        self.changed = 0
        self.hooks = cluster.client.AdmissionregistrationV1Api(cluster.config.new_client_from_config())

    def __enter__(self):
        public, secret = certificate(self.address)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.NamedTemporaryFile() as file:
            file.write(public + secret)
            file.flush()
            context.load_cert_chain(file.name)
        self.server = http.server.ThreadingHTTPServer((self.address, 0), self.handler())
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        rule = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}
        hook = {
            "name": "pods.beside.test",
            "clientConfig": {"url": f"https://{self.address}:{self.server.server_port}/", "caBundle": base64.b64encode(public).decode()},
            "rules": [rule],
            "namespaceSelector": {"matchLabels": self.labels},
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
        }
        self.hooks.create_mutating_webhook_configuration({"metadata": {"name": self.name}, "webhooks": [hook]})
        return self

    def __exit__(self, *_):
        self.hooks.delete_mutating_webhook_configuration(self.name)
        self.server.shutdown()
        self.server.server_close()

    def handler(self):
        hook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                hook.changed += 1
                patch = base64.b64encode(json.dumps(hook.patch).encode()).decode()
                answer = {"uid": review["request"]["uid"], "allowed": True, "patchType": "JSONPatch", "patch": patch}
                body = json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": answer}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        return Handler
