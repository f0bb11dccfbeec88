// Command deploy checks what bridge/deploy has for others to run, with their own code: the Helm chart with Helm's linter and engine, what it
// makes against Kubernetes' own types, as is what harness/deploy has, and the Compose file with Compose's loader. With -write it puts what the chart makes of
// helm/example.yaml into kubernetes/bridged.yaml, for those without Helm. It is a module of its own: the project links none of it.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/loader"
	compose "github.com/compose-spec/compose-go/v2/types"
	"helm.sh/helm/v3/pkg/chart"
	chartloader "helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"
)

// head is the beginning of what is made: the digest tells a test that has no Helm whether it is still up to date.
func head(root string) (string, error) {
	sum := sha256.New()
	err := filepath.WalkDir(filepath.Join(root, "helm"), func(path string, d fs.DirEntry, err error) error { // in lexical order
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		sum.Write(raw)
		return err
	})
	return fmt.Sprintf("# Made of helm/bridged and helm/example.yaml by `make manifests`: change those.\n# sha256 of their files: %x\n", sum.Sum(nil)), err
}

func main() {
	log.SetFlags(0)
	write := flag.Bool("write", false, "write kubernetes/bridged.yaml anew")
	root := flag.String("deploy", "../../bridge/deploy", "the folder `DIR` to check")
	agents := flag.String("agents", "../../harness/deploy/agents.yaml", "the manifests `FILE` of agents to check")
	flag.Parse()
	if err := errors.Join(checkChart(*root, *write), checkCompose(filepath.Join(*root, "compose", "compose.yaml")), checkAgents(*agents)); err != nil {
		log.Fatalf("deploy: %v", err)
	}
	log.Print("deploy: chart, manifests and Compose file are good")
}

func checkChart(root string, write bool) error {
	dir := filepath.Join(root, "helm", "bridged")
	example, err := chartutil.ReadValuesFile(filepath.Join(root, "helm", "example.yaml"))
	if err != nil {
		return err
	}
	var bad []error
	for _, m := range lint.All(dir, example, "default", true).Messages {
		if m.Severity >= support.WarningSev {
			bad = append(bad, fmt.Errorf("helm lint: %w", m))
		}
	}
	c, err := chartloader.Load(dir)
	if err != nil {
		return err
	}
	bad = append(bad, refusals(c, example)...)
	made, err := render(c, example)
	if err != nil {
		return errors.Join(append(bad, err)...)
	}
	for _, one := range strings.Split(made, "\n---\n") {
		if err := strict(one); err != nil {
			bad = append(bad, fmt.Errorf("%w\n%s", err, one))
		}
	}
	for _, change := range variants() {
		if other, err := render(c, with(example, change)); err != nil {
			bad = append(bad, fmt.Errorf("%v: %w", change, err))
		} else {
			for _, one := range strings.Split(other, "\n---\n") {
				if err := strict(one); err != nil {
					bad = append(bad, fmt.Errorf("%v: %w\n%s", change, err, one))
				}
			}
		}
	}
	top, err := head(root)
	if err != nil {
		return err
	}
	file := filepath.Join(root, "kubernetes", "bridged.yaml")
	if write && len(bad) == 0 {
		return os.WriteFile(file, []byte(top+made), 0o644)
	}
	if old, err := os.ReadFile(file); err != nil || string(old) != top+made {
		bad = append(bad, fmt.Errorf("%s is not what the chart makes: run `make manifests` and commit it", file))
	}
	return errors.Join(bad...)
}

// Values that bring in what is off by default.
var (
	ingress = map[string]any{"enabled": true, "host": "bridge.example", "tlsSecret": "bridge-front"}
	mqtt    = map[string]any{"enabled": true, "usersSecret": "mqtt-users"}
)

