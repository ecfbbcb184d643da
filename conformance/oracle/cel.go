package main

// CEL rules of custom resources: compilation with its cost estimate, and the verdict over an object
// with what it did cost.

import (
	"context"
	"encoding/json"

	schemacel "k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel/model"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/cel/environment"
)

func init() {
	subjects["cel"] = askCel
}

type compiledRule struct {
	Error          string `json:"error"`
	MessageError   string `json:"messageError"`
	UsesOldSelf    bool   `json:"usesOldSelf"`
	MaxCost        uint64 `json:"maxCost"`
	MaxCardinality uint64 `json:"maxCardinality"`
	MessageMaxCost uint64 `json:"messageMaxCost"`
}

func askCel(question json.RawMessage) (any, error) {
	var asked crdCase
	if err := json.Unmarshal(question, &asked); err != nil {
		return nil, err
	}
	structural, _, err := readSchema(asked.Schema)
	if err != nil {
		return nil, err
	}
	environments := environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion(), true)
	results, err := schemacel.Compile(structural, model.SchemaDeclType(structural, true), celconfig.PerCallLimit, environments, schemacel.NewExpressionsEnvLoader())
	if err != nil {
		return nil, err
	}
	compiled := []compiledRule{}
	for _, result := range results {
		rule := compiledRule{
			UsesOldSelf: result.UsesOldSelf, MaxCost: result.MaxCost,
			MaxCardinality: result.MaxCardinality, MessageMaxCost: result.MessageExpressionMaxCost,
		}
		if result.Error != nil {
			rule.Error = result.Error.Detail
		}
		if result.MessageExpressionError != nil {
			rule.MessageError = result.MessageExpressionError.Detail
		}
		compiled = append(compiled, rule)
	}
	object, err := readAny(asked.Object)
	if err != nil {
		return nil, err
	}
	old, err := readAny(asked.Old)
	if err != nil {
		return nil, err
	}
	validator := schemacel.NewValidator(structural, true, celconfig.PerCallLimit)
	errs, left := validator.Validate(context.Background(), nil, structural, object, old, celconfig.RuntimeCELCostBudget)
	return map[string]any{"rules": compiled, "errors": faultsOf(errs), "left": left}, nil
}

func readAny(raw json.RawMessage) (any, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	content := map[string]interface{}{}
	err := utiljson.Unmarshal(raw, &content)
	return content, err
}
