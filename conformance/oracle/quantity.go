package main

import (
	"encoding/json"

	"k8s.io/apimachinery/pkg/api/resource"
)

func init() { subjects["quantity"] = askQuantity }

// quantityCase is two texts and a factor: each text is read and printed, then both are calculated with.
type quantityCase struct {
	Left   string `json:"left"`
	Right  string `json:"right"`
	Factor int64  `json:"factor"`
	Scale  int32  `json:"scale"`
}

type quantityRead struct {
	Error   string `json:"error,omitempty"`
	Text    string `json:"text,omitempty"`
	Format  string `json:"format,omitempty"`
	Value   int64  `json:"value,omitempty"`
	Milli   int64  `json:"milli,omitempty"`
	Sign    int    `json:"sign,omitempty"`
	Rounded string `json:"rounded,omitempty"`
	Negated string `json:"negated,omitempty"`
	Product string `json:"product,omitempty"`
}

type quantityAnswer struct {
	Left       quantityRead `json:"left"`
	Right      quantityRead `json:"right"`
	Order      int          `json:"order"`
	Sum        string       `json:"sum,omitempty"`
	SumValue   int64        `json:"sumValue,omitempty"`
	Difference string       `json:"difference,omitempty"`
}

func askQuantity(question json.RawMessage) (any, error) {
	var asked quantityCase
	if err := json.Unmarshal(question, &asked); err != nil {
		panic("not a case: " + err.Error())
	}
	answer := quantityAnswer{
		Left:  readQuantity(asked.Left, asked.Factor, resource.Scale(asked.Scale)),
		Right: readQuantity(asked.Right, asked.Factor, resource.Scale(asked.Scale)),
	}
	if answer.Left.Error != "" || answer.Right.Error != "" {
		return answer, nil
	}
	left, right := resource.MustParse(asked.Left), resource.MustParse(asked.Right)
	answer.Order = left.Cmp(right)
	sum := resource.MustParse(asked.Left)
	sum.Add(right)
	answer.Sum, answer.SumValue = sum.String(), sum.Value()
	difference := resource.MustParse(asked.Left)
	difference.Sub(resource.MustParse(asked.Right))
	answer.Difference = difference.String()
	return answer, nil
}

func readQuantity(text string, factor int64, scale resource.Scale) quantityRead {
	quantity, err := resource.ParseQuantity(text)
	if err != nil {
		return quantityRead{Error: err.Error()}
	}
	read := quantityRead{
		Text:   quantity.String(),
		Format: string(quantity.Format),
		Value:  quantity.Value(),
		Milli:  quantity.MilliValue(),
		Sign:   quantity.Sign(),
	}
	rounded := resource.MustParse(text)
	rounded.RoundUp(scale)
	read.Rounded = rounded.String()
	negated := resource.MustParse(text)
	negated.Neg()
	read.Negated = negated.String()
	product := resource.MustParse(text)
	product.Mul(factor)
	read.Product = product.String()
	return read
}
