package main

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"plumbline/bridge/ingest"
)

const someHash = "$2a$04$Wq2hP2VJ9JmKxS4v0k2iUu1Tn6uKqB2u9xk3YQb2m2vJb2bH4b0y6"

var usersFile = `# users of plant 3
users:
  # the press
  - name: press-7   # by the door
    hash: "` + someHash + `"   # changed in May
    publish: ["plant/press-7/#"]   # its own

  # the old one
  - name: old
    hash: '` + someHash + `'
    publish:
      - "a/#"
      # why not
      - "b/#"

  - hash: ` + someHash + `
    name: "third one"
# the end
`

// hashOf returns the user's hash in the text.
func hashOf(t *testing.T, text, name string) string {
	t.Helper()
	u, err := parseUsers([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	i := u.find(name)
	if i < 0 {
		return ""
	}
	hash, _ := u.users[i]["hash"].(string)
	return hash
}

// TestUserKeepsTheRest: an edit changes what it is about and not a byte else.
func TestUserKeepsTheRest(t *testing.T) {
	for name, tc := range map[string]struct {
		args   []string
		before string
		want   func(after string) string // what usersFile must have become
	}{
		"passwd": {[]string{"passwd", "old"}, usersFile, func(after string) string {
			return strings.Replace(usersFile, "'"+someHash+"'", `"`+hashOf(t, after, "old")+`"`, 1)
		}},
		"passwd keeps the comment": {[]string{"passwd", "press-7"}, usersFile, func(after string) string {
			return strings.Replace(usersFile, someHash, hashOf(t, after, "press-7"), 1)
		}},
		"passwd where the hash is first": {[]string{"passwd", "third one"}, usersFile, func(after string) string {
			return strings.Replace(usersFile, "- hash: "+someHash, `- hash: "`+hashOf(t, after, "third one")+`"`, 1)
		}},
		"add": {[]string{"add", "new \"é\"", "--publish", "n/#", "--publish", "m,n", "--subscribe", "c/+"}, usersFile, func(after string) string {
			return strings.Replace(usersFile, "# the end", "  - name: \"new \\\"é\\\"\"\n    hash: \""+hashOf(t, after, "new \"é\"")+
				"\"\n    publish: [\"n/#\", \"m,n\"]\n    subscribe: [\"c/+\"]\n# the end", 1)
		}},
		"remove": {[]string{"remove", "old"}, usersFile, func(string) string {
			head, rest, _ := strings.Cut(usersFile, "  # the old")
			_, tail, _ := strings.Cut(rest, "\n  - hash")
			return head + "\n  - hash" + tail
		}},
		"remove the last one": {[]string{"remove", "third one"}, usersFile, func(string) string {
			head, _, _ := strings.Cut(usersFile, "  - hash")
			return head + "# the end\n"
		}},
		"add to an empty file": {[]string{"add", "a"}, "", func(after string) string {
			return "users:\n  - name: \"a\"\n    hash: \"" + hashOf(t, after, "a") + "\"\n"
		}},
		"add to nobody": {[]string{"add", "a"}, "# mine\nusers: []\n", func(after string) string {
			return "# mine\nusers:\n  - name: \"a\"\n    hash: \"" + hashOf(t, after, "a") + "\"\n"
		}},
		"add without indent": {[]string{"add", "b"}, "users:\n- name: a\n  hash: " + someHash, func(after string) string {
			return "users:\n- name: a\n  hash: " + someHash + "\n- name: \"b\"\n  hash: \"" + hashOf(t, after, "b") + "\"\n"
		}},
		"remove the only one": {[]string{"remove", "a"}, "users:\n- name: a\n  hash: " + someHash + "\n", func(string) string { return "users: []\n" }},
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, "users.yaml", tc.before)
			if err := os.Chmod(path, 0o640); err != nil {
				t.Fatal(err)
			}
			code, out, errs := invoke(t, "sesame\n", append([]string{"user"}, append(tc.args, "--file", path)...)...)
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if code != exitOK || out != "" || string(raw) != tc.want(string(raw)) {
				t.Fatalf("exit %d, %s\n%s\nwant\n%s", code, errs, raw, tc.want(string(raw)))
			}
			if hash := hashOf(t, string(raw), tc.args[1]); tc.args[0] != "remove" && bcrypt.CompareHashAndPassword([]byte(hash), []byte("sesame")) != nil {
				t.Errorf("the hash %q is not that of the password", hash)
			}
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
				t.Errorf("mode %v, %v", info.Mode(), err)
			}
			if _, err := ingest.LoadUsers(path); err != nil {
				t.Errorf("the bridge refuses it: %v", err)
			}
			if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*")); len(left) != 1 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// TestUserRefuses: the file is then as it was, and nothing is left beside it.
func TestUserRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		args        []string
		stdin, text string
		want        string
	}{
		"nothing to do":                 {nil, "", usersFile, "want add"},
		"unknown action":                {[]string{"drop", "a"}, "", usersFile, `"drop"`},
		"no name":                       {[]string{"add"}, "x\n", usersFile, "NAME"},
		"two names":                     {[]string{"add", "a", "b"}, "x\n", usersFile, "NAME"},
		"password as argument":          {[]string{"passwd", "old", "sesame"}, "", usersFile, "NAME"},
		"name with newline":             {[]string{"add", "a\nb"}, "x\n", usersFile, "control"},
		"there already":                 {[]string{"add", "old"}, "x\n", usersFile, "passwd old"},
		"not there":                     {[]string{"passwd", "nobody"}, "x\n", usersFile, `no user "nobody"`},
		"not there to go":               {[]string{"remove", "nobody"}, "", usersFile, `no user "nobody"`},
		"no password":                   {[]string{"add", "a"}, "", usersFile, "empty"},
		"empty password":                {[]string{"add", "a"}, "\n", usersFile, "empty"},
		"long password":                 {[]string{"add", "a"}, strings.Repeat("x", 73), usersFile, "72"},
		"bad filter":                    {[]string{"add", "a", "--publish", "a#"}, "x\n", usersFile, "a#"},
		"filters to passwd":             {[]string{"passwd", "old", "--publish", "a"}, "x\n", usersFile, "for add"},
		"flow style":                    {[]string{"add", "b"}, "x\n", "users: [{name: a, hash: " + someHash + "}]\n", "by hand"},
		"entry on one line":             {[]string{"passwd", "a"}, "x\n", "users:\n- {name: a, hash: " + someHash + "}\n", "by hand"},
		"a line that looks like a hash": {[]string{"passwd", "a"}, "x\n", "users:\n- name: a\n  publish: ['x\n    hash: y\n    z']\n  hash: " + someHash + "\n", "by hand"},
		"not YAML":                      {[]string{"add", "b"}, "x\n", "users: [\n", "users.yaml"},
		"unknown key":                   {[]string{"add", "b"}, "x\n", "user: []\n", "users.yaml"},
		"list a bad file":               {[]string{"list"}, "", "users: 7\n", "users.yaml"},
	} {
		path := write(t, "users.yaml", tc.text)
		code, out, errs := invoke(t, tc.stdin, append([]string{"user"}, append(tc.args, "--file", path)...)...)
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if code != exitUsage || !strings.Contains(errs, tc.want) || out != "" || string(raw) != tc.text || strings.Contains(errs, "$2a$") {
			t.Errorf("%s: exit %d, %q %s, want %s", name, code, out, errs, tc.want)
		}
		if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*")); len(left) != 1 {
			t.Errorf("%s: left behind: %v", name, left)
		}
	}
	if code, _, errs := invoke(t, "", "user", "list"); code != exitUsage || !strings.Contains(errs, "usersFile") {
		t.Errorf("no file named: exit %d, %s", code, errs)
	}
	path := write(t, "users.yaml", usersFile)
	if err := os.WriteFile(path+".new", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := invoke(t, "", "user", "remove", "old", "--file", path); code != exitUsage || !strings.Contains(errs, "another edit") {
		t.Errorf("edited twice at a time: exit %d, %s", code, errs)
	}
}

