// SPDX-License-Identifier: Apache-2.0

package docs_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

const commandsHeader = "<!-- Written by `make docs` from the code of the commands; edits are lost. -->\n\n"

// Each command has the page that its help makes, and there are no others.
func TestCommandPages(t *testing.T) {
	root := newRoot(t)
	root.DisableAutoGenTag = true // it has today's date
	var written []string
	var write func(*cobra.Command)
	write = func(cmd *cobra.Command) {
		var text strings.Builder
		if err := doc.GenMarkdown(cmd, &text); err != nil {
			t.Fatal(err)
		}
		name := strings.ReplaceAll(cmd.CommandPath(), " ", "_") + ".md"
		written = append(written, name)
		golden(t, filepath.Join("commands", name), commandsHeader+markBlocks(text.String()))
		for _, child := range cmd.Commands() {
			if child.IsAvailableCommand() && !child.IsAdditionalHelpTopicCommand() {
				write(child)
			}
		}
	}
	if *update {
		if err := os.MkdirAll("commands", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(root)
	there, err := filepath.Glob(filepath.Join("commands", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range there {
		if slices.Contains(written, filepath.Base(path)) {
			continue
		}
		if !*update {
			t.Errorf("docs/%s is of no command: run 'make docs'", path)
		} else if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// markBlocks says of the blocks that cobra writes what they are. Examples are of a cluster that there isn't here.
func markBlocks(text string) string {
	lines := strings.Split(text, "\n")
	heading, within := "", false
	for i, line := range lines {
		switch {
		case strings.HasPrefix(line, "### "):
			heading = line
		case line == "```":
			within = !within
			switch {
			case !within:
			case heading == "### Examples":
				lines[i] = "```sh " + needsCluster
			default:
				lines[i] = "```text"
			}
		}
		lines[i] = strings.TrimRight(lines[i], " \t")
	}
	return strings.TrimRight(strings.Join(lines, "\n"), "\n") + "\n"
}
