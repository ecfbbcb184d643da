package main

import (
	"encoding/json"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
)

func init() { subjects["selector"] = askSelector }

// selectorCase is a selector in one of three forms and what it is asked about.
type selectorCase struct {
	// Form is labels, fields or json.
	Form     string                `json:"form"`
	Text     string                `json:"text"`
	Selector *metav1.LabelSelector `json:"selector"`
	Set      map[string]string     `json:"set"`
	// Key is asked for its exact match.
	Key string `json:"key"`
}

type selectorAnswer struct {
	Text    string `json:"text"`
	Matches bool   `json:"matches"`
	Empty   bool   `json:"empty"`
	Exact   string `json:"exact"`
	Found   bool   `json:"found"`
}

func askSelector(question json.RawMessage) (any, error) {
	var asked selectorCase
	if err := json.Unmarshal(question, &asked); err != nil {
		panic("not a case: " + err.Error())
	}
	switch asked.Form {
	case "fields":
		return askFields(asked)
	case "json":
		selector, err := metav1.LabelSelectorAsSelector(asked.Selector)
		if err != nil {
			return nil, err
		}
		return answerLabels(asked, selector), nil
	default:
		selector, err := labels.Parse(asked.Text)
		if err != nil {
			return nil, err
		}
		return answerLabels(asked, selector), nil
	}
}

func answerLabels(asked selectorCase, selector labels.Selector) selectorAnswer {
	exact, found := selector.RequiresExactMatch(asked.Key)
	return selectorAnswer{
		Text:    selector.String(),
		Matches: selector.Matches(labels.Set(asked.Set)),
		Empty:   selector.Empty(),
		Exact:   exact,
		Found:   found,
	}
}

func askFields(asked selectorCase) (any, error) {
	selector, err := fields.ParseSelector(asked.Text)
	if err != nil {
		return nil, err
	}
	exact, found := selector.RequiresExactMatch(asked.Key)
	return selectorAnswer{
		Text:    selector.String(),
		Matches: selector.Matches(fields.Set(asked.Set)),
		Empty:   selector.Empty(),
		Exact:   exact,
		Found:   found,
	}, nil
}
