// Package plain is a page that speaks plumbline.v1 and shows the last value of every
// topic, for tests and for systems that are wrong on purpose. It resumes from its cursor,
// comes back with a growing wait and says whether it is live.
package plain

import _ "embed"

//go:embed plain.html
var page string

// Page returns the page. What it needs stands in the fragment of its address: ws (the
// address of the viewers), filter and, where no cookie is there, token.
func Page() string { return page }
