"""Writes `ghcr.io/containerd/busybox` as an archive, made of this machine's busybox: a file of upstream's corpus needs its shell.

    busybox.py FILE        exits with 1 where there is no busybox that is linked statically
"""

import hashlib
import io
import json
import shutil
import subprocess
import sys
import tarfile

NAME = "ghcr.io/containerd/busybox:made-here"


def layer(program):
    """A root with the program under all of its names."""
    applets = subprocess.run([program, "--list"], check=True, capture_output=True, text=True).stdout.split()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for directory, mode in (("bin", 0o755), ("root", 0o700), ("tmp", 0o1777)):
            entry = tarfile.TarInfo(directory)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            tar.addfile(entry)
        with open(program, "rb") as file:
            content = file.read()
        entry = tarfile.TarInfo("bin/busybox")
        entry.size, entry.mode = len(content), 0o755
        tar.addfile(entry, io.BytesIO(content))
        for applet in applets:
            if applet != "busybox":
                entry = tarfile.TarInfo(f"bin/{applet}")
                entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(entry)
    return packed.getvalue()


def main():
    program = shutil.which("busybox")
    asked = subprocess.run(["ldd", program], capture_output=True, check=False, text=True) if program else None
    if asked is None or "not a dynamic executable" not in asked.stdout + asked.stderr:
        print("busybox.py: there is no busybox here that is linked statically", file=sys.stderr)
        return 1
    root = layer(program)
    digest = hashlib.sha256(root).hexdigest()
    config = {
        "architecture": "amd64", "os": "linux", "config": {"Cmd": ["sh"], "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }  # fmt: skip
    parts = {
        "layer.tar": root,
        "config.json": json.dumps(config).encode(),
        "manifest.json": json.dumps([{"Config": "config.json", "RepoTags": [NAME], "Layers": ["layer.tar"]}]).encode(),
    }
    with tarfile.open(sys.argv[1], "w") as archive:
        for name, content in parts.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return 0


if __name__ == "__main__":
    sys.exit(main())
