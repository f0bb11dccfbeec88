// Package history keeps what the journal said for longer than the journal does, and answers questions about it.
//
// A [Sink] is a reader of the journal with a cursor of its own. It turns each message into points (numbers of a series) and
// events (everything else) by [Rules], and hands them in batches to a [Store], which commits them together with the cursor:
// what was stored is stored exactly once, whatever is killed in between. A store that is down makes the sink lag and nothing
// else; what retention took meanwhile is recorded in the store as a [Gap].
//
// Stores live in packages beside this one, and all of them pass the checks of package storetest. The package must not know
// viewers, HTTP or who may see what.
package history
