package rotation

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// Labels makes and recognises the labels of one rotation: nhi-<number>-<owner>. The number only grows; the owner is a
// hash, so that another stack's credentials are not taken for ours.
type Labels struct{ owner string }

// NewLabels returns the labels of an identity of a stack.
func NewLabels(stack, identity string) Labels {
	sum := sha256.Sum256([]byte(stack + "\x00" + identity))
	return Labels{owner: hex.EncodeToString(sum[:5])}
}

// Label returns the label with a number.
func (l Labels) Label(number int) string { return fmt.Sprintf("nhi-%d-%s", number, l.owner) }

// Number returns the number of a label of ours, false for every other text.
func (l Labels) Number(label string) (int, bool) {
	middle, ours := strings.CutPrefix(label, "nhi-")
	middle, whole := strings.CutSuffix(middle, "-"+l.owner)
	if !ours || !whole {
		return 0, false
	}
	n, err := strconv.Atoi(middle)
	return n, err == nil && n > 0 && l.Label(n) == label
}
