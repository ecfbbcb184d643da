//go:build tools

// Package tools pins the S3 server that a real cluster is given when asked for.
package tools

import (
	_ "github.com/versity/versitygw/cmd/versitygw"
)
