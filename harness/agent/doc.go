// Package agent runs viewers on another host for the harness: Serve is the
// agent there, Dial gives the harness a Host here.
//
// # Trust
//
// Everything goes over TLS 1.3 (RFC 8446) with a certificate that the agent
// made itself and the harness knows by its SHA-256. Within it each side proves
// that it has the shared secret, by an HMAC of keying material of this very
// connection (RFC 5705): the secret is never sent, and a proof is worth nothing
// on any other connection. Until then nothing that was received is looked at.
//
//	harness   "PLUMBAGT"  u8 version  u8 purpose ('C' control, 'T' time)  32 bytes proof
//	agent     u8 1, 32 bytes proof; or u8 0 and the end
//
// A control connection then carries calls (package remote). On one for time the
// harness sends 8 bytes and the agent answers with 16: the instants, big-endian,
// at which it had read them and was about to write.
//
// # Processes of this host
//
// Launch starts an agent in a process of its own, which does ServeHere over its standard
// streams: viewers may then outnumber the descriptors of one process. Who has these
// streams has its trust. It makes its clock out of the bench's (record.Origin), so that
// nothing is mapped, and records straight into the folder of the bench.
//
// # Evidence
//
// What viewers see is recorded at the agent, by its own clock, in a recording
// of the usual form. Those files are the buffer between the hosts: the harness
// fetches them by offset, so that a lost connection loses nothing and a slow one
// holds no viewer up. A session that nobody asks for anything ends after a
// minute, a recording that outgrows its bound ends with an error that says so.
// Nothing is given up in silence: what did not arrive is ErrLost.
//
// The run directory holds these files as they are, and the exchanges that map
// their clock. Load maps them anew each time.
package agent
