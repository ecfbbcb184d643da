"""What the black-box suites share: a plain HTTP client for a kubeconfig, and a runner for cases."""

from .cases import CASES, Failure, Kit, case, check, main, repeat, report, same, subset
from .client import Client, Reply, Skip, Watch, load_config

__all__ = ["CASES", "Client", "Failure", "Kit", "Reply", "Skip", "Watch", "case", "check", "load_config", "main", "repeat", "report", "same", "subset"]
