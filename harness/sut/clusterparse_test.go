package sut

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// clusterDescriptor are two bridges that listen, what joins them, and a balancer whose reload leaves a trace.
const clusterDescriptor = `apiVersion: plumbline/v1
kind: SUT
name: some
start:
  - name: joint
    command: [/bin/sh, -c, "mkdir -p '{{dir}}/joint'; echo kept > '{{dir}}/joint/state'; exec sleep 300"]
  - {name: left, command: [/bin/sh, -c, "exec sleep 300"]}
  - {name: right, command: [/bin/sh, -c, "exec sleep 300"]}
  - {name: front, command: [/bin/sh, -c, "exec sleep 300"]}
broker: {url: "mqtt://127.0.0.1:{{port:mqtt-1}}"}
viewer: {protocol: plumbline, url: "ws://127.0.0.1:{{port:front}}/"}
cluster:
  nodes:
    - {process: left, broker: "mqtt://127.0.0.1:{{port:mqtt-1}}", link: {listen: "127.0.0.1:{{port:link}}", to: "127.0.0.1:{{port:joint}}"}}
    - {process: right, broker: "mqtt://127.0.0.1:{{port:mqtt-2}}"}
  relay: joint
  relayState: "{{dir}}/joint"
  balancer: front
  lease: 2s
hooks: {reloadBalancer: [/bin/sh, -c, "echo again > '{{dir}}/reloaded'"]}
`

func TestStandbyOfARelay(t *testing.T) {
	for text, want := range map[string]bool{clusterDescriptor: false, strings.Replace(clusterDescriptor, "relay: joint\n", "relay: joint\n  standby: front\n", 1): true} {
		d, err := Parse([]byte(text), "cluster.yaml", "")
		if err != nil {
			t.Fatal(err)
		}
		if d.Has(CapStandby) != want {
			t.Errorf("it has %q: %v", CapStandby, !want)
		}
	}
}

func TestClusterRefuses(t *testing.T) {
	for _, c := range []struct{ name, old, new, want string }{
		{"one node", `    - {process: right, broker: "mqtt://127.0.0.1:{{port:mqtt-2}}"}` + "\n", "", "cluster.nodes: are 1; a cluster has two or more"},
		{"unknown process", "process: right", "process: centre", `cluster.nodes[1].process: is "centre", and no process under start has that name`},
		{"the same twice", "process: right", "process: left", `cluster.nodes[1].process: "left" is there twice`},
		{"a broker of one only", `    - {process: right, broker: "mqtt://127.0.0.1:{{port:mqtt-2}}"}`, "    - {process: right}", "cluster.nodes[1].broker: is missing here or at another node"},
		{"another scheme", `right, broker: "mqtt:`, `right, broker: "mqtts:`, `cluster.nodes[1].broker: has scheme "mqtts"`},
		{"half a link", `, to: "127.0.0.1:{{port:joint}}"`, "", "cluster.nodes[0].link: wants host:port for both"},
		{"a relay that is a node", "relay: joint", "relay: left", `cluster.relay: is "left"; name a process under start that is no node`},
		{"a standby that is none", "relay: joint", "relay: joint\n  standby: spare", `cluster.standby: is "spare"; name a process under start that is no node`},
		{"a standby for itself", "relay: joint", "relay: joint\n  standby: joint", `cluster.standby: is "joint", and relay is "joint"; name two processes`},
		{"a standby for nothing", "relay: joint\n", "standby: front\n", `cluster.standby: is "front", and relay is ""; name two`},
		{"a balancer that is none", "balancer: front", "balancer: back", `cluster.balancer: is "back"`},
		{"a state elsewhere", `"{{dir}}/joint"` + "\n  balancer", `"/var/lib/redis"` + "\n  balancer", "cluster.relayState: is \"/var/lib/redis\", which the harness would empty"},
		{"a certificate elsewhere", "lease: 2s", "lease: 2s\n  tls: /etc/tls", "cluster.tls: is \"/etc/tls\", where the harness would write"},
		{"a certificate for nobody", "lease: 2s", "lease: 2s\n  tls: \"{{dir}}/tls\"", `cluster.tls: is there, and viewer.url is "ws://127.0.0.1:{{port:front}}/"`},
		{"a lease without a unit", "lease: 2s", "lease: 2ns", "cluster.lease: is 2ns; write a time with its unit"},
		{"a template", "{{port:mqtt-2}}", "{{prt:mqtt-2}}", "unknown template {{prt:mqtt-2}}"},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := strings.Replace(clusterDescriptor, c.old, c.new, 1)
			if text == clusterDescriptor {
				t.Fatalf("%q is not in the descriptor", c.old)
			}
			if _, err := Parse([]byte(text), "cluster.yaml", ""); !errors.Is(err, ErrUsage) || !strings.Contains(fmt.Sprint(err), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}
