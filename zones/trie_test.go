package zones

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// word is a leaf like those of the index.
type word struct {
	text  string
	value int
}

func (w *word) is(key []byte) bool    { return w.text == string(key) }
func (w *word) same(other *word) bool { return w.text == other.text }
func (w *word) sum() uint64           { return hashString(w.text) }

// TestTrie compares a trie with a map through random edits, and each older trie with the map of its time.
func TestTrie(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var now trie[*word]
		held := map[string]int{}
		type moment struct {
			trie trie[*word]
			held map[string]int
		}
		var past []moment
		edit := uint64(0)
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			key := fmt.Sprint(rapid.IntRange(0, 300).Draw(t, "key"))
			switch rapid.IntRange(0, 5).Draw(t, "action") {
			case 0:
				past = append(past, moment{now, maps.Clone(held)})
				edit++ // as Index.Update does after each publication
			case 1, 2:
				now = now.drop([]byte(key), edit)
				delete(held, key)
			default:
				value := rapid.Int().Draw(t, "value")
				now = now.put(&word{key, value}, edit)
				held[key] = value
			}
		}
		past = append(past, moment{now, held})
		for _, m := range past {
			equalTrie(t, m.trie, m.held)
		}
	})
}

func equalTrie(t *rapid.T, got trie[*word], want map[string]int) {
	if got.size != len(want) {
		t.Fatalf("size %d, want %d", got.size, len(want))
	}
	var keys []string
	got.each(func(w *word) bool { keys = append(keys, w.text); return true })
	slices.Sort(keys)
	if !slices.Equal(keys, slices.Sorted(maps.Keys(want))) {
		t.Fatalf("leaves %v, want %v", keys, want)
	}
	for key, value := range want {
		if w := got.get([]byte(key)); w == nil || w.value != value {
			t.Fatalf("get %s: %v, want %d", key, w, value)
		}
	}
}

// clash is a leaf with the same hash as all others.
type clash struct{ text string }

func (c *clash) is(key []byte) bool     { return c.text == string(key) }
func (c *clash) same(other *clash) bool { return c.text == other.text }
func (c *clash) sum() uint64            { return 0 }

// TestTrieClash puts leaves with equal hashes into the list below the last level. get and drop compute the hash of a
// key themselves and would not look there, so the test uses put and each only.
func TestTrieClash(t *testing.T) {
	var got trie[*clash]
	for i := range 10 {
		got = got.put(&clash{fmt.Sprint(i % 5)}, uint64(i))
	}
	n := 0
	got.each(func(*clash) bool { n++; return true })
	if n != 5 || got.size != 5 {
		t.Fatalf("%d leaves, size %d, want 5", n, got.size)
	}
}