// variants are other values that must make good manifests, too.
func variants() []map[string]any {
	return []map[string]any{
		{"ingress": ingress, "config": map[string]any{"viewers": map[string]any{"proxyHeader": "x-forwarded-for"}}},
		{"ingress": put(maps.Clone(ingress), map[string]any{"className": "traefik", "verify": map[string]any{"secret": "bridge-ca", "name": "bridge.internal"}, "annotations": map[string]any{"x/y": "z"}}),
			"config": map[string]any{"viewers": map[string]any{"proxyHeader": "forwarded"}}, "service": map[string]any{"sticky": true}},
		{"mqtt": mqtt, "replicas": 1, "config": map[string]any{"external": nil}},
		{"mqtt": put(maps.Clone(mqtt), map[string]any{"tlsSecret": "mqtt-tls", "service": map[string]any{"type": "LoadBalancer", "externalTrafficPolicy": "Local", "sticky": false, "annotations": map[string]any{"x/y": "z"}}}),
			"config": map[string]any{"mqtt": map[string]any{"tls": map[string]any{"clientAuth": "require", "clientCA": "/etc/plumbline/secrets/broker/ca.pem"}}, "relay": map[string]any{"url": "rediss://redis.example:6379", "cluster": "site"}}},
		{"replicas": 1, "networkPolicy": map[string]any{"enabled": false}},
		{"service": map[string]any{"type": "ClusterIP", "sticky": false, "externalTrafficPolicy": "", "annotations": nil}, "storage": map[string]any{"class": "fast"}},
		{"jwt": map[string]any{"secret": ""}, "config": map[string]any{"auth": map[string]any{"jwt": map[string]any{"keySetURL": "https://id.example/keys"}}}},
		{"image": map[string]any{"pullSecrets": []any{"registry"}}, "nodeSelector": map[string]any{"disk": "fast"}, "tolerations": []any{map[string]any{"operator": "Exists"}}},
	}
}

// refusals renders values that cannot work: each must be refused with a word about what is missing.
func refusals(c *chart.Chart, example map[string]any) (bad []error) {
	for _, change := range []struct {
		values map[string]any
		want   string
	}{
		{map[string]any{"image": map[string]any{"repository": ""}}, "image.repository is empty"},
		{map[string]any{"tls": map[string]any{"secret": ""}}, "tls.secret is empty"},
		{map[string]any{"jwt": map[string]any{"secret": ""}}, "jwt.secret is empty"},
		{map[string]any{"config": map[string]any{"external": map[string]any{"site": nil}}}, "config.external is empty"},
		{map[string]any{"ingress": map[string]any{"enabled": true, "tlsSecret": "x"}}, "ingress.host is empty"},
		{map[string]any{"ingress": map[string]any{"enabled": true, "host": "bridge.example"}}, "ingress.tlsSecret is empty"},
		{map[string]any{"ingress": ingress}, "proxyHeader is proxy-protocol"},
		{map[string]any{"ingress": ingress, "config": map[string]any{"viewers": map[string]any{"trustedProxies": nil}}}, "trustedProxies is empty"},
		{map[string]any{"ingress": put(maps.Clone(ingress), map[string]any{"verify": map[string]any{"secret": "x"}}), "config": map[string]any{"viewers": map[string]any{"proxyHeader": "forwarded"}}}, "ingress.verify takes both"},
		{map[string]any{"ingress": map[string]any{"host": "https://bridge.example"}}, "host"},
		{map[string]any{"mqtt": map[string]any{"enabled": true}}, "mqtt.usersSecret is empty"},
		{map[string]any{"mqtt": mqtt}, "takes config.relay"},
		{map[string]any{"mqtt": map[string]any{"service": map[string]any{"type": "Ingress"}}}, "mqtt"},
		{map[string]any{"replica": 3}, "replica"},
		{map[string]any{"service": map[string]any{"type": "Ingress"}}, "service"},
		{map[string]any{"goMemoryLimit": "1Gi"}, "goMemoryLimit"},
	} {
		if _, err := render(c, with(example, change.values)); err == nil || !strings.Contains(err.Error(), change.want) {
			bad = append(bad, fmt.Errorf("values %v: %v, want a refusal with %q", change.values, err, change.want))
		}
	}
	return bad
}

