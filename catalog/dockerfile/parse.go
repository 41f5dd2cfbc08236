package dockerfile

import (
	"bytes"
	"fmt"
	"maps"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

// File is a Dockerfile that was read.
type File struct {
	path   string
	data   []byte
	args   []instructions.ArgCommand // those before the first FROM
	stages []instructions.Stage
	lex    *shell.Lex
}

// Parse reads a Dockerfile; path is for messages alone.
func Parse(path string, data []byte) (*File, error) {
	tree, err := parser.Parse(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", path, err)
	}
	stages, args, err := instructions.Parse(tree.AST, nil)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", path, err)
	}
	return &File{path: path, data: data, args: args, stages: stages, lex: shell.NewLex(tree.EscapeToken)}, nil
}

// Stages lists the names of the stages, in their order; one without a name is "".
func (f *File) Stages() []string {
	var names []string
	for _, s := range f.stages {
		names = append(names, s.Name)
	}
	return names
}

// stage finds one by its name, as FROM and --from do: the last of that name before the
// stage `before`. A number is a name for COPY --from.
func (f *File) stage(name string, before int) int {
	for i := before - 1; i >= 0; i-- {
		if f.stages[i].Name != "" && strings.EqualFold(f.stages[i].Name, name) {
			return i
		}
	}
	for i := range before {
		if name == fmt.Sprint(i) {
			return i
		}
	}
	return -1
}

// target is the stage that is built; "" is the last one.
func (f *File) target(name string) (int, error) {
	if name == "" {
		return len(f.stages) - 1, nil
	}
	if i := f.stage(name, len(f.stages)); i >= 0 {
		return i, nil
	}
	return 0, fmt.Errorf("%s has no stage %q; it has %q", f.path, name, f.Stages())
}

// platformArgs are those that the builder sets; a stage sees them when it declares them
// (Dockerfile reference, "Automatic platform ARGs in the global scope").
var platformArgs = []string{"TARGETPLATFORM", "TARGETOS", "TARGETARCH", "TARGETVARIANT", "BUILDPLATFORM", "BUILDOS", "BUILDARCH", "BUILDVARIANT"}

// global are the arguments that FROM may use: those given, else the file's own.
func (f *File) global(given map[string]string) (map[string]string, error) {
	known := map[string]string{}
	for _, name := range platformArgs {
		if v, ok := given[name]; ok {
			known[name] = v
		}
	}
	for _, a := range f.args {
		if err := f.declare(a, known, given, nil); err != nil {
			return nil, err
		}
	}
	return known, nil
}

// declare adds what an ARG instruction makes known: the value given, else its default,
// else what the file says before its first FROM (outer).
func (f *File) declare(a instructions.ArgCommand, known, given, outer map[string]string) error {
	for _, kv := range a.Args {
		if v, ok := given[kv.Key]; ok {
			known[kv.Key] = v
			continue
		}
		if kv.Value == nil {
			if v, ok := outer[kv.Key]; ok {
				known[kv.Key] = v
			}
			continue
		}
		v, err := f.expand(*kv.Value, known, a.Location())
		if err != nil {
			return err
		}
		known[kv.Key] = v
	}
	return nil
}

// expand replaces ${NAME}. A name without a value is an error: what depends on it could
// not be told from the text.
func (f *File) expand(word string, known map[string]string, at []parser.Range) (string, error) {
	var env []string
	for k, v := range maps.All(known) {
		env = append(env, k+"="+v)
	}
	r, err := f.lex.ProcessWordWithMatches(word, shell.EnvsFromSlice(env))
	if err != nil {
		return "", fmt.Errorf("%s:%d: %q: %w", f.path, line(at), word, err)
	}
	for name := range r.Unmatched {
		return "", fmt.Errorf("%s:%d: %q: %s has no value here; give it a default (ARG %s=...), and declare it in this stage", f.path, line(at), word, name, name)
	}
	return r.Result, nil
}

func line(at []parser.Range) int {
	if len(at) == 0 {
		return 0
	}
	return at[0].Start.Line
}

// text is what the file has in the lines of an instruction.
func (f *File) text(at []parser.Range) string {
	lines := strings.Split(string(f.data), "\n")
	var b strings.Builder
	for _, r := range at {
		for l := r.Start.Line; l <= r.End.Line && l <= len(lines); l++ {
			b.WriteString(strings.TrimRight(lines[l-1], " \t\r"))
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// Defaults are the values that the arguments before the first FROM have by themselves.
func (f *File) Defaults() (map[string]string, error) { return f.global(nil) }
