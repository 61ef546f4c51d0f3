// SPDX-License-Identifier: Apache-2.0

package environment

import (
	"fmt"
	"io"
	"strings"
)

// Format is how an environment is written.
type Format string

// The formats. Whatever is written in one reads back as exactly the same names and values; what a format can't hold is
// refused with a [*RefusedError].
const (
	// Dotenv is a .env file in the dialect of github.com/joho/godotenv. Nearly all values are in single quotes, which a
	// POSIX shell reads the same way.
	Dotenv Format = "dotenv"
	// Shell is export commands for a POSIX shell, to be sourced.
	Shell Format = "shell"
	// Docker is a file for docker run --env-file.
	Docker Format = "docker"
	// JSON is one flat object, name to value.
	JSON Format = "json"
	// YAML is one flat mapping, name to value.
	YAML Format = "yaml"
)

// Formats returns all of them.
func Formats() []Format { return []Format{Dotenv, Shell, Docker, JSON, YAML} }

// ParseFormat returns the format of a name. The error lists those that there are.
func ParseFormat(name string) (Format, error) {
	if _, err := layoutOf(Format(name)); err != nil {
		return "", err
	}
	return Format(name), nil
}

func formatNames() []string {
	names := make([]string, len(Formats()))
	for i, format := range Formats() {
		names[i] = string(format)
	}
	return names
}

// Refusal is a variable that a format can't hold, and why.
type Refusal struct{ Name, Reason string }

// RefusedError says all variables that a format can't hold. Nothing has been written.
type RefusedError struct {
	Format  Format
	Refused []Refusal
}

func (e *RefusedError) Error() string {
	texts := make([]string, len(e.Refused))
	for i, one := range e.Refused {
		texts[i] = fmt.Sprintf("%q: %s", one.Name, one.Reason)
	}
	return fmt.Sprintf("format %s can't hold every variable: %s", e.Format, strings.Join(texts, "; "))
}

// Hint says what a user can do about it.
func (e *RefusedError) Hint() string {
	return fmt.Sprintf("leave it out with --env-exclude '%s', or take another format", e.Refused[0].Name)
}

// Write writes variables, whose names differ, in a format. The error is a [*RefusedError], or the writer's.
func Write(w io.Writer, format Format, variables []Variable) error {
	text, err := encode(format, variables)
	if err != nil {
		return err
	}
	_, err = w.Write(text)
	return err
}

// layout is how a format writes variables: a line for each, or what a quoted value makes several of.
type layout struct {
	// line returns a variable's line, or why the format can't hold it. Values have no NUL byte.
	line func(name, value string) (text, refusal string)
	// What stands before, between and after the lines, and what stands for none.
	begin, between, end, none string
}

func layoutOf(format Format) (layout, error) {
	switch format {
	case Dotenv:
		return layout{line: dotenvLine, between: "\n", end: "\n"}, nil
	case Shell:
		return layout{line: shellLine, between: "\n", end: "\n"}, nil
	case Docker:
		return layout{line: dockerLine, between: "\n", end: "\n"}, nil
	case JSON:
		return layout{line: jsonLine, begin: "{\n", between: ",\n", end: "\n}\n", none: "{}\n"}, nil
	case YAML:
		return layout{line: yamlLine, between: "\n", end: "\n", none: "{}\n"}, nil
	default:
		return layout{}, fmt.Errorf("no format %q, only %s", format, strings.Join(formatNames(), ", "))
	}
}

func encode(format Format, variables []Variable) ([]byte, error) {
	layout, err := layoutOf(format)
	if err != nil {
		return nil, err
	}
	if len(variables) == 0 {
		return []byte(layout.none), nil
	}
	lines := make([]string, len(variables))
	refused := &RefusedError{Format: format}
	for i, one := range variables {
		text, refusal := "", hasNUL
		if !strings.ContainsRune(one.Value, 0) {
			text, refusal = layout.line(one.Name, one.Value)
		}
		if refusal != "" {
			refused.Refused = append(refused.Refused, Refusal{one.Name, refusal})
		}
		lines[i] = text
	}
	if len(refused.Refused) > 0 {
		return nil, refused
	}
	return []byte(layout.begin + strings.Join(lines, layout.between) + layout.end), nil
}

// Reasons that more than one format refuses a variable for.
const (
	hasNUL     = "its value has a NUL byte, which no environment can hold"
	isNotUTF8  = "its value isn't UTF-8"
	isNotAName = "its name isn't one there"
)
