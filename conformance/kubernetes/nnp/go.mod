module ferroflow.dev/conformance/kubernetes/nnp

go 1.24.0
