// Package hub carries entries from the journal to viewers: it matches topics
// against filters, encodes once per group of equal subscriptions, and keeps a
// short ring of encoded batches per group.
//
// A viewer is a cursor. One that keeps up takes batches from the ring; one that
// does not costs its cursor only and catches up from the journal. Each batch
// says which interval of the journal it covers, so a viewer can prove that it
// lost nothing; what is gone from the journal is declared as a gap.
//
// The package knows nothing of sockets and tokens.
package hub
