// Command mochi is a broker made of the library mochi-mqtt as the library's own
// examples make one: a TCP listener, its stock WebSocket listener, everybody
// allowed, nothing hardened. It is a system under test, judged as what a
// stranger would run.
package main

import (
	"flag"
	"log"
	"os"
	"os/signal"
	"syscall"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"
)

func main() {
	tcp := flag.String("tcp", ":1883", "address of the TCP listener")
	ws := flag.String("ws", ":1882", "address of the WebSocket listener")
	flag.Parse()

	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)

	server := mqtt.New(nil)
	if err := server.AddHook(new(auth.AllowHook), nil); err != nil {
		log.Fatal(err)
	}
	if err := server.AddListener(listeners.NewTCP(listeners.Config{ID: "t1", Address: *tcp})); err != nil {
		log.Fatal(err)
	}
	if err := server.AddListener(listeners.NewWebsocket(listeners.Config{ID: "ws1", Address: *ws})); err != nil {
		log.Fatal(err)
	}
	if err := server.Serve(); err != nil {
		log.Fatal(err)
	}
	<-stop
	if err := server.Close(); err != nil {
		log.Fatal(err)
	}
}
