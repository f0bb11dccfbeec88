package ws

// Accept is what a server answers to a key.
var Accept = accept
