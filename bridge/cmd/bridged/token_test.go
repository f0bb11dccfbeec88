package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"plumbline/bridge"
)

// invoke runs one command in this process.
func invoke(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(call{args: args, stdin: strings.NewReader(stdin), stdout: &out, stderr: &errs, cost: bcrypt.MinCost})
	return code, out.String(), errs.String()
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTokenWithSecret(t *testing.T) {
	secret := write(t, "secret", strings.Repeat("0123456789abcdef", 4)+"\n")
	revoked := write(t, "revoked", "jti:gone\n")
	set := []string{"--set", "auth.jwt.secretFile=" + secret, "--set", "auth.revocationFile=" + revoked}
	mint := func(more ...string) (int, string, string) {
		return invoke(t, "", append(append([]string{"token"}, set...), more...)...)
	}
	verify := func(token string) (int, string, string) {
		return invoke(t, token, append([]string{"token", "--verify", "-"}, set...)...)
	}
	code, token, errs := mint("--sub", "wall", "--grants", "plant/#", "--grants", "a,b/+", "--ttl", "90s", "--jti", "one")
	if code != exitOK || strings.Count(token, ".") != 2 || errs != "" {
		t.Fatalf("exit %d, %q, %s", code, token, errs)
	}
	code, out, _ := verify(token)
	if code != exitOK {
		t.Errorf("verify: exit %d, %s", code, out)
	}
	for _, want := range []string{`"sub": "wall"`, `"jti": "one"`, `"plant/#"`, `"a,b/+"`, `"expires": "20`} {
		if !strings.Contains(out, want) {
			t.Errorf("claims %s lack %s", out, want)
		}
	}
	if code, _, _ := invoke(t, "", append([]string{"token", "--verify", write(t, "tok", token)}, set...)...); code != exitOK {
		t.Errorf("from a file: exit %d", code)
	}
	_, writer, _ := mint("--sub", "w", "--grants", "plant/#", "--publish", "command/#")
	_, out, _ = verify(writer)
	var worth struct {
		Grants map[string][]string `json:"grants"`
	}
	want := map[string][]string{"live": {"plant/#"}, "snapshot": {"plant/#"}, "history": {"plant/#"}, "publish": {"command/#"}}
	if err := json.Unmarshal([]byte(out), &worth); err != nil || !reflect.DeepEqual(worth.Grants, want) {
		t.Errorf("with --publish: %s", out)
	}
	_, a, _ := mint("--sub", "x", "--grants", "#")
	_, b, _ := mint("--sub", "x", "--grants", "#")
	if a == b {
		t.Error("two tokens without --jti are the same: neither could be revoked alone")
	}
	_, dead, _ := mint("--sub", "x", "--grants", "#", "--jti", "gone")
	for text, want := range map[string]string{
		dead: "revoked", token[:len(token)-9] + "AAAAAAAA\n": "signature", "": "empty", "a.b": "three parts", strings.Repeat("x", 100_000): "longer",
	} {
		code, out, _ := verify(text)
		if code != exitRefused || !strings.Contains(out, want) || len(out) > 300 {
			t.Errorf("exit %d, %.300s, want %s", code, out, want)
		}
	}
}

func TestTokenRefusesToMake(t *testing.T) {
	secret := write(t, "secret", strings.Repeat("0123456789abcdef", 4))
	good := []string{"token", "--set", "auth.jwt.secretFile=" + secret}
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"no subject":       {append(good, "--grants", "#"), "--sub"},
		"no grants":        {append(good, "--sub", "a"), "--grants"},
		"no life":          {append(good, "--sub", "a", "--grants", "#", "--ttl", "0s"), "--ttl"},
		"bad filter":       {append(good, "--sub", "a", "--grants", "a#"), "not an MQTT filter"},
		"bad subject":      {append(good, "--sub", " a", "--grants", "#"), "white space"},
		"a key with HS256": {append(good, "--sub", "a", "--grants", "#", "--key", "k"), "leave it out"},
		"argument":         {append(good, "anna"), `"anna"`},
		"no file":          {append(good, "--verify", "/nowhere"), "nowhere"},
		"weak secret":      {[]string{"token", "--set", "auth.jwt.secretFile=" + write(t, "weak", "geheim"), "--sub", "a", "--grants", "#"}, "32"},
		"never started":    {[]string{"token", "--set", "data=" + t.TempDir(), "--sub", "a", "--grants", "#"}, "start it once"},
	} {
		code, out, errs := invoke(t, "", tc.args...)
		if code != exitUsage || !strings.Contains(errs, tc.want) || out != "" || strings.Contains(errs, "geheim") {
			t.Errorf("%s: exit %d, %q %s, want %s", name, code, out, errs, tc.want)
		}
	}
}

