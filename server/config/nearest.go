package config

import (
	"fmt"
	"slices"
	"strconv"
)

// DidYouMean returns a hint such as ` (did you mean "check"?)` for an unknown word, or "" when no known word is like
// it. It sorts known.
func DidYouMean(word string, known []string) string {
	var names []string
	for _, name := range Nearest(word, known) {
		names = append(names, strconv.Quote(name))
	}
	if names == nil {
		return ""
	}
	return fmt.Sprintf(" (did you mean %s?)", sentence(names))
}

// Nearest are those of known that are most like word; none if no one is. It sorts known.
func Nearest(word string, known []string) (names []string) {
	best := (len(word)*2+2)/5 + 1
	slices.Sort(known)
	for _, k := range known {
		if abs(len(word)-len(k)) > best {
			continue // so many letters are to be inserted or deleted
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

func abs(n int) int { return max(n, -n) }

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
