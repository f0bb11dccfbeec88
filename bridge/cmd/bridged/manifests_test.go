package main

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"plumbline/bridge"
	"plumbline/bridge/auth"
	"plumbline/bridge/config"
	"plumbline/bridge/devca"
	"plumbline/bridge/internal/brokertest"
	"plumbline/bridge/internal/eventually"
)

// pod is what a StatefulSet says of its pods, as far as the bridge has an opinion; `make manifests` holds the rest against
// Kubernetes' own types.
type pod struct {
	Spec struct {
		Template struct {
			Spec struct {
				TerminationGracePeriodSeconds int `yaml:"terminationGracePeriodSeconds"`
				AutomountServiceAccountToken  any `yaml:"automountServiceAccountToken"`
				SecurityContext               struct {
					RunAsUser    int  `yaml:"runAsUser"`
					RunAsNonRoot bool `yaml:"runAsNonRoot"`
					FSGroup      int  `yaml:"fsGroup"`
				} `yaml:"securityContext"`
				Containers []struct {
					Args            []string
					Env             []struct{ Name, Value string }
					StartupProbe    probe `yaml:"startupProbe"`
					ReadinessProbe  probe `yaml:"readinessProbe"`
					LivenessProbe   probe `yaml:"livenessProbe"`
					Resources       struct{ Limits struct{ Memory string } }
					SecurityContext struct {
						ReadOnlyRootFilesystem   bool `yaml:"readOnlyRootFilesystem"`
						AllowPrivilegeEscalation any  `yaml:"allowPrivilegeEscalation"`
					} `yaml:"securityContext"`
					VolumeMounts []mount `yaml:"volumeMounts"`
				}
			}
		}
	}
}

type mount struct {
	MountPath string `yaml:"mountPath"`
}

type probe struct {
	HTTPGet struct{ Path, Port string } `yaml:"httpGet"`
}

// manifest returns the document of a kind in the plain manifests.
func manifest(t *testing.T, kind string, into any) {
	t.Helper()
	for doc := range strings.SplitSeq(readFile(t, "../../deploy/kubernetes/bridged.yaml"), "\n---\n") {
		if strings.Contains(doc, "\nkind: "+kind+"\n") {
			if err := yaml.Unmarshal([]byte(doc), into); err != nil {
				t.Fatalf("%s: %v", kind, err)
			}
			return
		}
	}
	t.Fatalf("there is no %s", kind)
}

// TestManifests: the plain manifests are those of the chart as it is, and what they give the bridge fits what it is and reads.
func TestManifests(t *testing.T) {
	sum := sha256.New()
	err := filepath.WalkDir("../../deploy/helm", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			sum.Write([]byte(readFile(t, path)))
		}
		return err
	})
	if text := readFile(t, "../../deploy/kubernetes/bridged.yaml"); err != nil || !strings.Contains(text, fmt.Sprintf("\n# sha256 of their files: %x\n", sum.Sum(nil))) {
		t.Errorf("the chart was changed, %v: run make manifests, which checks it, and commit what it writes", err)
	}
	var files struct{ Data map[string]string }
	manifest(t, "ConfigMap", &files)
	var set pod
	manifest(t, "StatefulSet", &set)
	spec := set.Spec.Template.Spec
	c := spec.Containers[0]
	cfg, text := configOf(t, files.Data["bridge.yaml"])
	if grace, least := time.Duration(spec.TerminationGracePeriodSeconds)*time.Second, cfg.Drain.Delay.D()+cfg.Drain.Spread.D()+10*time.Second; grace < least {
		t.Errorf("pods have %s to end, the drain alone takes up to %s", grace, least)
	}
	if cfg.Drain.Delay.D() < 4*time.Second {
		t.Errorf("drain.delay is %s: a cluster takes some seconds to learn that a pod is not ready", cfg.Drain.Delay.D())
	}
	user := spec.SecurityContext
	if !user.RunAsNonRoot || !c.SecurityContext.ReadOnlyRootFilesystem || c.SecurityContext.AllowPrivilegeEscalation != false || spec.AutomountServiceAccountToken != false {
		t.Errorf("pods have rights that they do not need: %+v, %+v", user, c.SecurityContext)
	}
	if image := fmt.Sprintf("\nUSER %d:%d\n", user.RunAsUser, user.FSGroup); !strings.Contains(readFile(t, "../../deploy/Containerfile"), image) {
		t.Errorf("the image does not have %q", image)
	}
	if c.StartupProbe.HTTPGet.Path != "/healthz" || c.LivenessProbe.HTTPGet.Path != "/healthz" || c.ReadinessProbe.HTTPGet.Path != "/readyz" || c.ReadinessProbe.HTTPGet.Port != "ops" {
		t.Errorf("probes: %+v, %+v, %+v", c.StartupProbe, c.LivenessProbe, c.ReadinessProbe)
	}
	limit, err := config.ParseBytes(strings.TrimSuffix(c.Resources.Limits.Memory, "i") + "iB")
	if goes, bad := config.ParseBytes(c.Env[0].Value); err != nil || bad != nil || c.Env[0].Name != "GOMEMLIMIT" || goes > limit*9/10 {
		t.Errorf("GOMEMLIMIT is %s of %s: want at most nine tenths", c.Env[0].Value, c.Resources.Limits.Memory)
	}
	for _, named := range regexp.MustCompile(`/(etc|data)\b\S*`).FindAllString(text, -1) {
		if !slices.ContainsFunc(c.VolumeMounts, func(m mount) bool { return named == m.MountPath || strings.HasPrefix(named, m.MountPath+"/") }) {
			t.Errorf("the configuration names %s, which is not mounted", named)
		}
	}
}

