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

// distance is the Levenshtein distance, computed row by row.
func distance(a, b []rune) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i, ra := range a {
		diagonal := row[0]
		row[0] = i + 1
		for j, rb := range b {
			cost := diagonal
			if ra != rb {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
