// SPDX-License-Identifier: Apache-2.0

package dependency

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Drop returns the dependencies that none of the names name, be it as a Service, as service.namespace, as a host, or as
// any of these with :port. A name that names none of them is an error.
func Drop(dependencies []Dependency, names []string) ([]Dependency, error) {
	dropped := make([]bool, len(dependencies))
	var problems []error
	for _, name := range names {
		found := false
		for i := range dependencies {
			if slices.Contains(dependencies[i].calledAs(), canonical(name)) {
				dropped[i], found = true, true
			}
		}
		if !found {
			problems = append(problems, unknownName(name, dependencies))
		}
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	var kept []Dependency
	for i, d := range dependencies {
		if !dropped[i] {
			kept = append(kept, d)
		}
	}
	return kept, nil
}

// calledAs returns all that a dependency may be called.
func (d *Dependency) calledAs() []string {
	names := slices.Clone(d.Names)
	if d.Service != "" {
		names = append(names, d.Service, d.Service+"."+d.Namespace)
	}
	for _, name := range slices.Clip(names) {
		names = append(names, hostPort(name, d.Port))
	}
	return names
}

// unknownName says that a name names no dependency, and which it may have been meant to.
func unknownName(name string, dependencies []Dependency) error {
	if len(dependencies) == 0 {
		return fmt.Errorf("%q is no dependency: there are none", name)
	}
	const typos = 2 // beyond which names are not alike
	nearest, distance := "", typos+1
	var all []string
	for i := range dependencies {
		all = append(all, hostPort(dependencies[i].Host, dependencies[i].Port))
		for _, other := range dependencies[i].calledAs() {
			if d := editDistance(canonical(name), other); d < distance && d < len(other) {
				nearest, distance = other, d
			}
		}
	}
	if nearest != "" {
		return fmt.Errorf("%q is no dependency; did you mean %s?", name, nearest)
	}
	return fmt.Errorf("%q is no dependency; these are: %s", name, strings.Join(slices.Compact(all), ", "))
}

// editDistance returns how many bytes have to be added, removed or replaced to make one string of the other
// (Levenshtein's distance).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1) // distances of the part of a so far from each beginning of b
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