func TestTokenWithPrivateKey(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][2]string{}
	for alg, pair := range map[string][2]any{"RS256": {rsaKey, &rsaKey.PublicKey}, "ES256": {ecKey, &ecKey.PublicKey}, "EdDSA": {edKey, edKey.Public()}} {
		private, err := x509.MarshalPKCS8PrivateKey(pair[0])
		if err != nil {
			t.Fatal(err)
		}
		public, err := x509.MarshalPKIXPublicKey(pair[1])
		if err != nil {
			t.Fatal(err)
		}
		files[alg] = [2]string{
			write(t, "private.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))),
			write(t, "public.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}))),
		}
	}
	other := map[string]string{"RS256": "ES256", "ES256": "EdDSA", "EdDSA": "RS256"}
	for alg, f := range files {
		args := []string{"token", "--set", "auth.jwt.alg=" + alg, "--set", "auth.jwt.publicKeyFile=" + f[1]}
		ask := append(slices.Clone(args), "--sub", "a", "--grants", "#", "--key")
		code, token, errs := invoke(t, "", append(ask, f[0])...)
		if code != exitOK {
			t.Fatalf("%s: exit %d, %s", alg, code, errs)
		}
		if code, out, _ := invoke(t, token, append(args, "--verify", "-")...); code != exitOK {
			t.Errorf("%s: verify: exit %d, %s", alg, code, out)
		}
		for _, bad := range []string{files[other[alg]][0], f[1], "/nowhere"} {
			if code, out, errs := invoke(t, "", append(ask, bad)...); code != exitUsage || out != "" {
				t.Errorf("%s with key %s: exit %d, %q %s", alg, bad, code, out, errs)
			}
		}
		if code, _, errs := invoke(t, "", append(args, "--sub", "a", "--grants", "#")...); code != exitUsage || !strings.Contains(errs, "--key") {
			t.Errorf("%s without key: exit %d, %s", alg, code, errs)
		}
	}
	ec2, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(ec2)
	if err != nil {
		t.Fatal(err)
	}
	stranger := write(t, "sec1.pem", string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})))
	code, out, errs := invoke(t, "", "token", "--set", "auth.jwt.alg=ES256", "--set", "auth.jwt.publicKeyFile="+files["ES256"][1], "--sub", "a", "--grants", "#", "--key", stranger)
	if code != exitUsage || out != "" || !strings.Contains(errs, "would refuse") {
		t.Errorf("the key of another pair: exit %d, %q %s", code, out, errs)
	}
}

// TestTokenThatWasEnded: what its holder logged out is refused here as the bridge refuses it.
func TestTokenThatWasEnded(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	p := begin(t, data, bridge.Addresses{}, "auth.cookie=__Host-plumbline", "viewers.origins=https://good.example")
	set := []string{"--set", "data=" + data}
	_, token, _ := invoke(t, "", append([]string{"token", "--sub", "a", "--grants", "#"}, set...)...)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, "https://"+p.addrs.Viewers+"/session", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(token))
	resp, err := (&http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		t.Fatalf("logout: status %d", resp.StatusCode)
	}
	before := readFile(t, filepath.Join(data, "ended.tokens"))
	if code, out, _ := invoke(t, token, append([]string{"token", "--verify", "-"}, set...)...); code != exitRefused || !strings.Contains(out, "ended") {
		t.Errorf("exit %d, %s", code, out)
	}
	if after := readFile(t, filepath.Join(data, "ended.tokens")); after != before {
		t.Errorf("the running bridge's file was changed")
	}
}

// TestTokenOfATenant: the claim is the bridge's own, and what is printed stays within the tenant.
func TestTokenOfATenant(t *testing.T) {
	secret := write(t, "secret", strings.Repeat("0123456789abcdef", 4))
	args := []string{"token", "--set", "auth.jwt.secretFile=" + secret, "--set", "auth.tenantPrefix=tenants/{tenant}/"}
	code, token, errs := invoke(t, "", append(slices.Clone(args), "--sub", "x", "--tenant", "a", "--grants", "plant/#")...)
	if code != exitOK {
		t.Fatalf("exit %d, %s", code, errs)
	}
	if code, out, _ := invoke(t, token, append(slices.Clone(args), "--verify", "-")...); code != exitOK || !strings.Contains(out, `"tenant": "a"`) || !strings.Contains(out, `"tenants/a/plant/#"`) {
		t.Errorf("exit %d, %s", code, out)
	}
	for _, bad := range [][]string{{"--tenant", "a/b", "--grants", "#"}, {"--grants", "#"}} {
		if code, out, errs := invoke(t, "", append(append(slices.Clone(args), "--sub", "x"), bad...)...); code != exitUsage || out != "" {
			t.Errorf("%v: exit %d, %q %s", bad, code, out, errs)
		}
	}
}

// TestTokenForAKeySet: the bridge knows public keys only; who has a private one and its id makes tokens.
func TestTokenForAKeySet(t *testing.T) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	private := write(t, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	set := write(t, "keys.json", `{"keys":[{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","kid":"k1","x":"`+base64.RawURLEncoding.EncodeToString(key.Public().(ed25519.PublicKey))+`"}]}`)
	args := []string{"token", "--set", "auth.jwt.keySetFile=" + set}
	ask := append(slices.Clone(args), "--sub", "x", "--grants", "#")
	code, _, errs := invoke(t, "", ask...)
	if code != exitUsage || !strings.Contains(errs, "--kid") {
		t.Errorf("without a key: exit %d, %s", code, errs)
	}
	ask = append(ask, "--set", "auth.jwt.alg=EdDSA", "--key", private, "--kid")
	code, token, errs := invoke(t, "", append(slices.Clone(ask), "k1")...)
	if code != exitOK {
		t.Fatalf("exit %d, %s", code, errs)
	}
	if code, out, _ := invoke(t, token, append(slices.Clone(args), "--verify", "-")...); code != exitOK {
		t.Errorf("verify: exit %d, %s", code, out)
	}
	if code, out, errs := invoke(t, "", append(slices.Clone(ask), "k2")...); code != exitUsage || out != "" {
		t.Errorf("another id: exit %d, %q %s", code, out, errs)
	}
}
