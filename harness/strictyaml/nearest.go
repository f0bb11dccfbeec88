package strictyaml

import "strings"

// Nearest returns the candidate that word was most likely meant to be, the
// first of several, or "" when none is close.
func Nearest(word string, candidates []string) string {
	if near := Near(word, candidates); len(near) > 0 {
		return near[0]
	}
	return ""
}

// Near returns the candidates that word was most likely meant to be, all at the
// least distance there is: at most one edit in three letters, letter case
// ignored. An edit is a letter too many, too few or wrong, or two that changed
// places.
func Near(word string, candidates []string) (near []string) {
	least := len(word) / 3
	for _, c := range candidates {
		d := distance(strings.ToLower(word), strings.ToLower(c))
		if d < least {
			least, near = d, nil
		}
		if d == least {
			near = append(near, c)
		}
	}
	return near
}

// distance is the Damerau-Levenshtein distance (optimal string alignment) of
// two short words.
func distance(a, b string) int {
	var before []int
	previous := make([]int, len(b)+1)
	for j := range previous {
		previous[j] = j
	}
	for i := 1; i <= len(a); i++ {
		current := make([]int, len(b)+1)
		current[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			current[j] = min(previous[j]+1, current[j-1]+1, previous[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				current[j] = min(current[j], before[j-2]+1)
			}
		}
		before, previous = previous, current
	}
	return previous[len(b)]
}
