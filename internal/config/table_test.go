package config

import (
	"os"
	"testing"
)

func TestTheREADMEHasTheTable(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	want, err := WithTable(string(text))
	if err != nil {
		t.Fatal(err)
	}
	if string(text) != want {
		t.Error("README.md differs from internal/config: run go generate ./internal/config")
	}
	if _, err := WithTable("no marks"); err == nil {
		t.Error("a text without the marks is no error")
	}
}
