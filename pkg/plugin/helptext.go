// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"fmt"
	"io"
	"regexp"
	"strings"

	"k8s.io/kubectl/pkg/util/term"
)

// Help is as wide as the terminal, but no wider than can be read well, and no narrower than pflag wraps tables of flags.
const (
	leastHelpWidth = 40
	mostHelpWidth  = 100
	// anyHelpWidth is what it is wrapped to for a file or a pager.
	anyHelpWidth = 80
)

// helpWidth is the width, in columns, of help that is written to w.
func helpWidth(w io.Writer) int {
	size := term.TTY{Out: w}.GetSize()
	if size == nil || size.Width == 0 {
		return anyHelpWidth
	}
	return min(max(int(size.Width), leastHelpWidth), mostHelpWidth)
}

const (
	// asItIs is the indentation of lines of a text that are not wrapped: commands to be copied.
	asItIs = "    "
	// itemMark begins an item of a list.
	itemMark = "- "
	// commentMark begins a line of examples that is none.
	commentMark = "# "
)

// wrapText wraps a text's paragraphs. Lines with the same indentation are a paragraph, and so is each line of a list; those
// with an indentation of [asItIs] or more stay as they are.
func wrapText(text string, width int) string {
	var b strings.Builder
	var paragraph, indent string
	end := func() {
		first, rest := indent, indent
		if item, ok := strings.CutPrefix(paragraph, itemMark); ok {
			first, rest, paragraph = first+itemMark, rest+strings.Repeat(" ", len(itemMark)), item
		}
		if paragraph != "" {
			b.WriteString(first + wrapped(paragraph, rest, width) + "\n")
		}
		paragraph = ""
	}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, " \n")
		said := strings.TrimLeft(line, " ")
		depth := line[:len(line)-len(said)]
		switch {
		case said == "" || strings.HasPrefix(depth, asItIs):
			end()
			b.WriteString(line + "\n")
		case paragraph != "" && depth == indent && !strings.HasPrefix(said, itemMark):
			paragraph += " " + said
		default:
			end()
			paragraph, indent = said, depth
		}
	}
	end()
	return b.String()
}

// wrapExamples wraps the comments of examples. What they are about is to be copied, and stays in one line.
func wrapExamples(examples string, width int) string {
	lines := strings.Split(examples, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, " ")
		if indent, comment, ok := strings.Cut(line, commentMark); ok && strings.TrimSpace(indent) == "" {
			lines[i] = line[:len(line)-len(comment)] + wrapped(comment, indent+commentMark, width)
		}
	}
	return strings.Join(lines, "\n")
}

// choice is a part of a usage line that is not to be torn apart.
var choice = regexp.MustCompile(`\[[^\]]*\]|\([^)]*\)`)

// wrapUsage wraps the line that says how a command is called between its parts.
func wrapUsage(line, indent string, width int) string {
	const noBreak = "\u00a0"
	line = choice.ReplaceAllStringFunc(line, func(part string) string { return strings.ReplaceAll(part, " ", noBreak) })
	return indent + strings.ReplaceAll(wrapped(line, indent+indent, width), noBreak, " ")
}

// wrapped breaks a text of one paragraph into lines. All but the first are indented by indent; that one is to follow
// something that is as long as it.
func wrapped(text, indent string, width int) string {
	var b strings.Builder
	_, _ = fmt.Fprint(term.NewWordWrapWriter(&b, uint(max(width-len(indent), 1))), text)
	return strings.ReplaceAll(b.String(), "\n", "\n"+indent)
}

// padding is a blank that a paragraph begins with.
var padding = regexp.MustCompile(`(?m)^ (\S)`)

// unpadded removes the blank that templates.LongDesc begins paragraphs with: kubectl's renderer of Markdown writes one
// before each line that it joins to the one before, and before the first of a paragraph, too.
func unpadded(text string) string { return padding.ReplaceAllString(text, "$1") }
