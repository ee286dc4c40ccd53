package nhi

import "fmt"

// Nearest returns the member of known that is most like word, if one is so near that a typing error explains the
// difference (at most a third of its letters, at least one). Ties go to the first.
func Nearest(word string, known []string) (string, bool) {
	best, bestDistance := "", -1
	for _, k := range known {
		d := distance([]rune(word), []rune(k))
		if limit := max(1, len([]rune(k))/3); d <= limit && (bestDistance < 0 || d < bestDistance) {
			best, bestDistance = k, d
		}
	}
	return best, bestDistance >= 0
}

func didYouMean(word string, known []string) string {
	if near, ok := Nearest(word, known); ok {
		return fmt.Sprintf(" (did you mean %q?)", near)
	}
	return ""
}

// distance counts the letters to insert, delete, replace, or swap with their neighbour (optimal string alignment).
func distance(a, b []rune) int {
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
			replace := rows[i-1][j-1]
			if a[i-1] != b[j-1] {
				replace++
			}
			best := min(replace, rows[i-1][j]+1, rows[i][j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				best = min(best, rows[i-2][j-2]+1)
			}
			rows[i][j] = best
		}
	}
	return rows[len(a)][len(b)]
}
