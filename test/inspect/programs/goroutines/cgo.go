//go:build cgo

package main

// #include <unistd.h>
// static void sleeps(void) { for (;;) pause(); }
import "C"

// A goroutine that is in C.
func init() { inC = func() { C.sleeps() } }
