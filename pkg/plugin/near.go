// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"cmp"
	"slices"
	"strings"
)

// shortWord is how many letters a word has that one mistake at most is looked for in; in longer ones, it is two.
const shortWord = 4

// near returns those of the names that may have been meant with a word: the names that begin with it, and those that a
// mistake or two make it of. The nearest come first.
func near(word string, names []string) []string {
	word = strings.ToLower(word)
	most := 2
	if len(word) <= shortWord {
		most = 1
	}
	distances := make(map[string]int)
	var found []string
	for _, name := range names {
		distance := mistakes(word, strings.ToLower(name))
		if word != "" && strings.HasPrefix(strings.ToLower(name), word) {
			distance = min(distance, 1)
		}
		if distance <= most {
			found = append(found, name)
			distances[name] = distance
		}
	}
	slices.SortStableFunc(found, func(a, b string) int { return cmp.Compare(distances[a], distances[b]) })
	return found
}

// mistakes is how many letters have to be inserted, left out, replaced or swapped with their neighbour to make one word of
// another: the optimal string alignment distance. Cobra's own counts a swap as two, and so proposes "deps" for "hepl".
func mistakes(a, b string) int {
	// rows[i][j] is that of the first i letters of a and the first j of b.
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			replaced := rows[i-1][j-1]
			if a[i-1] != b[j-1] {
				replaced++
			}
			rows[i][j] = min(replaced, rows[i-1][j]+1, rows[i][j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
