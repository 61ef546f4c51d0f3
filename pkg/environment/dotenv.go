// SPDX-License-Identifier: Apache-2.0

package environment

import (
	"strings"
	"unicode/utf8"
)

// dotenvLine writes a variable in the first of the dialect's three ways that can hold its value:
//
//   - in single quotes, where everything is itself. The reader takes a quote after a backslash for an escaped one
//     without removing the backslash, and CR LF for LF, so neither may be in it;
//   - in double quotes, where a backslash escapes and $ refers to variables. Here, too, a closing quote after a
//     backslash closes nothing, and the reader removes every quote at the end, so a value may end with neither;
//   - without quotes, up to the line's end. Space around it and comments are removed, and $ refers to variables.
//
// Names are letters, digits, underscores and dots.
func dotenvLine(name, value string) (line, refusal string) {
	switch {
	case !isDotenvName(name):
		return "", isNotAName + ": letters, digits, _ and . are"
	case !utf8.ValidString(value):
		return "", isNotUTF8
	case !strings.Contains(value, "'") && !strings.HasSuffix(value, `\`) && !strings.Contains(value, "\r\n"):
		return name + "='" + value + "'", ""
	case !strings.HasSuffix(value, `"`) && !strings.HasSuffix(value, `\`):
		escaped := strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`, "`", "\\`", "\n", `\n`, "\r", `\r`).Replace(value)
		return name + `="` + escaped + `"`, ""
	case !strings.ContainsAny(value, "\r\n") && !strings.HasPrefix(value, `"`) && !strings.HasPrefix(value, "'") &&
		!strings.Contains(value, "#") && value == strings.TrimSpace(value):
		return name + "=" + strings.ReplaceAll(value, `$`, `\$`), ""
	default:
		return "", "no way of quoting keeps all the quotes, backslashes and line breaks of its value"
	}
}

func isDotenvName(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return !isLetter(r) && (r < '0' || r > '9') && r != '_' && r != '.'
	})
}

func isLetter(r rune) bool { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' }