// configOf has bridged itself read a configuration, whose files are there.
func configOf(t *testing.T, text string) (config.Config, string) {
	t.Helper()
	dir := t.TempDir()
	if _, err := devca.Ensure(dir, time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := auth.EnsureSecret(filepath.Join(dir, "jwt.key"), nil); err != nil {
		t.Fatal(err)
	}
	here := text
	for _, named := range regexp.MustCompile(`/etc/\S+`).FindAllString(text, -1) {
		file := map[string]string{"tls.crt": devca.ServerFile, "tls.key": devca.ServerKeyFile, "ca.pem": devca.CAFile, "jwt.key": "jwt.key", "credentials": "credentials"}[path.Base(named)]
		if file == "" {
			t.Fatalf("the configuration names %s, which no secret brings", named)
		}
		here = strings.ReplaceAll(here, named, filepath.Join(dir, file))
	}
	if err := os.WriteFile(filepath.Join(dir, "credentials"), []byte("bridge\nsecret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	here = strings.Replace(here, "data: /data", "data: "+filepath.Join(dir, "data"), 1)
	file := write(t, "bridge.yaml", here)
	if code, out, errs := invoke(t, "", "check-config", "--config", file); code != exitOK {
		t.Fatalf("check-config: exit %d, %s%s\n%s", code, out, errs, here)
	}
	cfg, err := config.Load(file, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return cfg, text
}

// TestComposeFiles: what secrets.sh makes is what the files of the Compose setup name: Mosquitto starts with its configuration, and
// the bridge with its own finds it, believes its certificate and is let in. No container is made.
func TestComposeFiles(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../../deploy/compose")); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "bash", filepath.Join(dir, "secrets.sh"), "bridge.example").CombinedOutput(); err != nil {
		t.Fatalf("secrets.sh: %v\n%s", err, out)
	}
	addr := brokertest.FreePort(t)
	_, port, _ := strings.Cut(addr, ":")
	conf := readFile(t, filepath.Join(dir, "mosquitto.conf"))
	for old, now := range map[string]string{"listener 8883": "listener " + port + " 127.0.0.1", "/mosquitto/secrets": filepath.Join(dir, "secrets/broker"), "/mosquitto/data": dir} {
		if !strings.Contains(conf, old) {
			t.Fatalf("mosquitto.conf does not have %q", old)
		}
		conf = strings.ReplaceAll(conf, old, now)
	}
	broker := newProgram(t, addr, "mosquitto", "-c", write(t, "mosquitto.conf", conf+"user root\n"))
	broker.start()
	mounted := t.TempDir()
	if err := os.CopyFS(filepath.Join(mounted, "secrets"), os.DirFS(filepath.Join(dir, "secrets/bridge"))); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(mounted, "bridge.yaml"), []byte(readFile(t, filepath.Join(dir, "bridge.yaml"))), 0o600); err != nil {
		t.Fatal(err)
	}
	p := launch(t, filepath.Join(dir, "data"), bridge.Addresses{}, nil, nil, []string{"--config", filepath.Join(mounted, "bridge.yaml")},
		"mqtt.listen=", "external.site.url=mqtts://"+addr, "external.site.tls.serverName=broker.internal", "drain.delay=0s")
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the broker:\n%s\nthe bridge:\n%s", broker.log, p.log)
		}
	})
	p.awaitReady()
	eventually.Must(t, "the bridge to be let in by the broker", func() bool {
		code, _, _ := invoke(t, "", "health", "--set", "ops.listen="+p.addrs.Ops)
		return code == exitOK
	})
	p.signal(syscall.SIGTERM)
	if err := p.awaitEnd(); err != nil {
		t.Errorf("%v\n%s", err, p.log)
	}
}
