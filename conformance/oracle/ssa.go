package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"sync"
	"time"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/controller/openapi/builder"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	k8sjson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/client-go/applyconfigurations"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/klog/v2"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

func init() {
	subjects["ssa"] = askApply
	// Refused updates are logged as errors; they are what is asked for here.
	flags := flag.NewFlagSet("klog", flag.ContinueOnError)
	klog.InitFlags(flags)
	_ = flags.Set("logtostderr", "false")
	_ = flags.Set("stderrthreshold", "FATAL")
	klog.SetOutput(io.Discard)
}

// applyCase is one object's life: writes by several managers, one after the other.
type applyCase struct {
	Group       string                         `json:"group"`
	Version     string                         `json:"version"`
	Kind        string                         `json:"kind"`
	Subresource string                         `json:"subresource"`
	Reset       [][]string                     `json:"reset"`
	Only        [][]string                     `json:"only"`
	Schema      *apiextensions.JSONSchemaProps `json:"schema"`
	Operations  []applyOperation               `json:"operations"`
}

type applyOperation struct {
	// Verb is apply or update; the first of either creates.
	Verb    string          `json:"verb"`
	Manager string          `json:"manager"`
	Force   bool            `json:"force"`
	Object  json.RawMessage `json:"object"`
	// Time is what the clock shows, RFC 3339.
	Time string `json:"time"`
}

type applyAnswer struct {
	Object map[string]any       `json:"object,omitempty"`
	Code   int32                `json:"code,omitempty"`
	Text   string               `json:"message,omitempty"`
	Causes []metav1.StatusCause `json:"causes,omitempty"`
}

func askApply(question json.RawMessage) (any, error) {
	var asked applyCase
	if err := k8sjson.Unmarshal(question, &asked); err != nil {
		return nil, err
	}
	kind := schema.GroupVersionKind{Group: asked.Group, Version: asked.Version, Kind: asked.Kind}
	manager, err := fieldManager(kind, &asked)
	if err != nil {
		return nil, err
	}
	live, err := emptyObject(kind)
	if err != nil {
		return nil, err
	}
	answers := make([]applyAnswer, 0, len(asked.Operations))
	for _, operation := range asked.Operations {
		answer, err := perform(manager, live, operation)
		if err != nil {
			return nil, err
		}
		if answer.Object != nil {
			live = &unstructured.Unstructured{Object: runtime.DeepCopyJSON(answer.Object)}
		}
		answers = append(answers, answer)
	}
	return answers, nil
}

func perform(manager *managedfields.FieldManager, live *unstructured.Unstructured, operation applyOperation) (applyAnswer, error) {
	object := &unstructured.Unstructured{}
	if err := k8sjson.Unmarshal(operation.Object, &object.Object); err != nil {
		return applyAnswer{}, err
	}
	var result runtime.Object
	var failed error
	switch operation.Verb {
	case "update":
		result = manager.UpdateNoErrors(live.DeepCopy(), object, operation.Manager)
	case "apply":
		result, failed = manager.Apply(live.DeepCopy(), object, operation.Manager, operation.Force)
	default:
		return applyAnswer{}, fmt.Errorf("no verb %q", operation.Verb)
	}
	if failed != nil {
		answer := applyAnswer{Code: 500, Text: failed.Error()}
		var status *apierrors.StatusError
		if errors.As(failed, &status) {
			answer.Code, answer.Text = status.ErrStatus.Code, status.ErrStatus.Message
			if status.ErrStatus.Details != nil {
				answer.Causes = status.ErrStatus.Details.Causes
			}
		}
		return answer, nil
	}
	written := result.(*unstructured.Unstructured)
	setClock(written, operation.Time)
	return applyAnswer{Object: written.Object}, nil
}

// setClock gives entries that were written just now the time of the case.
func setClock(object *unstructured.Unstructured, now string) {
	entries, found, err := unstructured.NestedSlice(object.Object, "metadata", "managedFields")
	if !found || err != nil {
		return
	}
	for _, entry := range entries {
		fields := entry.(map[string]any)
		text, _ := fields["time"].(string)
		written, err := time.Parse(time.RFC3339, text)
		if err == nil && time.Since(written) < time.Hour {
			fields["time"] = now
		}
	}
	_ = unstructured.SetNestedSlice(object.Object, entries, "metadata", "managedFields")
}

