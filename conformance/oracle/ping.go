package main

import "encoding/json"

func init() { subjects["ping"] = askPing }

// askPing shows that the program is there.
func askPing(json.RawMessage) (any, error) { return "pong", nil }
