//go:build !unix

package sut_test

func grow() {}
