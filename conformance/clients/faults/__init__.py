"""Requests with faults, whose answers are compared with those recorded from a real kube-apiserver."""
