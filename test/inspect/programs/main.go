// Crashes on a null pointer, in a program with goroutines.
package main

import (
	"runtime/debug"
	"time"
)

type node struct{ value int }

func main() {
	debug.SetTraceback("crash")
	for i := 0; i < 4; i++ {
		go func() { time.Sleep(time.Hour) }()
	}
	var missing *node
	println(missing.value)
}
