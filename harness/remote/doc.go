// Package remote lets two parts of the harness talk over a pair of byte
// streams: the standard streams of a child process, a connection to another
// host, or pipes within one process. It knows nothing of what is said.
//
// # Protocol, version 1
//
// Each side first sends a greeting of 12 bytes and reads that of the other:
//
//	"PLUMBLNK"  u32 version
//
// Then frames follow in both directions. Numbers are big-endian.
//
//	u32 size of what follows, 5 … MaxFrame+5    u8 kind    u32 number    body
//
//	kind 1  call     u8 length of the verb, verb, JSON argument
//	kind 2  result   JSON answer to the call of that number
//	kind 3  failure  JSON {"code", "text"}: the call of that number failed; the code
//	                 "cancelled" says that nothing else than a cancel was the cause
//	kind 4  cancel   whoever made the call of that number waits for its end no more
//	kind 5  cast     u8 length of the name, name, any bytes; number 0, no answer
//
// Each side numbers its own calls from 1. A call is answered exactly once, also
// after a cancel. Everything that one side sends arrives in the order in which
// it was sent: what was cast before an answer is handled before the answer is
// seen. Anything else ends the link: a frame that is too long, of an unknown
// kind, or with an answer to what nobody asked.
//
// Whoever has the other side's streams has its trust: the package encrypts and
// authenticates nothing. It never prints a body, so secrets may be in it.
package remote
