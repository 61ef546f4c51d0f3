// SPDX-License-Identifier: Apache-2.0

package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var commandRow = regexp.MustCompile("(?m)^\\| `kubectl velo ([a-z]+)[ `]")

// The README's table has every command, once, and no other; and the README leads to every page.
func TestReadmeIsComplete(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	var rows, commands []string
	for _, row := range commandRow.FindAllStringSubmatch(string(text), -1) {
		rows = append(rows, row[1])
	}
	root := newRoot(t)
	root.InitDefaultHelpCmd()
	for _, cmd := range root.Commands() {
		if cmd.Runnable() && !cmd.Hidden {
			commands = append(commands, cmd.Name())
		}
	}
	slices.Sort(rows)
	slices.Sort(commands)
	if !slices.Equal(rows, commands) {
		t.Errorf("the README's table has %q, and the commands are %q", rows, commands)
	}
	there, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range append(there, "commands/kubectl_velo.md") {
		if !strings.Contains(string(text), "](docs/"+filepath.ToSlash(page)+")") {
			t.Errorf("the README doesn't lead to docs/%s", page)
		}
	}
}
