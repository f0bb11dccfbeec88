// Package browser is a Chromium as an instrument: it opens the page of a system
// under test as a person would and records when each message came to the page's
// own script (t5), and when a frame was painted after it (t6).
//
// The page does nothing for that. A script of ours runs before any of its own and
// stamps what comes by WebSocket, EventSource, fetch and XMLHttpRequest, in the
// top document and on its main thread: workers and frames within the page are not
// seen. Own payloads are found in whatever the page's protocol makes of them. What
// was recorded is a recording of its own, by the clock of the page; exchanges with
// that clock are kept beside it, so that the time of everything can be computed
// again by whoever has the files. Nothing is judged here.
package browser