// with returns values with some of them changed.
func with(values, change map[string]any) map[string]any {
	raw, err := yaml.Marshal(values)
	if err != nil {
		log.Fatal(err)
	}
	out := map[string]any{}
	if err := yaml.Unmarshal(raw, &out); err != nil {
		log.Fatal(err)
	}
	return put(out, change)
}

func put(into, change map[string]any) map[string]any {
	for key, value := range change {
		was, isMap := into[key].(map[string]any)
		if now, also := value.(map[string]any); isMap && also {
			into[key] = put(was, now)
		} else if value == nil {
			delete(into, key)
		} else {
			into[key] = value
		}
	}
	return into
}

// render returns the chart's manifests, in the order of their files.
func render(c *chart.Chart, values map[string]any) (string, error) {
	all, err := chartutil.ToRenderValues(c, values, chartutil.ReleaseOptions{Name: "plumbline", Namespace: "default", Revision: 1, IsInstall: true}, chartutil.DefaultCapabilities)
	if err != nil {
		return "", err
	}
	made, err := engine.Engine{Strict: true}.Render(c, all)
	if err != nil {
		return "", err
	}
	var out []string
	for _, file := range slices.Sorted(maps.Keys(made)) {
		if text := strings.TrimSpace(made[file]); text != "" && filepath.Ext(file) == ".yaml" {
			out = append(out, text)
		}
	}
	return strings.Join(out, "\n---\n") + "\n", nil
}

// strict holds a manifest against the type that Kubernetes itself reads it into; unknown and repeated fields are errors.
func strict(text string) error {
	var kind struct{ APIVersion, Kind string }
	if err := yaml.Unmarshal([]byte(text), &kind); err != nil {
		return err
	}
	types := map[string]any{
		"v1 ConfigMap": &core.ConfigMap{}, "v1 Service": &core.Service{}, "apps/v1 StatefulSet": &apps.StatefulSet{},
		"policy/v1 PodDisruptionBudget": &policy.PodDisruptionBudget{}, "networking.k8s.io/v1 NetworkPolicy": &networking.NetworkPolicy{},
		"networking.k8s.io/v1 Ingress": &networking.Ingress{}, "batch/v1 Job": &batch.Job{}, "v1 PersistentVolumeClaim": &core.PersistentVolumeClaim{},
	}
	into, ok := types[kind.APIVersion+" "+kind.Kind]
	if !ok {
		return fmt.Errorf("%s %s is not known here", kind.APIVersion, kind.Kind)
	}
	return yaml.UnmarshalStrict([]byte(text), into)
}

// checkAgents holds the manifests of agents against Kubernetes' types and against each other, and copies that do not fit must be refused.
func checkAgents(file string) error {
	raw, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	text := string(raw)
	bad := []error{fitting(text)}
	for _, change := range [][2]string{
		{"agent-{0..3}.agents:", "agent-{0..4}.agents:"}, {"parallelism: 4", "parallelism: 2"}, {"subdomain: agents", "subdomain: agent"},
		{"clusterIP: None", "clusterIP: \"\""}, {"selector: {app.kubernetes.io/name: plumbline-agent}", "selector: {app.kubernetes.io/name: plumbline}"},
		{"port: 7477}\n---", "port: 7478}\n---"}, {"{port: 7477}", "{port: 7478}"}, {"\":7477\"", "\":7478\""}, {".agents:7477#", ".agents:7478#"}, {"containerPort: 7477", "containerPort: 7478"},
	} {
		if !strings.Contains(text, change[0]) || fitting(strings.Replace(text, change[0], change[1], 1)) == nil {
			bad = append(bad, fmt.Errorf("with %q in the place of %q nothing is found", change[1], change[0]))
		}
	}
	if err := errors.Join(bad...); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}

