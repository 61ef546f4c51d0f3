// SPDX-License-Identifier: Apache-2.0

package environment

import (
	"bufio"
	"strings"
	"unicode/utf8"
)

// dockerLine writes a variable as docker run --env-file reads it: everything after the first = up to the line's end is
// the value, quotes and space included. A line is less than [bufio.MaxScanTokenSize] bytes of UTF-8, and a CR at its
// end is part of the line break. Names have no space, and a line that begins with # is a comment.
// See https://pkg.go.dev/github.com/docker/cli/pkg/kvfile.
func dockerLine(name, value string) (line, refusal string) {
	line = name + "=" + value
	switch {
	case name == "" || strings.Contains(name, " ") || strings.HasPrefix(name, "#"):
		return "", isNotAName + ": there is no space in it, and no # first"
	case strings.Contains(value, "\n"):
		return "", "its value has a line break"
	case strings.HasSuffix(value, "\r"):
		return "", "its value ends with a carriage return"
	case len(line) >= bufio.MaxScanTokenSize:
		return "", "it's too long for a line of 64 KiB"
	case !utf8.ValidString(value):
		return "", isNotUTF8
	default:
		return line, ""
	}
}
