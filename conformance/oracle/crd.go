package main

// Definitions of custom resources and their objects: pruning, defaulting, validation, ratcheting.

import (
	"context"
	"encoding/json"
	"reflect"
	"strings"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/install"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	crdvalidation "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	schemacel "k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel/model"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/objectmeta"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/runtime"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/cel/common"
)

var crdScheme = runtime.NewScheme()

func init() {
	install.Install(crdScheme)
	subjects["crd"] = askCrd
}

type crdCase struct {
	// Definition asks for the faults of a whole definition.
	Definition json.RawMessage `json:"definition"`
	Schema     json.RawMessage `json:"schema"`
	Object     json.RawMessage `json:"object"`
	Old        json.RawMessage `json:"old"`
}

type fieldFault struct {
	Type   string `json:"type"`
	Field  string `json:"field"`
	Detail string `json:"detail"`
	Value  any    `json:"value"`
}

func askCrd(question json.RawMessage) (any, error) {
	var asked crdCase
	if err := json.Unmarshal(question, &asked); err != nil {
		return nil, err
	}
	if len(asked.Definition) > 0 {
		return definitionFaults(asked.Definition)
	}
	structural, internal, err := readSchema(asked.Schema)
	if err != nil {
		return nil, err
	}
	if errs := structuralschema.ValidateStructural(field.NewPath("schema"), structural); len(errs) > 0 {
		return map[string]any{"structural": faultsOf(errs)}, nil
	}
	object, unknown, err := readObject(asked.Object, structural)
	if err != nil {
		return nil, err
	}
	validator, _, err := validation.NewSchemaValidator(internal)
	if err != nil {
		return nil, err
	}
	old := map[string]interface{}(nil)
	if len(asked.Old) > 0 && string(asked.Old) != "null" {
		if old, _, err = readObject(asked.Old, structural); err != nil {
			return nil, err
		}
	}
	errs := objectFaults(object, old, structural, validator)
	return map[string]any{"object": object, "unknown": unknown, "errors": faultsOf(errs)}, nil
}

// objectFaults calls what the strategy of custom resources calls, in its order. The strategy itself
// would bring the whole storage with it.
func objectFaults(object, old map[string]interface{}, structural *structuralschema.Structural, validator validation.SchemaValidator) field.ErrorList {
	ctx := context.Background()
	var errs field.ErrorList
	var ratchet []schemacel.Option
	if old == nil {
		errs = append(errs, validation.ValidateCustomResource(nil, object, validator)...)
	} else {
		correlated := common.NewCorrelatedObject(object, old, &model.Structural{Structural: structural})
		errs = append(errs, validation.ValidateCustomResourceUpdate(nil, object, old, validator, validation.WithRatcheting(correlated))...)
		ratchet = append(ratchet, schemacel.WithRatcheting(correlated))
	}
	errs = append(errs, objectmeta.Validate(nil, object, structural, false)...)
	if old == nil || len(listtype.ValidateListSetsAndMaps(nil, structural, old)) == 0 {
		errs = append(errs, listtype.ValidateListSetsAndMaps(nil, structural, object)...)
	}
	rules := schemacel.NewValidator(structural, true, celconfig.PerCallLimit)
	if rules == nil {
		return errs
	}
	for _, err := range errs {
		switch err.Type {
		case field.ErrorTypeNotSupported, field.ErrorTypeRequired, field.ErrorTypeTooLong, field.ErrorTypeTooMany, field.ErrorTypeTypeInvalid:
			return append(errs, field.Invalid(nil, nil, "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation"))
		}
	}
	var before interface{}
	if old != nil {
		before = old
	}
	found, _ := rules.Validate(ctx, nil, structural, object, before, celconfig.RuntimeCELCostBudget, ratchet...)
	return append(errs, found...)
}

func definitionFaults(raw json.RawMessage) (any, error) {
	var versioned apiextensionsv1.CustomResourceDefinition
	if err := json.Unmarshal(raw, &versioned); err != nil {
		return nil, err
	}
	apiextensionsv1.SetObjectDefaults_CustomResourceDefinition(&versioned)
	var internal apiextensions.CustomResourceDefinition
	if err := crdScheme.Convert(&versioned, &internal, nil); err != nil {
		return nil, err
	}
	errs := crdvalidation.ValidateCustomResourceDefinition(context.Background(), &internal)
	return map[string]any{"errors": faultsOf(errs)}, nil
}

func readSchema(raw json.RawMessage) (*structuralschema.Structural, *apiextensions.JSONSchemaProps, error) {
	var versioned apiextensionsv1.JSONSchemaProps
	if err := json.Unmarshal(raw, &versioned); err != nil {
		return nil, nil, err
	}
	var internal apiextensions.JSONSchemaProps
	if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(&versioned, &internal, nil); err != nil {
		return nil, nil, err
	}
	structural, err := structuralschema.NewStructural(&internal)
	return structural, &internal, err
}

// readObject decodes, prunes and defaults in the order of the server.
func readObject(raw json.RawMessage, structural *structuralschema.Structural) (map[string]interface{}, []string, error) {
	content := map[string]interface{}{}
	if err := utiljson.Unmarshal(raw, &content); err != nil {
		return nil, nil, err
	}
	meta, found, unknown, err := objectmeta.GetObjectMetaWithOptions(content, objectmeta.ObjectMetaOptions{ReturnUnknownFieldPaths: true})
	if err != nil {
		return nil, nil, err
	}
	options := structuralschema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true}
	unknown = append(unknown, pruning.PruneWithOptions(content, structural, true, options)...)
	defaulting.PruneNonNullableNullsWithoutDefaults(content, structural)
	fault, paths := objectmeta.CoerceWithOptions(nil, content, structural, false, objectmeta.CoerceOptions{ReturnUnknownFieldPaths: true})
	if fault != nil {
		return nil, nil, fault
	}
	unknown = append(unknown, paths...)
	if found {
		if err := objectmeta.SetObjectMeta(content, meta); err != nil {
			return nil, nil, err
		}
	}
	defaulting.Default(content, structural)
	return content, unknown, nil
}

func faultsOf(errs field.ErrorList) []fieldFault {
	faults := []fieldFault{}
	for _, err := range errs {
		value := err.BadValue
		if err.Type == field.ErrorTypeTooLong || err.Type == field.ErrorTypeRequired || err.Type == field.ErrorTypeForbidden {
			value = nil
		}
		// Go types have no JSON form of their own; what they print is not compared.
		if kind := reflect.TypeOf(value); kind != nil && strings.Contains(kind.String(), "apiextensions") {
			value = nil
		}
		faults = append(faults, fieldFault{Type: string(err.Type), Field: err.Field, Detail: err.Detail, Value: value})
	}
	return faults
}
