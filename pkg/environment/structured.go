// SPDX-License-Identifier: Apache-2.0

package environment

import (
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"
)

// jsonLine writes a member of an object. JSON can only hold UTF-8, and what else there is would be replaced.
func jsonLine(name, value string) (line, refusal string) {
	if !utf8.ValidString(value) {
		return "", isNotUTF8
	}
	return "  " + jsonString(name) + ": " + jsonString(value), ""
}

// jsonString is the JSON of a string, with & and the like as they are.
func jsonString(text string) string {
	var out strings.Builder
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text) // of a string, into memory: there is nothing that could fail
	return strings.TrimSuffix(out.String(), "\n")
}

// yamlLine writes an entry of a mapping, both of it in double quotes, so that nothing is taken for a number or a
// boolean. The escapes of Go are among those of YAML, see https://yaml.org/spec/1.2.2/#57-escaped-characters, and what
// isn't escaped is printable. Libraries that choose the quotes by themselves lose some line breaks and control
// characters.
func yamlLine(name, value string) (line, refusal string) {
	if !utf8.ValidString(value) {
		return "", isNotUTF8
	}
	return strconv.Quote(name) + ": " + strconv.Quote(value), ""
}
