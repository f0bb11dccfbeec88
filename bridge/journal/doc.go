// Package journal is the ordered log between MQTT and everything else: every
// accepted message gets an epoch and an offset here, and live fan-out, resume,
// history and relays are readers with a cursor.
//
// # What a cursor means
//
// Offsets rise by one from 1 and are never given twice within an epoch. The
// epoch is a random name that is renewed whenever it cannot be proven that the
// log is continued without a hole: a reader that shows an epoch and an offset
// either gets everything after it, or is told that it cannot.
//
// # What an acknowledgement means
//
// [Journal.Append] returns nil only when the chosen [SyncPolicy] holds for the
// message, and readers see it only from then on. What could not be written is
// never acknowledged.
//
// # On disk
//
// A directory holds segment files of records with checksums, one checkpoint of
// the last values and the producers, and one state file that says how the last
// run ended. The package must not know topics' meaning, access lists or viewers.
package journal
