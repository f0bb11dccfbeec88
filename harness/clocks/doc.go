// Package clocks maps the instants of another host's clock to those of this
// one, and says how far each may be off.
//
// It takes exchanges of four stamps (RFC 5905 section 8): a probe leaves here,
// arrives there, an answer leaves there, arrives here. Whatever the network
// does, a probe cannot arrive before it left: each exchange bounds the offset
// between the clocks from below by its way out and from above by its way back.
// The upper convex hull of the lower bounds and the lower convex hull of the
// upper bounds leave a corridor for the straight line along which two steady
// clocks drift apart (Moon, Skelly and Towsley; Zhang, Liu and Xia). The mapping
// is a line through the middle of it. A corridor that is closed shows a clock
// that was stepped, or that does not run steadily: then there is no mapping.
//
// The uncertainty of an instant does not lean on the line: it is how far the
// offset can be from it when the clocks go apart by no more than the rate
// bound since the exchanges around that instant. Next to an exchange that is
// half of its round trip, between and outside of exchanges it grows.
//
// The package is pure: it reads no clock and no network.
package clocks
