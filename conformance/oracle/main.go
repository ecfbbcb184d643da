// Oracle answers questions over the real Kubernetes libraries, one JSON case a line.
//
// A case is {"subject": "...", ...}; the answer is {"answer": ...} or {"error": "..."}, one line
// each, in the order of the questions. The Rust drivers under crates/cluster/tests/oracle ask the
// same questions of our code and compare. Nothing here decides what is right: it only calls.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
)

// subject answers one case; an error is an answer too (the library refused).
type subject func(question json.RawMessage) (any, error)

// subjects is filled by the init function of each subject's file.
var subjects = map[string]subject{}

type reply struct {
	Answer any    `json:"answer,omitempty"`
	Error  string `json:"error,omitempty"`
	Panic  string `json:"panic,omitempty"`
}

func main() {
	if err := serve(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "oracle:", err)
		os.Exit(1)
	}
}

// serve answers every line of in. Lines are answered in order and flushed whenever no further
// question is waiting, so that a driver may write one question and read its answer.
func serve(in io.Reader, out io.Writer) error {
	reader := bufio.NewReaderSize(in, 1<<20)
	writer := bufio.NewWriterSize(out, 1<<20)
	encoder := json.NewEncoder(writer)
	encoder.SetEscapeHTML(false)
	for {
		line, err := reader.ReadBytes('\n')
		if len(line) > 1 {
			if failed := encoder.Encode(answer(line)); failed != nil {
				return failed
			}
		}
		if err == io.EOF {
			return writer.Flush()
		}
		if err != nil {
			return err
		}
		if reader.Buffered() == 0 {
			if failed := writer.Flush(); failed != nil {
				return failed
			}
		}
	}
}

// answer asks the case's subject and turns a panic of a library into an answer.
func answer(line []byte) (result reply) {
	defer func() {
		if cause := recover(); cause != nil {
			result = reply{Panic: fmt.Sprint(cause)}
		}
	}()
	var head struct {
		Subject string `json:"subject"`
	}
	if err := json.Unmarshal(line, &head); err != nil {
		return reply{Panic: "not a case: " + err.Error()}
	}
	ask, known := subjects[head.Subject]
	if !known {
		return reply{Panic: fmt.Sprintf("no subject %q", head.Subject)}
	}
	value, err := ask(line)
	if err != nil {
		return reply{Error: err.Error()}
	}
	return reply{Answer: value}
}
