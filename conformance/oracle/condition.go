package main

// Conditions and selectors of pipelines: CEL as the pipelines backend evaluates it, with the library that it uses. A
// task's parameters are values of protobuf, whose numbers are doubles; `parseJson` is the one function of its own.

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
)

func init() { subjects["condition"] = askCondition }

// conditionCase has either parameters, for a condition, or a value, for a selector.
type conditionCase struct {
	Expression string                     `json:"expression"`
	Parameters map[string]json.RawMessage `json:"parameters"`
	From       json.RawMessage            `json:"from"`
}

var parseJSON = cel.Function("parseJson", cel.Overload("parse_json", []*cel.Type{cel.StringType}, cel.DynType,
	cel.UnaryBinding(func(text ref.Val) ref.Val {
		var found any
		if err := json.Unmarshal([]byte(text.Value().(string)), &found); err != nil {
			return types.NewErr("failed to unmarshal JSON: %s", err)
		}
		return types.DefaultTypeAdapter.NativeToValue(found)
	})))

func askCondition(question json.RawMessage) (any, error) {
	var asked conditionCase
	if err := json.Unmarshal(question, &asked); err != nil {
		return nil, err
	}
	if asked.Parameters == nil {
		return selected(asked)
	}
	values := map[string]any{}
	for name, raw := range asked.Parameters {
		value := &structpb.Value{}
		if err := protojson.Unmarshal(raw, value); err != nil {
			return nil, err
		}
		values[name] = value
	}
	inputs := cel.MapType(cel.StringType, cel.MapType(cel.StringType, cel.DynType))
	result, err := evaluated(asked.Expression, map[string]any{"inputs": map[string]any{"parameter_values": values}},
		cel.Variable("inputs", inputs))
	if err != nil {
		return nil, err
	}
	holds, ok := result.Value().(bool)
	if !ok {
		return nil, fmt.Errorf("return type is not bool, got %v", result)
	}
	return holds, nil
}

// selected answers `parameterExpressionSelector`.
func selected(asked conditionCase) (any, error) {
	value := &structpb.Value{}
	if err := protojson.Unmarshal(asked.From, value); err != nil {
		return nil, err
	}
	encoded, err := json.Marshal(value.AsInterface())
	if err != nil {
		return nil, err
	}
	text := string(encoded)
	fields := map[string]any{}
	switch kind := value.Kind.(type) {
	case *structpb.Value_StringValue:
		text = kind.StringValue
	case *structpb.Value_NumberValue:
		text = strconv.FormatFloat(kind.NumberValue, 'f', -1, 64)
		fields["number_value"] = kind.NumberValue
	case *structpb.Value_BoolValue:
		fields["bool_value"] = kind.BoolValue
	case *structpb.Value_ListValue:
		fields["list_value"] = kind.ListValue
	case *structpb.Value_StructValue:
		fields["struct_value"] = kind.StructValue
	}
	fields["string_value"] = text
	result, err := evaluated(asked.Expression, fields, cel.DeclareContextProto(value.ProtoReflect().Descriptor()))
	if err != nil {
		return nil, err
	}
	switch raw := result.Value().(type) {
	case proto.Message:
		encoded, err := protojson.Marshal(raw)
		return json.RawMessage(encoded), err
	default:
		found, err := structpb.NewValue(raw)
		if err != nil {
			return nil, err
		}
		return found.AsInterface(), nil
	}
}

func evaluated(expression string, fields map[string]any, options ...cel.EnvOption) (ref.Val, error) {
	environment, err := cel.NewEnv(append(options, parseJSON)...)
	if err != nil {
		return nil, err
	}
	ast, issues := environment.Compile(expression)
	if issues != nil && issues.Err() != nil {
		return nil, issues.Err()
	}
	program, err := environment.Program(ast)
	if err != nil {
		return nil, err
	}
	result, _, err := program.Eval(fields)
	return result, err
}
