package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	k8sjson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/mergepatch"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/client-go/kubernetes/scheme"
)

func init() { subjects["strategic"] = askStrategic }

// strategicCase is one patch of one object.
type strategicCase struct {
	APIVersion string          `json:"apiVersion"`
	Kind       string          `json:"kind"`
	Original   json.RawMessage `json:"original"`
	Patch      json.RawMessage `json:"patch"`
}

type strategicOutcome struct {
	Result map[string]any `json:"result,omitempty"`
	Error  string         `json:"error,omitempty"`
	// Class is how the API server answers: BadRequest, Unprocessable or Internal.
	Class string `json:"class,omitempty"`
	Panic string `json:"panic,omitempty"`
}

// askStrategic answers with every outcome that the order of Go's maps leads to in a few attempts.
func askStrategic(question json.RawMessage) (any, error) {
	var asked strategicCase
	if err := json.Unmarshal(question, &asked); err != nil {
		panic("not a case: " + err.Error())
	}
	kind := schema.FromAPIVersionAndKind(asked.APIVersion, asked.Kind)
	shape, err := scheme.Scheme.New(kind)
	if err != nil {
		panic(err.Error())
	}
	var outcomes []strategicOutcome
	for range 3 {
		outcome := patchStrategically(asked, shape)
		known := false
		for _, other := range outcomes {
			known = known || reflect.DeepEqual(other, outcome)
		}
		if !known {
			outcomes = append(outcomes, outcome)
		}
	}
	return outcomes, nil
}

func patchStrategically(asked strategicCase, shape runtime.Object) (outcome strategicOutcome) {
	defer func() {
		if cause := recover(); cause != nil {
			outcome = strategicOutcome{Panic: fmt.Sprint(cause)}
		}
	}()
	result, err := strategicpatch.StrategicMergeMapPatch(decode(asked.Original), decode(asked.Patch), shape)
	if err != nil {
		return strategicOutcome{Error: err.Error(), Class: classify(err)}
	}
	return strategicOutcome{Result: result}
}

// decode reads an object as the API server holds it. The copy has lists without spare room, as those
// that are made from typed objects have.
func decode(text json.RawMessage) map[string]any {
	object := map[string]any{}
	if err := k8sjson.Unmarshal(text, &object); err != nil {
		panic("not an object: " + err.Error())
	}
	return runtime.DeepCopyJSON(object)
}

// classify follows interpretStrategicMergePatchError of the API server's patch handler.
func classify(err error) string {
	for _, refused := range []error{
		mergepatch.ErrBadJSONDoc,
		mergepatch.ErrBadPatchFormatForPrimitiveList,
		mergepatch.ErrBadPatchFormatForRetainKeys,
		mergepatch.ErrBadPatchFormatForSetElementOrderList,
		mergepatch.ErrUnsupportedStrategicMergePatchFormat,
	} {
		if errors.Is(err, refused) {
			return "BadRequest"
		}
	}
	if errors.Is(err, mergepatch.ErrNoListOfLists) || errors.Is(err, mergepatch.ErrPatchContentNotMatchRetainKeys) {
		return "Unprocessable"
	}
	return "Internal"
}
