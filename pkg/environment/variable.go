// SPDX-License-Identifier: Apache-2.0

package environment

import (
	"slices"
	"strings"
)

// Variable is one variable of an environment.
type Variable struct {
	Name  string
	Value string
	// From says where the value is from, for people: "value", "secret/db, key password", "field metadata.name".
	From string
	// Secret is whether the value is, or contains, one of a Secret.
	Secret bool
}

// linkFrom begins the source of variables that are service links.
const linkFrom = "service/"

// ServiceLink reports whether the kubelet adds the variable for a Service of the namespace, without anybody having asked.
func (v Variable) ServiceLink() bool { return strings.HasPrefix(v.From, linkFrom) }

// variables are set by name, and keep the order that their names first appear in.
type variables struct {
	names  []string
	byName map[string]Variable
}

func newVariables() *variables { return &variables{byName: map[string]Variable{}} }

func (v *variables) set(one Variable) {
	if _, ok := v.byName[one.Name]; !ok {
		v.names = append(v.names, one.Name)
	}
	v.byName[one.Name] = one
}

func (v *variables) unset(name string) {
	delete(v.byName, name)
	v.names = slices.DeleteFunc(v.names, func(other string) bool { return other == name })
}
