package render

import (
	"math"
	"strconv"
)

// px prints a coordinate with at most one decimal, so that the drawing does not
// depend on the last bits of a float.
func px(v float64) string {
	return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64)
}
