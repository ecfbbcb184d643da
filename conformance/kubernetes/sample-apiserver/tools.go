//go:build tools

// Package tools pins the API server that the official suite adds to a cluster's own.
package tools

import _ "k8s.io/sample-apiserver"