// emptyObject is what a server takes as live before a create.
func emptyObject(kind schema.GroupVersionKind) (*unstructured.Unstructured, error) {
	empty := &unstructured.Unstructured{Object: map[string]any{}}
	if scheme.Scheme.Recognizes(kind) {
		typed, err := scheme.Scheme.New(kind)
		if err != nil {
			return nil, err
		}
		empty.Object, err = runtime.DefaultUnstructuredConverter.ToUnstructured(typed)
		if err != nil {
			return nil, err
		}
	}
	empty.SetGroupVersionKind(kind)
	return empty, nil
}

// world stands for the parts of a server that need no kind: one version, no defaults.
type world struct{}

func (world) Default(runtime.Object) {}

func (world) New(kind schema.GroupVersionKind) (runtime.Object, error) { return emptyObject(kind) }

func (world) Convert(_, _, _ any) error { return errors.New("nothing is converted here") }

func (world) ConvertToVersion(in runtime.Object, _ runtime.GroupVersioner) (runtime.Object, error) {
	return in, nil
}

func (world) ConvertFieldLabel(_ schema.GroupVersionKind, label, value string) (string, string, error) {
	return label, value, nil
}

func fieldManager(kind schema.GroupVersionKind, asked *applyCase) (*managedfields.FieldManager, error) {
	reset := map[fieldpath.APIVersion]fieldpath.Filter{}
	if len(asked.Reset) > 0 {
		set := fieldpath.NewSet()
		for _, names := range asked.Reset {
			path := fieldpath.Path{}
			for _, name := range names {
				path = append(path, fieldpath.FieldNameElement(name))
			}
			set.Insert(path)
		}
		reset[fieldpath.APIVersion(kind.GroupVersion().String())] = fieldpath.NewExcludeSetFilter(set)
	}
	if len(asked.Only) > 0 {
		matchers := []*fieldpath.SetMatcher{}
		for _, names := range asked.Only {
			parts := []any{}
			for _, name := range names {
				if name == "*" {
					parts = append(parts, fieldpath.MatchAnyPathElement())
				} else {
					parts = append(parts, name)
				}
			}
			matcher, err := fieldpath.PrefixMatcher(parts...)
			if err != nil {
				return nil, err
			}
			matchers = append(matchers, matcher)
		}
		reset[fieldpath.APIVersion(kind.GroupVersion().String())] = fieldpath.NewIncludeMatcherFilter(matchers...)
	}
	if asked.Schema == nil {
		return managedfields.NewDefaultFieldManager(builtinTypes(), world{}, world{}, world{}, kind, kind.GroupVersion(), asked.Subresource, reset)
	}
	types, err := customTypes(kind, asked.Schema)
	if err != nil {
		return nil, err
	}
	return managedfields.NewDefaultCRDFieldManager(types, world{}, world{}, world{}, kind, kind.GroupVersion(), asked.Subresource, reset)
}

var builtinTypes = sync.OnceValue(func() managedfields.TypeConverter {
	return applyconfigurations.NewTypeConverter(scheme.Scheme)
})

// customConverters by schema text: building one takes a hundred times as long as a case.
var customConverters = map[string]managedfields.TypeConverter{}

func customTypes(kind schema.GroupVersionKind, props *apiextensions.JSONSchemaProps) (managedfields.TypeConverter, error) {
	text, err := json.Marshal(props)
	if err != nil {
		return nil, err
	}
	key := kind.String() + string(text)
	if known, found := customConverters[key]; found {
		return known, nil
	}
	definition := &apiextensions.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: "things." + kind.Group},
		Spec: apiextensions.CustomResourceDefinitionSpec{
			Group: kind.Group,
			Scope: apiextensions.NamespaceScoped,
			Names: apiextensions.CustomResourceDefinitionNames{Plural: "things", Singular: "thing", Kind: kind.Kind, ListKind: kind.Kind + "List"},
			Versions: []apiextensions.CustomResourceDefinitionVersion{{
				Name: kind.Version, Served: true, Storage: true,
				Schema: &apiextensions.CustomResourceValidation{OpenAPIV3Schema: props},
			}},
		},
	}
	document, err := builder.BuildOpenAPIV3(definition, kind.Version, builder.Options{})
	if err != nil {
		return nil, err
	}
	types, err := managedfields.NewTypeConverter(document.Components.Schemas, false)
	if err != nil {
		return nil, err
	}
	customConverters[key] = types
	return types, nil
}
