// Package seal makes a run directory tamper-evident and checks it offline.
//
// Seal writes manifest.json (SHA-256 and size of every file) and
// report.dsse.json: an in-toto Statement v1 with the test-result v0.1
// predicate in a DSSE 1.0.2 envelope, signed with Ed25519 (RFC 8032). The
// subjects are the artifacts of the system under test and the manifest.
//
// Issue writes more: detail.dsse.json (every figure of every verdict, the ledger
// of attempts, the items of ISO/IEC 17025 7.8.2.1) and, for a certified run only,
// certificate.dsse.json (a SLSA verification summary that names both by digest),
// a page for people and a record for a public list. With a P-256 key it adds
// Sigstore bundles (v0.3, message signature, public key) over the statements, for
// tools that cannot check Ed25519. Nothing here talks to a network: no
// transparency log and no time stamp authority confirms the date, which is the
// signer's word.
//
// Verify and Check need no network and trust nothing in the directory but what
// the signature covers. An outsider can do the same with openssl alone, as
// VERIFY.md in the directory says: the signature is over the
// pre-authentication encoding
//
//	"DSSEv1 28 application/vnd.in-toto+json LEN BODY"
//
// where BODY is the decoded payload and LEN its length in bytes.
//
// Who may sign is said by a key list that a root key signs; see KeyList.
package seal

// Names of the files that Seal writes into the run directory.
const (
	ManifestFile  = "manifest.json"
	EnvelopeFile  = "report.dsse.json"
	PublicKeyFile = "signer.pub.pem"
)

// Types that Verify insists on (type confusion was CVE-2022-35929 in cosign).
const (
	PayloadType   = "application/vnd.in-toto+json"
	PredicateType = "https://in-toto.io/attestation/test-result/v0.1"
)
