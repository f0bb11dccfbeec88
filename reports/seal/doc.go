// Package seal makes a run directory tamper-evident and checks it offline.
//
// Seal writes manifest.json (SHA-256 and size of every file) and
// report.dsse.json: an in-toto Statement v1 with the test-result v0.1
// predicate in a DSSE 1.0.2 envelope, signed with Ed25519 (RFC 8032). The
// subjects are the artifacts of the system under test and the manifest.
//
// Verify needs no network and trusts nothing in the directory but what the
// signature covers. An outsider can do the same with openssl alone: the
// signature is over the pre-authentication encoding
//
//	"DSSEv1 28 application/vnd.in-toto+json LEN BODY"
//
// where BODY is the decoded payload and LEN its length in bytes.
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
