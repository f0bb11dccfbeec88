// Package client watches readings through a bridge: the other end of bridge/PROTOCOL.md, in Go.
//
// A Client keeps one connection. When it breaks it comes back by itself, with a growing wait at random, and every Subscription
// goes on right behind the last update that it handed out. What arrives is proved complete: each batch must begin where the one
// before ended, and what the bridge says it has sent must be what came. A hole that the bridge declares is an update of its own;
// one that it does not declare ends the connection, is reported as an Event, and is fetched again from the last good cursor.
//
// Memory is bounded: who does not call Next stops the reading of the connection, and so the bridge, which keeps the rest in its
// journal. All subscriptions of a Client share that connection; give one that may be slow a Client of its own.
//
// The package imports nothing of the bridge and can be copied alone.
package client
