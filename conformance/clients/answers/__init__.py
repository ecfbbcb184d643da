"""Good requests, whose answers are compared field by field with those of a real kube-apiserver."""
