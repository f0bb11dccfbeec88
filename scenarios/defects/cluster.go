package defects

import (
	"fmt"
	"strings"

	"plumbline/harness/sut"
)

// ClusterFile is the descriptor of several bridges, from the top of the repository. It takes redis-server and nginx.
const ClusterFile = "scenarios/peers/bridged-cluster.yaml"

// inCluster is a defect of one bridge of several that shows when viewers come to it from one that is gone.
func inCluster(id, title, scenario, kills, param, stimulus string) Defect {
	return Defect{
		ID: id, Title: title, Kills: kills, Scenario: scenario, Param: param, Stimulus: stimulus, Cluster: true,
		Loads:  load("cluster", "devices", 6, "rate", "1000 /s", "viewers", 6, "window", "3 s", "cycles", 2, "hold", "500 ms", "drain", "30 s"),
		Limits: map[string]string{kills: "0 messages"},
	}
}

var inClusters = []Defect{
	inCluster("F87", "goes on 3 messages too late for a viewer that comes from another bridge", "node-killed", "SCA-01", "3", "1 viewer that moves"),
	inCluster("F88", "announces 3 messages again that another bridge has announced", "node-drained", "SCA-02", "3", "1 viewer that moves"),
}

// behind puts a program before each bridge of a cluster, as sut.Fronted does before one.
func behind(d *sut.Descriptor, front func(node string) []string) error {
	for i, n := range d.Cluster.Nodes {
		at := func(port string) string { return fmt.Sprintf("127.0.0.1:{{port:%s-%d}}", port, i+1) }
		for j := range d.Start {
			p := &d.Start[j]
			if p.Name != n.Process {
				continue
			}
			own := 0
			for k, argument := range p.Command {
				if moved := strings.NewReplacer(at("viewers"), at("own-viewers"), at("mqtt"), at("own-mqtt")).Replace(argument); moved != argument {
					p.Command[k] = moved
					own++
				}
			}
			if own != 2 {
				return fmt.Errorf("defects: process %q of %s names %d addresses of its own, want viewers-%d and mqtt-%d", p.Name, d.Name, own, i+1, i+1)
			}
			p.Command = append(append(front(n.Process), "--viewers", at("viewers"), "--viewers-to", at("own-viewers"),
				"--broker", at("mqtt"), "--broker-to", at("own-mqtt"), "--tls", "{{dir}}/tls", "--secret", "{{dir}}/viewers.key", "--"), p.Command...)
			p.Ready.TCP = at("viewers")
		}
	}
	return nil
}
