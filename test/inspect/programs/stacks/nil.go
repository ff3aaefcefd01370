// A nil pointer in a goroutine, below an inlined method, while others wait.
package main

import (
	"fmt"
	"sync"
	"time"
)

type node struct {
	value int
	next  *node
}

func (n *node) nextValue() int { return n.next.value }

//go:noinline
func (n *node) sum() int { return n.value + n.nextValue() }

//go:noinline
func process(id int, n *node) int { return n.sum() + id }

func main() {
	var wait sync.WaitGroup
	for i := 0; i < 5; i++ {
		wait.Add(1)
		go func() { defer wait.Done(); time.Sleep(time.Hour) }()
	}
	time.Sleep(100 * time.Millisecond)
	go func() { fmt.Println(process(7, &node{value: 1})) }()
	wait.Wait()
}
