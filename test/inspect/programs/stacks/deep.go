// A recursion that uses up the goroutine's stack.
package main

import "fmt"

type room struct{ values [64]int }

//go:noinline
func descend(depth int, r room) int {
	r.values[depth%64] = depth
	if depth < 0 {
		return 0
	}
	return descend(depth+1, r) + r.values[0]
}

func main() { fmt.Println(descend(1, room{})) }
