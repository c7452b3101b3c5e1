package config

import (
	"fmt"
	"slices"
	"strconv"
)

// DidYouMean returns a hint such as ` (did you mean "check"?)` for an unknown word, or "" when no known word is like
// it.
func DidYouMean(word string, known []string) string {
	names := Nearest(word, known)
	if names == nil {
		return ""
	}
	for i := range names {
		names[i] = strconv.Quote(names[i])
	}
	return fmt.Sprintf(" (did you mean %s?)", sentence(names))
}

// Nearest is the known words that differ least from word, if they differ little; in order.
func Nearest(word string, known []string) (names []string) {
	best := (len(word)*2+2)/5 + 1
	far := func(k string) bool { return len(k)-len(word) > best || len(word)-len(k) > best } // by their lengths alone
	near := slices.DeleteFunc(slices.Clone(known), far)
	slices.Sort(near)
	for _, k := range near {
		if far(k) {
			continue
		}
		switch d := distance(word, k); {
		case d < best:
			best, names = d, []string{k}
		case d == best && names != nil:
			names = append(names, k)
		}
	}
	return names
}

// distance is the number of letters to insert, delete, replace or swap with their neighbour that make a of b. A
// word much longer than any name of ours is not compared, because the time grows with its length.
func distance(a, b string) int {
	if len(a) > 64 {
		return len(a)
	}
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		for j := range rows[i] {
			rows[i][j] = step(a, b, rows, i, j)
		}
	}
	return rows[len(a)][len(b)]
}

func step(a, b string, rows [][]int, i, j int) int {
	if i == 0 || j == 0 {
		return i + j
	}
	replaced := rows[i-1][j-1]
	if a[i-1] != b[j-1] {
		replaced++
	}
	least := min(replaced, rows[i-1][j]+1, rows[i][j-1]+1)
	if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
		least = min(least, rows[i-2][j-2]+1)
	}
	return least
}
