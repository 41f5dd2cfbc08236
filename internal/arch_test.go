// Package internal_test holds the house's rules on which package may import which. The folders show
// which code runs where: in the container (one binary, two processes) or on the host. The
// two meet in the contract alone.
package internal_test

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/matrx/sandbox/"

// pkg is what `go list -json` says of a package of this module.
type pkg struct {
	Name         string
	ImportPath   string
	Dir          string
	GoFiles      []string
	Imports      []string
	Deps         []string
	TestImports  []string
	XTestImports []string
}

func (p pkg) room() string { return strings.TrimPrefix(p.ImportPath, module) }

func packages(t *testing.T) []pkg {
	t.Helper()
	// -e: a package that does not compile at the moment is another test's failure.
	cmd := exec.Command("go", "list", "-e", "-json=Name,ImportPath,Dir,GoFiles,Imports,Deps,TestImports,XTestImports", "./...", "./contract/...")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var list []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
}

// within says whether a room is one of list or below it.
func within(room string, list ...string) bool {
	return slices.ContainsFunc(list, func(l string) bool { return room == l || strings.HasPrefix(room, l+"/") })
}

// The rooms, and what each may import of this module beside its own. The first that matches counts.
var rooms = []struct {
	room  string
	wing  string // container, host, or neither
	below []string
}{
	{"contract", "", nil},
	{"catalog", "", []string{"contract"}},
	{"internal/tarstream", "", nil}, // both ends of a copy
	{"internal/relay", "", nil},     // both ends of a tunnel
	{"internal/unixhttp", "", nil},  // clients in both wings
	{"internal/s3process", "", nil}, // tests, benchmarks and the suite
	{"internal/threads", "container", nil},
	{"internal/logsink", "container", nil},
	{"internal/config", "container", []string{"contract"}},
	{"internal/wire", "container", []string{"contract", "internal/config"}},
	{"internal/pid1", "container", []string{"contract", "internal/config", "internal/wire", "internal/threads", "internal/logsink"}},
	{"internal/execapi", "", nil}, // a server and its clients
	// What it starts, reaps and stops is of PID 1's kind, by the same rules.
	{"internal/execd", "container", []string{"contract", "internal/config", "internal/wire", "internal/threads", "internal/logsink", "internal/execapi", "internal/tarstream", "internal/relay", "internal/pid1/process", "internal/pid1/privilege", "internal/pid1/sigtramp"}},
	{"internal/storage", "container", []string{"contract", "internal/config", "internal/wire", "internal/threads", "internal/logsink", "internal/relay", "internal/unixhttp"}},
	{"cmd/sandbox-init", "container", []string{"contract", "internal/execd", "internal/pid1", "internal/storage", "internal/tarstream"}},
	{"internal/host", "host", []string{"contract", "catalog", "internal/execapi", "internal/tarstream", "internal/relay", "internal/unixhttp"}},
	{"cmd/sandbox", "host", []string{"contract", "catalog", "internal/execapi", "internal/host"}},
}

// container is everything of the one binary of a sandbox that nothing on the host has as well; both
// are what both have.
var container = []string{"cmd/sandbox-init", "internal/pid1", "internal/execd", "internal/storage", "internal/config", "internal/wire", "internal/threads", "internal/logsink"}

var both = []string{"internal/execapi", "internal/tarstream", "internal/relay", "internal/unixhttp"}

// host is everything that runs beside the engine.
var host = []string{"cmd/sandbox", "internal/host"}

func TestWhoMayImportWhom(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range packages(t) {
		for _, r := range rooms {
			if !within(p.room(), r.room) {
				continue
			}
			seen[r.room] = true
			for _, i := range p.Imports {
				target, ours := strings.CutPrefix(i, module)
				if ours && !within(target, append(r.below, r.room)...) {
					t.Errorf("%s imports %s: %s may import only %v and itself", p.room(), target, r.room, r.below)
				}
			}
			break
		}
	}
	for _, r := range rooms {
		if !seen[r.room] {
			t.Errorf("there is no room %s any more: this test does not guard what it says", r.room)
		}
	}
}

// fronts stand before the package that their folder is named for, and are imported by neither it nor what is
// below it: they bring it requests.
var fronts = []string{"internal/storage/cold/fusefs", "internal/storage/cold/httpapi"}

// Arrows point inwards in a folder too: a package below another one serves it, and never imports it. The
// programs that write generated files are no part of what they write.
func TestNoPackageImportsOneAboveIt(t *testing.T) {
	seen := 0
	for _, p := range packages(t) {
		if slices.Contains(fronts, p.room()) {
			seen++
			continue
		}
		if !within(p.room(), "internal") || p.Name == "main" {
			continue
		}
		for _, i := range p.Imports {
			if strings.HasPrefix(p.ImportPath, i+"/") {
				t.Errorf("%s imports %s, the folder that it is in: what both need belongs below both", p.room(), strings.TrimPrefix(i, module))
			}
		}
	}
	if seen != len(fronts) {
		t.Errorf("of %v there are %d: this test excuses what is not there", fronts, seen)
	}
}

