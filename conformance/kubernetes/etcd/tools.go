//go:build tools

// Package tools pins the etcd that stores the objects of a real cluster.
package tools

import (
	_ "go.etcd.io/etcd/server/v3"
)
