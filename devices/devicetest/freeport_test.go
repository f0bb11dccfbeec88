package devicetest

import (
	"fmt"
	"net"
	"testing"
)

func TestFreePortIsFreeAndGivenOnce(t *testing.T) {
	given := map[int]bool{}
	for range 50 {
		port := FreePort(t)
		if given[port] || port < firstPort || port >= firstPort+manyPorts {
			t.Errorf("port %d, given before: %v", port, given[port])
		}
		given[port] = true
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() // taken: it is not given again
	}
}
