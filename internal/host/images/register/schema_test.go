package register

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/matrx/sandbox/contract"
)

// What a validator of all of JSON Schema says of a document, ours says too.
func TestTheSchemaIsReadAsItIsMeant(t *testing.T) {
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(contract.ManifestSchema))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("manifest", parsed); err != nil {
		t.Fatal(err)
	}
	whole, err := c.Compile("manifest")
	if err != nil {
		t.Fatal(err)
	}
	const full = `,"parent_image":null,"environment":{"A":"b"},"languages":["c"],"tasks":[],"versions":{"bash":"5.2"}}`
	good := manifest[:len(manifest)-1] + full
	// What stands in the place of a value: each of them right somewhere.
	values := []string{`null`, `true`, `""`, `"x"`, `"X y"`, `"1.0.0"`, `"1.0"`, `"core"`, `"full"`, `-1`, `0`, `0.5`, `1`, `64`, `64.0`, `1e3`, `[]`, `["a"]`, `["a","a"]`, `["A"]`, `[1]`, `[null]`, `{}`, `{"a":"1"}`, `{"A":"1.2.3.4.5"}`, `{"a":1}`}
	agrees := func(t *testing.T, document []byte) bool {
		t.Helper()
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
		if err != nil {
			t.Fatalf("%s: %v", document, err)
		}
		want, got := whole.Validate(value), validate(document)
		if (want == nil) != (got == nil) {
			t.Fatalf("%s:\nours: %v\nthe whole: %v", document, got, want)
		}
		return got == nil
	}
	if !agrees(t, []byte(good)) {
		t.Fatal("the good one is refused")
	}
	// Each field, and each field of those that have some: another value, and none at all.
	for _, of := range []string{"", "contract", "resource_limits", "environment", "versions"} {
		var m map[string]any
		if err := json.Unmarshal([]byte(good), &m); err != nil {
			t.Fatal(err)
		}
		at := m
		if of != "" {
			at = m[of].(map[string]any)
		}
		for _, name := range append(slices.Sorted(maps.Keys(at)), "more", "More") {
			was, there := at[name]
			for _, text := range append(values, "") {
				at[name] = json.RawMessage(text)
				if text == "" {
					delete(at, name)
				}
				document, err := json.Marshal(m)
				if err != nil {
					t.Fatal(err)
				}
				agrees(t, document)
			}
			if at[name] = was; !there {
				delete(at, name)
			}
		}
	}
}

// A schema that says more than is read here is not half read.
func TestUnknownKeywordsAreErrors(t *testing.T) {
	var s schema
	if err := json.Unmarshal([]byte(`{"properties":{"a":{"maxLength":3}}}`), &s); err == nil || !strings.Contains(err.Error(), "maxLength") {
		t.Errorf("it is read with %v", err)
	}
}