// fitting says what does not fit in the manifests of agents: the run asks for the names that the Indexed Job and its headless Service give the
// pods, and for the port at which these listen and to which the network policy lets it.
func fitting(text string) error {
	var agents, run batch.Job
	var service core.Service
	var network networking.NetworkPolicy
	var bad []error
	for _, one := range strings.Split(text, "\n---\n") {
		if err := strict(one); err != nil {
			bad = append(bad, fmt.Errorf("%w\n%s", err, one))
			continue
		}
		var job batch.Job
		into := map[string]any{"Service": &service, "NetworkPolicy": &network, "Job": &job}[kindOf(one)]
		if into == nil {
			continue
		}
		bad = append(bad, yaml.Unmarshal([]byte(one), into))
		switch {
		case job.Spec.CompletionMode != nil && *job.Spec.CompletionMode == batch.IndexedCompletion:
			agents = job
		case job.Kind != "":
			run = job
		}
	}
	spec, pod := agents.Spec, agents.Spec.Template
	if spec.Completions == nil || spec.Parallelism == nil || *spec.Completions != *spec.Parallelism || len(pod.Spec.Containers) != 1 || len(run.Spec.Template.Spec.Containers) != 1 {
		return errors.Join(append(bad, errors.New("no run, or no Indexed Job whose pods are all there at once"))...)
	}
	say := func(fits bool, format string, args ...any) {
		if !fits {
			bad = append(bad, fmt.Errorf(format, args...))
		}
	}
	port := ""
	want := fmt.Sprintf("--agent=%s-{0..%d}.%s:", agents.Name, *spec.Completions-1, pod.Spec.Subdomain)
	for _, arg := range run.Spec.Template.Spec.Containers[0].Args {
		if rest, asks := strings.CutPrefix(arg, want); asks {
			port, _, _ = strings.Cut(rest, "#")
		}
	}
	say(port != "", "the run does not ask for %s…", want)
	say(service.Name == pod.Spec.Subdomain && service.Spec.ClusterIP == core.ClusterIPNone, "the subdomain %q of the pods has no headless Service of its name", pod.Spec.Subdomain)
	say(chosen(service.Spec.Selector, pod.Labels), "the Service %q does not select the pods of the Job %q", service.Name, agents.Name)
	say(chosen(network.Spec.PodSelector.MatchLabels, pod.Labels), "the NetworkPolicy %q does not select them", network.Name)
	say(len(service.Spec.Ports) == 1 && fmt.Sprint(service.Spec.Ports[0].Port) == port, "the Service has not the port %s", port)
	say(len(network.Spec.Ingress) == 1 && len(network.Spec.Ingress[0].Ports) == 1 && network.Spec.Ingress[0].Ports[0].Port.String() == port, "the NetworkPolicy does not let the run to port %s", port)
	agent := pod.Spec.Containers[0]
	say(slices.Contains(agent.Args, ":"+port) && len(agent.Ports) == 1 && fmt.Sprint(agent.Ports[0].ContainerPort) == port, "the agents do not listen at port %s", port)
	return errors.Join(bad...)
}

// kindOf is the kind of a manifest that strict has passed.
func kindOf(text string) string {
	var kind struct{ Kind string }
	_ = yaml.Unmarshal([]byte(text), &kind)
	return kind.Kind
}

// chosen reports whether a selector, which may not be empty, selects what has these labels.
func chosen(selector, labels map[string]string) bool {
	for key, value := range selector {
		if labels[key] != value {
			return false
		}
	}
	return len(selector) > 0
}

func checkCompose(file string) error {
	raw, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	project, err := loader.LoadWithContext(context.Background(), compose.ConfigDetails{
		WorkingDir: filepath.Dir(file), ConfigFiles: []compose.ConfigFile{{Filename: file, Content: bytes.Clone(raw)}}, Environment: compose.Mapping{},
	}, func(o *loader.Options) { o.SetProjectName("plumbline", true) })
	if err != nil {
		return err
	}
	if len(project.Services) == 0 {
		return errors.New("the Compose file has no services")
	}
	return nil
}
