// SPDX-License-Identifier: Apache-2.0

package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var (
	link       = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	makeTarget = regexp.MustCompile("(?:`|\\$ )make ([a-z][a-z0-9-]*)")
	testName   = regexp.MustCompile("`(Test[A-Z][A-Za-z0-9]*)`")
	definition = regexp.MustCompile(`(?m)^([a-z][a-z0-9-]*):`)
)

// Links between files lead to files, `make` names targets, and tests that are named are there.
func TestReferences(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join("..", "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	var targets []string
	for _, found := range definition.FindAllStringSubmatch(string(makefile), -1) {
		targets = append(targets, found[1])
	}
	tests := testNames(t)
	counts := make(map[string]int)
	for _, p := range pages(t) {
		for _, found := range link.FindAllStringSubmatch(p.text, -1) {
			to, _, _ := strings.Cut(found[1], "#")
			if to == "" || strings.Contains(to, "://") || strings.HasPrefix(to, "mailto:") {
				continue
			}
			counts["links"]++
			if _, err := os.Stat(filepath.Join("..", filepath.FromSlash(path.Join(path.Dir(p.path), to)))); err != nil {
				t.Errorf("%s: the link to %s leads nowhere", p.path, found[1])
			}
		}
		for line := range strings.Lines(p.text) {
			for _, found := range makeTarget.FindAllStringSubmatch(line, -1) {
				counts["targets"]++
				if !slices.Contains(targets, found[1]) {
					t.Errorf("%s: there is no target for 'make %s'", p.path, found[1])
				}
			}
		}
		for _, found := range testName.FindAllStringSubmatch(p.text, -1) {
			counts["tests"]++
			if !slices.Contains(tests, found[1]) {
				t.Errorf("%s: there is no test %s", p.path, found[1])
			}
		}
	}
	t.Logf("looked up: %v", counts)
	for _, kind := range []string{"links", "targets", "tests"} {
		if counts[kind] == 0 {
			t.Errorf("no %s were found", kind)
		}
	}
}

// testNames are those of all tests of the repository, whichever builds they are in.
func testNames(t *testing.T) []string {
	t.Helper()
	declared := regexp.MustCompile(`(?m)^func (Test[A-Za-z0-9_]+)\(`)
	var names []string
	eachGoFile(t, "..", func(file string, text []byte) {
		if strings.HasSuffix(file, "_test.go") {
			for _, found := range declared.FindAllSubmatch(text, -1) {
				names = append(names, string(found[1]))
			}
		}
	})
	return names
}

func eachGoFile(t *testing.T, below string, visit func(file string, text []byte)) {
	t.Helper()
	err := filepath.WalkDir(below, func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && file != below && strings.HasPrefix(d.Name(), "."):
			return filepath.SkipDir
		case d.IsDir() || filepath.Ext(file) != ".go":
			return nil
		}
		text, err := os.ReadFile(file)
		if err == nil {
			visit(file, text)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

var (
	symptom = regexp.MustCompile("(?m)^### `(.*)`$")
	verb    = regexp.MustCompile(`%[-+#0-9.\[\]]*[a-zA-Z]`)
)

// The messages that the page of troubleshooting is ordered by are ones that the code has: with … for what differs.
func TestSymptomsAreMessages(t *testing.T) {
	text, err := os.ReadFile("troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	messages := messagesOfCode(t)
	found := symptom.FindAllStringSubmatch(string(text), -1)
	for _, one := range found {
		pattern := strings.ReplaceAll(regexp.QuoteMeta(strings.Trim(one[1], "… ")), "…", ".*")
		said := regexp.MustCompile(pattern)
		if len(strings.ReplaceAll(one[1], "…", "")) < 10 || !slices.ContainsFunc(messages, said.MatchString) {
			t.Errorf("nothing in the code says %q", one[1])
		}
	}
	t.Logf("messages: %d", len(found))
	if len(found) < 10 {
		t.Errorf("only %d messages were found", len(found))
	}
}

// messagesOfCode are the string literals of the plugin's and the traffic-proxy's code, added up where they are, with … for
// what is filled in.
func messagesOfCode(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, below := range []string{filepath.Join("..", "pkg"), filepath.Join("..", "cmd")} {
		eachGoFile(t, below, func(file string, text []byte) {
			if strings.HasSuffix(file, "_test.go") {
				return
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), file, text, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(parsed, func(node ast.Node) bool {
				expression, ok := node.(ast.Expr)
				if !ok {
					return true
				}
				if said, ok := literal(expression); ok {
					all = append(all, verb.ReplaceAllString(said, "…"))
					return false
				}
				return true
			})
		})
	}
	return all
}

// literal returns what a literal, or a sum of them, says.
func literal(expression ast.Expr) (string, bool) {
	switch e := expression.(type) {
	case *ast.BasicLit:
		if e.Kind != token.STRING {
			return "", false
		}
		said, err := strconv.Unquote(e.Value)
		return said, err == nil
	case *ast.BinaryExpr:
		left, leftIs := literal(e.X)
		right, rightIs := literal(e.Y)
		return left + right, e.Op == token.ADD && leftIs && rightIs
	}
	return "", false
}
