// SPDX-License-Identifier: Apache-2.0

package dependency

import "strings"

// layout follows the lines, the indentation and the braces of a text, to tell which of its keys stand in the same block,
// be it of YAML, JSON, an INI file or a command line. It never fails: a text without any layout is one block.
type layout struct {
	line int
	// first is where the first word of the line begins, after its indentation.
	first int
	// indents are the blocks around the line by indentation, and braces those by braces.
	indents []indent
	braces  []int
	// blocks is how many there were.
	blocks int
}

type indent struct{ column, block int }

// place is where a key stands.
type place struct{ indent, brace int }

func (l *layout) place() place {
	var p place
	if n := len(l.indents); n > 0 {
		p.indent = l.indents[n-1].block
	}
	if n := len(l.braces); n > 0 {
		p.brace = l.braces[n-1]
	}
	return p
}

// startLine takes notice of the line that begins at start.
func (l *layout) startLine(value string, start int) {
	l.line++
	at := start + blanks(value[start:])
	isItem := false
	for strings.HasPrefix(value[at:], "- ") {
		isItem = true
		at += len("- ")
		at += blanks(value[at:])
	}
	l.first = at
	if at == len(value) || strings.IndexByte("\r\n#", value[at]) >= 0 {
		return // says nothing of blocks
	}
	column := at - start
	isNew := isItem || value[at] == '[' // an item of a list, or the section of an INI file
	for n := len(l.indents); n > 0; n-- {
		if top := l.indents[n-1].column; top < column || top == column && !isNew {
			break
		}
		l.indents = l.indents[:n-1]
	}
	if n := len(l.indents); n == 0 || l.indents[n-1].column < column {
		l.blocks++
		l.indents = append(l.indents, indent{column, l.blocks})
	}
}

// pass takes notice of what is between words.
func (l *layout) pass(c byte) {
	switch c {
	case '{':
		l.blocks++
		l.braces = append(l.braces, l.blocks)
	case '}':
		if n := len(l.braces); n > 0 {
			l.braces = l.braces[:n-1]
		}
	}
}

// blanks returns how many spaces and tabs a text begins with.
func blanks(text string) int { return len(text) - len(strings.TrimLeft(text, " \t")) }
