// SPDX-License-Identifier: Apache-2.0

package environment

import "strings"

// expand replaces the references $(NAME) in a value by what lookup knows, as the kubelet does: a reference to what it
// doesn't know stays as it is, $$ is a $ that begins no reference, and any other $ is itself.
// See https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/.
func expand(value string, lookup func(name string) (string, bool)) string {
	var out strings.Builder
	for {
		before, after, found := strings.Cut(value, "$")
		out.WriteString(before)
		if !found {
			return out.String()
		}
		if rest, escaped := strings.CutPrefix(after, "$"); escaped {
			out.WriteByte('$')
			value = rest
			continue
		}
		if reference, opened := strings.CutPrefix(after, "("); opened {
			if name, rest, closed := strings.Cut(reference, ")"); closed {
				if known, ok := lookup(name); ok {
					out.WriteString(known)
				} else {
					out.WriteString("$(" + name + ")")
				}
				value = rest
				continue
			}
		}
		out.WriteByte('$')
		value = after
	}
}
