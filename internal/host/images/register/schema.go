package register

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/matrx/sandbox/contract"
)

// schema is the part of JSON Schema 2020-12 that the contract's schema is written in. It
// is read here because a validator for all of it takes 4 ms of every start of the program, as much
// as all else of `sandbox select`; the tests compare both. A keyword that is not known is an error.
type schema struct {
	// These say nothing of a value.
	Schema      string `json:"$schema"`
	ID          string `json:"$id"`
	Title       string
	Description string

	Type                 any
	Enum                 []any
	Pattern              string
	MinLength            int
	Minimum              *float64
	ExclusiveMinimum     *float64
	Required             []string
	Properties           map[string]*schema
	PropertyNames        *schema
	AdditionalProperties *schema
	Items                *schema
	UniqueItems          bool
	Ref                  string             `json:"$ref"`
	Defs                 map[string]*schema `json:"$defs"`
}

// UnmarshalJSON refuses keywords that are not known.
func (s *schema) UnmarshalJSON(data []byte) error {
	type fields schema
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	return d.Decode((*fields)(s))
}

// validate says all that is wrong with a document.
func validate(document []byte) error {
	var root schema
	if err := json.Unmarshal(contract.ManifestSchema, &root); err != nil {
		return fmt.Errorf("cannot read the schema: %w", err)
	}
	var value any
	if err := json.Unmarshal(document, &value); err != nil {
		return err
	}
	var errs []error
	root.check(&root, "", value, func(at, format string, args ...any) {
		if at == "" {
			at = "it"
		}
		errs = append(errs, fmt.Errorf("%s: "+format, append([]any{at}, args...)...))
	})
	return errors.Join(errs...)
}

func (s *schema) check(root *schema, at string, value any, bad func(at, format string, args ...any)) {
	if s.Ref != "" {
		root.Defs[strings.TrimPrefix(s.Ref, "#/$defs/")].check(root, at, value, bad)
	}
	if s.Type != nil && !s.typed(value) {
		bad(at, "is %s, and must be of type %v", kind(value), s.Type)
		return
	}
	if s.Enum != nil && !slices.Contains(s.Enum, value) {
		bad(at, "%v must be one of %v", value, s.Enum)
	}
	switch v := value.(type) {
	case string:
		if s.Pattern != "" && !regexp.MustCompile(s.Pattern).MatchString(v) {
			bad(at, "%q must match %s", v, s.Pattern)
		}
		if utf8.RuneCountInString(v) < s.MinLength {
			bad(at, "must have %d letters or more", s.MinLength)
		}
	case float64:
		if s.Minimum != nil && v < *s.Minimum {
			bad(at, "%v must be %v or more", v, *s.Minimum)
		}
		if s.ExclusiveMinimum != nil && v <= *s.ExclusiveMinimum {
			bad(at, "%v must be more than %v", v, *s.ExclusiveMinimum)
		}
	case []any:
		for i, item := range v {
			if s.Items != nil {
				s.Items.check(root, fmt.Sprintf("%s/%d", at, i), item, bad)
			}
			if s.UniqueItems && slices.ContainsFunc(v[:i], func(other any) bool { return reflect.DeepEqual(other, item) }) {
				bad(at, "has %v twice", item)
			}
		}
	case map[string]any:
		s.object(root, at, v, bad)
	}
}

func (s *schema) object(root *schema, at string, v map[string]any, bad func(at, format string, args ...any)) {
	for _, name := range s.Required {
		if _, ok := v[name]; !ok {
			bad(at, "the field '%s' is missing", name)
		}
	}
	for name, field := range v {
		if s.PropertyNames != nil {
			s.PropertyNames.check(root, at+"/"+name, name, bad)
		}
		if of, ok := s.Properties[name]; ok {
			of.check(root, at+"/"+name, field, bad)
		} else if s.AdditionalProperties != nil {
			s.AdditionalProperties.check(root, at+"/"+name, field, bad)
		}
	}
}

// typed says whether a value is of one of the types.
func (s *schema) typed(value any) bool {
	types, ok := s.Type.([]any)
	if !ok {
		types = []any{s.Type}
	}
	is := kind(value)
	return slices.Contains(types, any(is)) || is == "number" && slices.Contains(types, any("integer")) && value.(float64) == math.Trunc(value.(float64))
}

func kind(value any) string {
	switch value.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		return "string"
	case float64:
		return "number"
	case []any:
		return "array"
	}
	return "object"
}