func TestUserListAndLinks(t *testing.T) {
	real := write(t, "users.yaml", usersFile)
	link := filepath.Join(t.TempDir(), "link.yaml")
	if err := os.Symlink(real, link); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := invoke(t, "pw\n", "user", "add", "more", "--set", "mqtt.usersFile="+link); code != exitOK {
		t.Fatalf("exit %d, %s", code, errs)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link was replaced: %v, %v", info, err)
	}
	code, out, _ := invoke(t, "", "user", "list", "--file", real)
	want := `"press-7" publish ["plant/press-7/#"] subscribe []
"old" publish ["a/#" "b/#"] subscribe []
"third one" publish [] subscribe []
"more" publish [] subscribe []
`
	if code != exitOK || out != want {
		t.Errorf("exit %d\n%s\nwant\n%s", code, out, want)
	}
}

// TestUsersAtOnce: edits at the same time either happen or say that they did not.
func TestUsersAtOnce(t *testing.T) {
	path := write(t, "users.yaml", "users: []\n")
	const n = 8
	names := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
	var codes [n]int
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { codes[i], _, _ = invoke(t, "pw\n", "user", "add", names[i], "--file", path) })
	}
	wg.Wait()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	done := 0
	for i, code := range codes {
		if (code == exitOK) != (hashOf(t, string(raw), names[i]) != "") {
			t.Errorf("%s: exit %d and in the file: %v", names[i], code, hashOf(t, string(raw), names[i]) != "")
		}
		if code == exitOK {
			done++
		}
	}
	if done == 0 {
		t.Error("nobody was added")
	}
}

// TestHashCost: what is not a test gets bcrypt's own choice.
func TestHashCost(t *testing.T) {
	hash, err := readHash(call{stdin: strings.NewReader("sesame\r\n")})
	if err != nil {
		t.Fatal(err)
	}
	if cost, err := bcrypt.Cost([]byte(hash)); err != nil || cost != bcrypt.DefaultCost {
		t.Errorf("cost %d, %v", cost, err)
	}
	if bcrypt.CompareHashAndPassword([]byte(hash), []byte("sesame")) != nil {
		t.Error("the hash is not that of the line")
	}
}

func TestAskPassword(t *testing.T) {
	answers := func(list ...string) func() ([]byte, error) {
		return func() ([]byte, error) {
			one := list[0]
			list = list[1:]
			return []byte(one), nil
		}
	}
	var prompts strings.Builder
	if got, err := askPassword(&prompts, answers("x", "x")); err != nil || string(got) != "x" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := askPassword(&prompts, answers("x", "y")); err == nil || !strings.Contains(err.Error(), "differ") {
		t.Errorf("two that differ: %v", err)
	}
}