// The wings do not meet in tests either; internal/testbed knows neither.
func TestTheWingsAreApart(t *testing.T) {
	for _, p := range packages(t) {
		var others []string
		switch {
		case within(p.room(), container...):
			others = host
		case within(p.room(), host...):
			others = container
		case p.room() == "internal/testbed":
			others = append([]string{"internal/pid1", "internal/execd", "internal/storage", "cmd/sandbox-init"}, host...)
		default:
			continue
		}
		for _, i := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			// storage's names in S3 are what the testbed's oracle reads by.
			if target := strings.TrimPrefix(i, module); within(target, others...) && !(p.room() == "internal/testbed" && target == "internal/storage/posixattr") {
				t.Errorf("%s imports %s, which is in the other wing", p.room(), target)
			}
		}
	}
}

func TestTestRoomsStayOutOfPrograms(t *testing.T) {
	for _, p := range packages(t) {
		if within(p.room(), "internal/testbed", "internal/e2e") {
			continue
		}
		for _, i := range p.Imports {
			if target := strings.TrimPrefix(i, module); within(target, "internal/testbed", "internal/e2e", "testing") || i == "testing" && !within(p.room(), "conformance") {
				t.Errorf("%s imports %s outside of its tests", p.room(), i)
			}
		}
	}
}

// The contract can be imported by anyone, at the price of the standard library and, where it
// reads its data, of a YAML reader.
func TestTheContractStandsAlone(t *testing.T) {
	for _, p := range packages(t) {
		if !within(p.room(), "contract") {
			continue
		}
		for _, i := range p.Imports {
			first, _, _ := strings.Cut(i, "/")
			standard := !strings.Contains(first, ".")
			switch {
			case standard, strings.HasPrefix(i, module+"contract"):
			case p.room() != "contract" && strings.HasPrefix(i, "go.yaml.in/yaml/"):
			default:
				t.Errorf("%s imports %s", p.room(), i)
			}
		}
	}
}

// A module that requires the contract gets the module that reads its data, and in its graph the one that
// its tests compare with: nothing of what the suite or the programs of this repository use.
func TestTheContractBringsNoOtherModules(t *testing.T) {
	cmd := exec.Command("go", "list", "-m", "-f", "{{if not .Main}}{{.Path}}{{end}}", "all")
	cmd.Dir = "../contract"
	cmd.Env = append(os.Environ(), "GOWORK=off")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list -m all: %v", err)
	}
	if got, want := strings.Fields(string(out)), []string{"github.com/google/go-cmp", "go.yaml.in/yaml/v4"}; !slices.Equal(got, want) {
		t.Errorf("it requires %v, not %v", got, want)
	}
}

// What PID 1 links it pays for, in its memory and in its start; it must not hold what it does
// not need at all.
func TestWhatTheBinaryOfASandboxMayNotLink(t *testing.T) {
	for _, p := range packages(t) {
		var forbidden []string
		switch {
		case within(p.room(), "internal/pid1", "internal/wire", "internal/config", "internal/threads", "internal/logsink"):
			forbidden = []string{"net/http", "crypto/tls", "github.com/aws", module + "internal/storage"}
		case within(p.room(), "cmd/sandbox-init", "internal/storage", "internal/execd"):
			forbidden = []string{
				"github.com/aws/aws-sdk-go-v2/config", "github.com/aws/aws-sdk-go-v2/service", // sso and the rest of AWS
				"github.com/alecthomas/kong", "net/http/pprof", "expvar", "html/template", "text/template",
			}
			// go-fuse links os/exec, for a fusermount that is never run here. Our own processes
			// are forked by pid1/process alone: another wait(2) would race with it. A credential_process
			// is a child of the storage process, which PID 1 does not wait for.
			if p.room() != "internal/storage/objectstore/credentials" && slices.Contains(p.Imports, "os/exec") {
				t.Errorf("%s imports os/exec", p.room())
			}
		default:
			continue
		}
		for _, d := range p.Deps {
			if within(d, forbidden...) {
				t.Errorf("%s links %s", p.room(), d)
			}
		}
	}
}

// Package-level work of every linked package runs at each start of PID 1.
func TestNoWorkAtPackageLevelInTheContainer(t *testing.T) {
	costly := []string{"regexp.MustCompile", "regexp.MustCompilePOSIX", "template.Must", "big.NewInt", "rand.New", "json.Marshal", "os.Getenv", "os.ReadFile"}
	for _, p := range packages(t) {
		if !within(p.room(), slices.Concat(container, both)...) {
			continue
		}
		for _, name := range p.GoFiles {
			path := filepath.Join(p.Dir, name)
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				continue // as above: the compiler's business
			}
			for _, decl := range file.Decls {
				switch d := decl.(type) {
				case *ast.FuncDecl:
					if d.Name.Name == "init" && d.Recv == nil {
						t.Errorf("%s has an init function", path)
					}
				case *ast.GenDecl:
					ast.Inspect(d, func(n ast.Node) bool {
						if _, isFunc := n.(*ast.FuncLit); isFunc {
							return false
						}
						call, ok := n.(*ast.CallExpr)
						if !ok {
							return true
						}
						if sel, ok := call.Fun.(*ast.SelectorExpr); ok {
							if x, ok := sel.X.(*ast.Ident); ok && slices.Contains(costly, x.Name+"."+sel.Sel.Name) {
								t.Errorf("%s calls %s.%s at package level", path, x.Name, sel.Sel.Name)
							}
						}
						return true
					})
				}
			}
		}
	}
}
