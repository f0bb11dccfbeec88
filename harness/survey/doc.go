// Package survey looks at a bridge that nobody has described yet: what its
// broker speaks, how a viewer gets in, where a message stands in what it sends.
// It writes that down as a descriptor to start from.
//
// What it finds are guesses with a reason each. It judges nothing.
package survey
